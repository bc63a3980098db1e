import pLimit from 'p-limit'
import { RametError } from '../router/errors.ts'
import type { Clock } from '../base/clock.ts'
import type { Connecting, ConnectOptions } from '../controller/api.ts'
import type { Tree } from './desk.ts'
import type { Reporter } from './format/reporter.ts'
import { emptyCounts, emptyNames } from './format/summary.ts'
import { failedResult, resultOf } from './outcome.ts'
import type { Body, Summary, TargetResult } from './outcome.ts'

export interface Job {
  targets: readonly string[]
  concurrency: number
  /** How to reach a target that is named so. May throw. */
  address(target: string): { target: string; options: ConnectOptions }
  /** Does the work; it may begin before the connection stands. */
  work(context: Connecting, reach: Reach): Promise<Body>
}

/** What the work on one target gets beside its context. */
export interface Reach {
  signal: AbortSignal
  clock: Clock
  item(value: unknown): void
}

/** One piece of work on many targets, a bounded number of them at once. Each target gets exactly one result. */
export class Fleet {
  state: 'ready' | 'running' | 'cancelled' | 'over' = 'ready'
  readonly #job: Job
  readonly #tree: Tree
  readonly #reporter: Reporter
  readonly #clock: Clock
  readonly #open: Set<string>
  /** Since when a target is at work, and what stops it. One signal each: thousands of listeners on one are a leak to Node. */
  readonly #atWork = new Map<string, { since: number; stop: AbortController }>()
  readonly #counts = emptyCounts()
  readonly #names = emptyNames()
  readonly #notStarted: string[] = []

  constructor(job: Job, tree: Tree, reporter: Reporter, clock: Clock) {
    this.#job = job
    this.#tree = tree
    this.#reporter = reporter
    this.#clock = clock
    this.#open = new Set(job.targets)
  }

  /** Targets at work now. */
  get working(): number {
    return this.#atWork.size
  }

  /** Resolves when every target has its result and its context is closed. Never rejects on behalf of a target. */
  async run(): Promise<void> {
    this.state = 'running'
    const limit = pLimit(this.#job.concurrency)
    await Promise.all(this.#job.targets.map((target) => limit(() => this.#one(target))))
    this.state = 'over'
  }

  /** Begins no more work and cancels what is under way; results go on arriving. */
  cancel(): void {
    if (this.state !== 'running') return
    this.state = 'cancelled'
    const reason = new RametError('cancelled', 'stopped by the user', { outcome: 'failed' })
    for (const { stop } of this.#atWork.values()) stop.abort(reason)
  }

  /** Gives every target without a result one now: nobody waits for it any more. */
  abandon(): void {
    this.cancel()
    this.state = 'over'
    for (const target of this.#open) {
      const begun = this.#atWork.get(target)
      this.#report(begun === undefined ? notStarted(target) : failedResult(target, leftBehind(target), this.#clock.now() - begun.since))
    }
  }

  summary(took: number, exitCode: number): Summary {
    return { targets: this.#job.targets.length, counts: this.#counts, names: this.#names, notStarted: this.#notStarted, took, exitCode }
  }

  async #one(target: string): Promise<void> {
    if (this.state !== 'running') return this.#report(notStarted(target))
    const since = this.#clock.now()
    const stop = new AbortController()
    this.#atWork.set(target, { since, stop })
    this.#reporter.started(target)
    let context: Connecting | undefined
    try {
      const address = this.#job.address(target)
      context = this.#tree.connect(address.target, { ...address.options, signal: stop.signal })
      // The work fails with the same error; this one is nobody's.
      context.catch(() => {})
      const body = await this.#job.work(context, this.#reach(target, stop.signal))
      this.#report(resultOf(target, body, this.#clock.now() - since))
    } catch (error) {
      this.#report(failedResult(target, error, this.#clock.now() - since))
    }
    // Part of the bounded work: closing later would let connections pile up.
    await closed(context)
  }

  #reach(target: string, signal: AbortSignal): Reach {
    return {
      signal,
      clock: this.#clock,
      item: (value) => {
        if (this.#open.has(target)) this.#reporter.item(target, value)
      },
    }
  }

  #report(result: TargetResult): void {
    if (!this.#open.delete(result.target)) return
    this.#atWork.delete(result.target)
    this.#counts[result.verdict]++
    this.#names[result.verdict].push(result.target)
    if (result.verdict === 'cancelled' && result.failure?.outcome === 'not-sent') this.#notStarted.push(result.target)
    this.#reporter.result(result)
  }
}

function notStarted(target: string): TargetResult {
  const error = new RametError('cancelled', `${target}: nothing was sent, the run was stopped before`, { path: [target], outcome: 'not-sent' })
  return failedResult(target, error, 0)
}

function leftBehind(target: string): RametError {
  const hint = 'look on the target whether the work ran'
  return new RametError('cancelled', `${target}: ramet left before the target had answered`, { path: [target], outcome: 'unknown', hint })
}

async function closed(context: Connecting | undefined): Promise<void> {
  try {
    await (await context)?.close()
  } catch {
    // It never opened, or the link was lost: there is nothing to close.
  }
}
