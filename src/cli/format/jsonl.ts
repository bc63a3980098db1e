import { isUtf8 } from 'node:buffer'
import type { Clock } from '../../base/clock.ts'
import type { Summary, TargetResult } from '../outcome.ts'
import type { Sink } from '../sink.ts'
import type { TreeNode } from '../tree-node.ts'
import type { LogRecord, Reporter, RunStart } from './reporter.ts'
import { seconds } from './duration.ts'
import { decode, visibleJson } from './escape.ts'
import { plain } from './plain.ts'
import { jsonStatus, jsonValue, nodeFields } from './value.ts'

/** One event per line, written as it happens. `v` changes when a program that reads version 1 would break. */
export class JsonlReporter implements Reporter {
  readonly #stdout: Sink
  readonly #clock: Clock
  #from = 0

  constructor(stdout: Sink, clock: Clock) {
    this.#stdout = stdout
    this.#clock = clock
  }

  begin({ command, object, targets }: RunStart): void {
    this.#from = this.#clock.now()
    this.#write('run-start', undefined, { command, object, target_count: targets })
  }

  started(target: string): void {
    this.#write('target-start', target, {})
  }

  item(target: string, value: unknown): void {
    this.#write('item', target, { value: plain(value) })
  }

  lines(target: string, stream: 'stdout' | 'stderr', bytes: Buffer): void {
    this.#write('output', target, { stream, text: decode(bytes), ...(isUtf8(bytes) ? {} : { text_base64: bytes.toString('base64') }) })
  }

  result(result: TargetResult): void {
    this.#write('result', result.target, {
      status: jsonStatus(result), verdict: result.verdict, value: jsonValue(result), duration: seconds(result.took),
    })
  }

  log({ target, level, message }: LogRecord): void {
    this.#write('log', target, { level, message })
  }

  nodes(nodes: readonly TreeNode[]): void {
    for (const node of nodes) this.#write('node', undefined, nodeFields(node))
  }

  end({ targets, counts, took, exitCode }: Summary): void {
    this.#write('summary', undefined, { target_count: targets, ...counts, elapsed_time: seconds(took), exit_code: exitCode })
  }

  #write(type: string, target: string | undefined, fields: Record<string, unknown>): void {
    const elapsed = seconds(this.#clock.now() - this.#from)
    const event = { v: 1, type, ...(target === undefined ? {} : { target }), elapsed, ...fields }
    this.#stdout.write(`${visibleJson(JSON.stringify(event))}\n`)
  }
}
