import type { Summary, TargetResult } from '../outcome.ts'
import type { Sink } from '../sink.ts'
import type { TreeNode } from '../tree-node.ts'
import type { LogRecord, Reporter, RunStart } from './reporter.ts'
import { seconds } from './duration.ts'
import { visibleJson } from './escape.ts'
import { jsonStatus, jsonValue, nodeFields } from './value.ts'

/** One document, in Bolt's shape. Items are written as they come, so the text is JSON once it has ended. */
export class JsonReporter implements Reporter {
  readonly #stdout: Sink
  readonly #log: (record: LogRecord) => void
  #items = 0
  #nodes: readonly TreeNode[] | undefined

  constructor(stdout: Sink, log: (record: LogRecord) => void) {
    this.#stdout = stdout
    this.#log = log
  }

  begin(_start: RunStart): void {
    this.#stdout.write('{ "items": [')
  }

  started(): void {}

  /** Items of a stream are part of the result; the command has collected them. */
  item(): void {}

  /** Nothing of a document can be shown before it is known as a whole. */
  lines(): void {}

  result(result: TargetResult): void {
    const { target } = result
    const text = JSON.stringify({ target, status: jsonStatus(result), value: jsonValue(result) })
    this.#stdout.write(`${this.#items++ === 0 ? '' : ','}\n${visibleJson(text)}`)
  }

  log(record: LogRecord): void {
    this.#log(record)
  }

  nodes(nodes: readonly TreeNode[]): void {
    this.#nodes = nodes
  }

  end(summary: Summary): void {
    const nodes = this.#nodes?.map((node) => visibleJson(JSON.stringify(nodeFields(node)))).join(',\n')
    this.#stdout.write(`\n],\n${nodes === undefined ? '' : `"nodes": [\n${nodes}\n],\n`}"target_count": ${summary.targets}, "elapsed_time": ${seconds(summary.took)} }\n`)
  }
}
