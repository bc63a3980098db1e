import type { Summary, TargetResult } from '../outcome.ts'
import type { TreeNode } from '../tree-node.ts'

export interface RunStart {
  /** 'run', 'call', 'ping', 'tree'. */
  command: string
  /** What runs: the command's text, 'FILE EXPORT'. */
  object: string
  targets: number
}

export interface LogRecord {
  /** Name of the context that it comes from; undefined for ramet's own. */
  target: string | undefined
  level: string
  message: string
}

/** One format of stdout. Calls come in this order: begin, any number of the others, end. Each writes at once. */
export interface Reporter {
  begin(start: RunStart): void
  started(target: string): void
  /** One item of a result that arrives as a stream. */
  item(target: string, value: unknown): void
  /** Lines of a command that is shown as it prints; only the last that a stream had, and pieces of a very long one, end without newline. */
  lines(target: string, stream: 'stdout' | 'stderr', bytes: Buffer): void
  result(result: TargetResult): void
  log(record: LogRecord): void
  /** Every context that was seen, the controller first, each behind its parent. Called once at most, right before the end. */
  nodes(nodes: readonly TreeNode[]): void
  end(summary: Summary): void
}
