import { BaseSequencer, type TestSpecification } from 'vitest/node'

/**
 * Files that take longest, longest first. A clean clone has no durations of an earlier run, and one of these that began last
 * would be all that is waited for. A name that is wrong here costs time and nothing else.
 */
const LONG = [
  'e2e/busy', 'failure/tree', 'e2e/node-matrix', 'e2e/bench', 'contract/commands', 'e2e/bad-input', 'e2e/bench-bad-input', 'e2e/ssh', 'connect/raw', 'contract/contexts',
  'e2e/jump', 'e2e/tree-many', 'e2e/life',
].map((name) => `/test/${name}.test.ts`)

/** The rest follow as vitest would have them: by size. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = LONG.findIndex((name) => moduleId.endsWith(name))
      return at < 0 ? LONG.length : at
    }
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b))
  }
}
