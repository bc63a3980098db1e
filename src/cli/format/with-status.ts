import type { Clock } from '../../base/clock.ts'
import type { Summary, TargetResult } from '../outcome.ts'
import type { Sink } from '../sink.ts'
import type { TreeNode } from '../tree-node.ts'
import type { LogRecord, Reporter, RunStart } from './reporter.ts'
import { duration } from './duration.ts'
import { visibleLine } from './escape.ts'
import { StatusLine } from './status-line.ts'
import { emptyCounts } from './summary.ts'

/** Names of targets that still work are shown once so few are left that they explain the wait. */
const NAMED = 3

/** Any format, with a live line on stderr beside it. For terminals only. */
export class WithStatus implements Reporter {
  readonly line: StatusLine
  readonly #inner: Reporter
  readonly #clock: Clock
  readonly #working = new Set<string>()
  readonly #counts = emptyCounts()
  #targets = 0
  #from = 0

  constructor(inner: Reporter, stderr: Sink, clock: Clock) {
    this.#inner = inner
    this.#clock = clock
    this.line = new StatusLine(stderr, clock, () => this.#text())
  }

  begin(start: RunStart): void {
    this.#targets = start.targets
    this.#from = this.#clock.now()
    this.line.aside(() => this.#inner.begin(start))
  }

  started(target: string): void {
    this.#working.add(target)
    this.line.aside(() => this.#inner.started(target))
  }

  item(target: string, value: unknown): void {
    this.line.aside(() => this.#inner.item(target, value))
  }

  lines(target: string, stream: 'stdout' | 'stderr', bytes: Buffer): void {
    this.line.aside(() => this.#inner.lines(target, stream, bytes))
  }

  result(result: TargetResult): void {
    this.#working.delete(result.target)
    this.#counts[result.verdict]++
    this.line.aside(() => this.#inner.result(result))
  }

  log(record: LogRecord): void {
    this.line.aside(() => this.#inner.log(record))
  }

  nodes(nodes: readonly TreeNode[]): void {
    this.line.aside(() => this.#inner.nodes(nodes))
  }

  end(summary: Summary): void {
    this.line.close()
    this.#inner.end(summary)
  }

  #text(): string {
    const { ok, ...others } = this.#counts
    const bad = Object.entries(others).filter(([, count]) => count > 0)
    const done = bad.reduce((sum, [, count]) => sum + count, ok)
    const parts = [`${done}/${this.#targets} done`, ...bad.map(([verdict, count]) => `${count} ${verdict}`), duration(this.#clock.now() - this.#from)]
    const left = this.#targets - done
    if (left > 0 && left <= NAMED) parts.push(`waiting for ${[...this.#working].map(visibleLine).join(', ')}`)
    return parts.join(' \u00b7 ')
  }
}
