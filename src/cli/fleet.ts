import pLimit from 'p-limit'
import { RametError } from '../router/errors.ts'
import type { Clock } from '../base/clock.ts'
import type { Connecting, ConnectOptions, Context } from '../controller/api.ts'
import type { Tree } from './desk.ts'
import type { Reporter } from './format/reporter.ts'
import { emptyCounts, emptyNames } from './format/summary.ts'
import { Hops } from './hops.ts'
import { failedResult, resultOf } from './outcome.ts'
import type { Body, Summary, TargetResult } from './outcome.ts'
import type { Place, Step } from './ways.ts'

export interface Job {
  places: readonly Place[]
  /** Targets at once; hops do not count. */
  concurrency: number
  /** How a step of a way is connected. `isHop`: targets are reached through it. */
  options(step: Step, via: Connecting | undefined, isHop: boolean): ConnectOptions
  /** Does the work; it may begin before the connection stands. */
  work(context: Connecting, reach: Reach): Promise<Body>
  /** A hop stands; `steps` lead to it. */
  seen?: ((steps: readonly Step[], context: Context, tree: Tree) => void) | undefined
  /** A target has its result. */
  ended?: ((place: Place, result: TargetResult) => void) | undefined
}

/** What the work on one target gets beside its context. */
export interface Reach {
  signal: AbortSignal
  tree: Tree
  place: Place
  /** The contexts through which the target is reached, the one nearest to us first. */
  hops: readonly Promise<Context>[]
  clock: Clock
  item(value: unknown): void
  lines(stream: 'stdout' | 'stderr', bytes: Buffer): void
}

/** One piece of work on many targets, a bounded number of them at once. Each target gets exactly one result. */
export class Fleet {
  state: 'ready' | 'running' | 'cancelled' | 'over' = 'ready'
  readonly #job: Job
  readonly #tree: Tree
  readonly #reporter: Reporter
  readonly #clock: Clock
  readonly #hops: Hops
  /** Without a result, by label. */
  readonly #open: Map<string, Place>
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
    this.#hops = new Hops(job.places, tree, {
      connect: (step, via) => job.options(step, via, true),
      seen: (steps, context) => job.seen?.(steps, context, tree),
    })
    this.#open = new Map(job.places.map((place) => [place.label, place]))
  }

  /** Targets at work now. */
  get working(): number {
    return this.#atWork.size
  }

  /** Resolves when every target has its result and its context is closed. Never rejects on behalf of a target. */
  async run(): Promise<void> {
    this.state = 'running'
    const limit = pLimit(this.#job.concurrency)
    await Promise.all(this.#job.places.map((place) => limit(() => this.#one(place))))
    this.state = 'over'
  }

  /** Begins no more work and cancels what is under way; results go on arriving. */
  cancel(): void {
    if (this.state !== 'running') return
    this.state = 'cancelled'
    const reason = new RametError('cancelled', 'stopped by the user', { outcome: 'failed', hint: 'Run it again for the targets that are left.' })
    for (const { stop } of this.#atWork.values()) stop.abort(reason)
    // Behind the targets, so that each says for itself that it was cancelled.
    this.#hops.cancel(reason)
  }

  /** Gives every target without a result one now: nobody waits for it any more. */
  abandon(): void {
    this.cancel()
    this.state = 'over'
    for (const target of this.#open.keys()) {
      const begun = this.#atWork.get(target)
      this.#report(begun === undefined ? notStarted(target) : failedResult(target, leftBehind(target), this.#clock.now() - begun.since))
    }
  }

  summary(took: number, exitCode: number): Summary {
    return { targets: this.#job.places.length, counts: this.#counts, names: this.#names, notStarted: this.#notStarted, took, exitCode }
  }

  async #one(place: Place): Promise<void> {
    const { label } = place
    if (this.state === 'running') await this.#work(place)
    else this.#report(notStarted(label))
    await this.#hops.done(place)
  }

  async #work(place: Place): Promise<void> {
    const { label } = place
    const last = place.steps.at(-1)!
    const since = this.#clock.now()
    const stop = new AbortController()
    this.#atWork.set(label, { since, stop })
    this.#reporter.started(label)
    let context: Connecting | undefined
    try {
      const hops = this.#hops.on(place)
      context = this.#tree.connect(last.target, { ...this.#job.options(last, hops.at(-1), this.#hops.has(last)), signal: stop.signal })
      // The work fails with the same error; this one is nobody's.
      context.catch(() => {})
      const body = await this.#job.work(context, this.#reach(place, hops, stop.signal))
      this.#report(resultOf(label, body, this.#clock.now() - since))
    } catch (error) {
      const reason = place.steps.length === 1 ? error : await this.#hops.reason(place, error)
      this.#report(failedResult(label, reason, this.#clock.now() - since))
    }
    // Part of the bounded work: closing later would let connections pile up.
    await closed(context)
  }

  #reach(place: Place, hops: readonly Promise<Context>[], signal: AbortSignal): Reach {
    return {
      signal,
      tree: this.#tree,
      place,
      hops,
      clock: this.#clock,
      item: (value) => {
        if (this.#open.has(place.label)) this.#reporter.item(place.label, value)
      },
      lines: (stream, bytes) => {
        if (this.#open.has(place.label)) this.#reporter.lines(place.label, stream, bytes)
      },
    }
  }

  #report(result: TargetResult): void {
    const place = this.#open.get(result.target)
    if (place === undefined) return
    this.#open.delete(result.target)
    this.#atWork.delete(result.target)
    this.#counts[result.verdict]++
    this.#names[result.verdict].push(result.target)
    if (result.verdict === 'cancelled' && result.failure?.outcome === 'not-sent') this.#notStarted.push(result.target)
    this.#job.ended?.(place, result)
    this.#reporter.result(result)
  }
}

function notStarted(target: string): TargetResult {
  const error = new RametError('cancelled', `${target}: nothing was sent, the run was stopped before`, { path: [target], outcome: 'not-sent', hint: 'Run it again for this target.' })
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
