import { type Clock, stayAlive } from '../../base/clock.ts'
import { orAborted } from '../../base/or-aborted.ts'
import { withinTime } from '../../base/within-time.ts'
import { isRametError } from '../../router/errors.ts'
import { duration } from '../format/duration.ts'
import { KINDS } from './contender.ts'
import type { Contender, Entry, Kind, LeftOut, Row } from './contender.ts'
import type { Able } from './count.ts'
import type { CpuReading } from './cpu.ts'
import { callsInRound, planned, rotated, shareOut } from './plan.ts'

/** Failures after which a contender makes no more calls of that kind. */
const PATIENCE = 3

/** Milliseconds of a first call beside which what it brought along is no matter. */
const LONG = 1000

/** Milliseconds that contenders have for their goodbye. */
const GOODBYE = 5000

export interface MeasurementOptions {
  entries: readonly Entry[]
  /** Of each kind by each contender. */
  calls: number
  rounds: number
  concurrency: number
  clock: Clock
  readCpu(): CpuReading
  /** Ends the run; what is under way then does not count. */
  stop: AbortSignal
  /** Milliseconds for those that are added, to open and for a first call: one that hangs is left out, and has not the time of all. */
  patience: number
  /** Hears what is being done. */
  progress(text: string): void
}

interface Running {
  entry: Entry
  contender: Contender
  /** With what one call takes when it is alone, milliseconds. */
  kinds: Map<Kind, number>
  /** Of opening, and of first calls; undefined: as long as there is time. */
  patience: number | undefined
}

/** It has not answered in time, and would not the next time. */
class Hangs extends Error {}

/**
 * The timed part: every contender makes one call of each kind that is not counted and shows how long one takes; then they take turns,
 * round by round. A contender that can't do something is left out of it by name, and never ends the others' run.
 */
export class Measurement {
  state: 'ready' | 'open' | 'over' = 'ready'
  readonly rows: Row[] = []
  readonly leftOut: LeftOut[] = []
  readonly #options: MeasurementOptions
  readonly #running: Running[] = []
  /** Milliseconds of one call, alone. */
  readonly #estimates = new Map<Row, number>()

  constructor(options: MeasurementOptions) {
    this.#options = options
    for (const { id, label, leftOut } of options.entries) if (leftOut !== undefined) this.leftOut.push({ id, label, kinds: KINDS, reason: leftOut })
  }

  /** Opens one contender; what comes back lets it make its first calls. `needed`: rejects with what it failed with. */
  async open(entry: Entry, contender: Contender, needed: boolean, opened?: () => Promise<void>, patience?: number): Promise<() => Promise<void>> {
    const { stop, progress } = this.#options
    const running: Running = { entry, contender, kinds: new Map(), patience }
    this.#running.push(running)
    progress(`${entry.label}: connecting`)
    try {
      await this.#inTime(patience, (signal) => contender.open(signal))
      await opened?.()
    } catch (error) {
      if (!stop.aborted && needed) throw error
      if (!stop.aborted) this.leftOut.push({ id: entry.id, label: entry.label, kinds: KINDS, reason: reasonOf(error) })
      return async () => {}
    }
    this.state = 'open'
    return async () => {
      for (const kind of KINDS) if (!(await this.#first(running, kind))) return
    }
  }

  /** Makes one contender, opens it and lets it make its first calls. */
  async add(entry: Entry): Promise<void> {
    let contender: Contender
    try {
      contender = entry.make()
    } catch (error) {
      // It needed a file, and there was no room for one.
      this.leftOut.push({ id: entry.id, label: entry.label, kinds: KINDS, reason: reasonOf(error) })
      return
    }
    await (await this.open(entry, contender, false, undefined, entry.asks === true ? undefined : this.#options.patience))()
  }

  /** Who takes part, with what. */
  get able(): Able[] {
    return this.#running.filter(({ kinds }) => kinds.size > 0)
  }

  /** How many calls each row gets within the time, which comes out as milliseconds. */
  plan(budget: number): number {
    const estimates = this.rows.map((row) => ({ each: (this.#estimates.get(row) ?? 0) / this.#atOnce(this.#entryOf(row)) }))
    const counts = shareOut(estimates, this.#options.calls, budget)
    this.rows.forEach((row, index) => {
      row.planned = counts[index]!
    })
    return planned(estimates, counts)
  }

  /** What one call of each row takes when it is alone. */
  get alone(): { each: number; fresh: boolean }[] {
    return this.rows.map((row) => ({ each: this.#estimates.get(row) ?? 0, fresh: this.#entryOf(row)?.fresh ?? false }))
  }

  async run(): Promise<void> {
    const { rounds, stop, progress } = this.#options
    for (let round = 0; round < rounds; round++) {
      for (const kind of KINDS) {
        for (const { entry, contender } of rotated(this.#running, round)) {
          const row = this.rows.find((one) => one.id === entry.id && one.kind === kind)
          const calls = row === undefined ? 0 : callsInRound(row.planned, rounds, round, this.#atOnce(entry))
          if (stop.aborted || row === undefined || calls === 0 || row.failed >= PATIENCE) continue
          progress(`round ${round + 1} of ${rounds}: ${entry.label}, ${kind}`)
          await this.#slice(entry, contender, row, calls)
        }
      }
    }
  }

  /** Ends every contender; one that does not answer is not waited for. */
  async close(): Promise<void> {
    this.state = 'over'
    const over = stayAlive()
    await withinTime(Promise.all(this.#running.map(({ contender }) => contender.close())), this.#options.clock, GOODBYE)
    over()
  }

  async #inTime<T>(patience: number | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { clock, stop } = this.#options
    const enough = new AbortController()
    const stopped = (): void => enough.abort(stop.reason)
    if (stop.aborted) stopped()
    else stop.addEventListener('abort', stopped, { once: true })
    const cancel = patience === undefined ? () => {} : clock.after(patience, () => enough.abort(new Hangs(`no answer within ${duration(patience)}`)))
    try {
      return await orAborted(work(enough.signal), enough.signal)
    } finally {
      cancel()
      stop.removeEventListener('abort', stopped)
    }
  }

  /** A call that warms up, and tells how long one takes. False: there is no use in another one. */
  async #first(running: Running, kind: Kind): Promise<boolean> {
    const { clock, stop } = this.#options
    const { entry, contender, patience } = running
    if (stop.aborted) return false
    let each = 0
    try {
      // The first one brings code along, or fills a cache: what stays open is estimated by the second.
      for (let turn = 0; turn < (entry.fresh || each > LONG ? 1 : 2); turn++) {
        const from = clock.now()
        const end = await this.#inTime(patience, (signal) => contender.call(kind, signal))
        await end?.()
        each = clock.now() - from
      }
    } catch (error) {
      const hangs = error instanceof Hangs
      if (!stop.aborted) for (const one of hangs ? KINDS.slice(KINDS.indexOf(kind)) : [kind]) this.#leaveOut(entry, one, reasonOf(error))
      return !hangs
    }
    running.kinds.set(kind, each)
    const row: Row = { id: entry.id, label: entry.label, kind, planned: 0, times: [], busy: 0, cpuOwn: 0, cpuChildren: undefined, failed: 0, failure: undefined, ...(entry.orphans === true ? { orphans: true } : {}) }
    this.#estimates.set(row, each)
    this.rows.push(row)
    return true
  }

  #atOnce(entry: Entry | undefined): number {
    const { concurrency } = this.#options
    return Math.min(concurrency, entry?.most?.count ?? concurrency)
  }

  #entryOf(row: Row): Entry | undefined {
    return this.#options.entries.find(({ id }) => id === row.id)
  }

  /** Two kinds that fail alike are one line. */
  #leaveOut({ id, label }: Entry, kind: Kind, reason: string): void {
    const known = this.leftOut.find((one) => one.id === id && one.reason === reason)
    if (known === undefined) this.leftOut.push({ id, label, kinds: [kind], reason })
    else known.kinds = [...known.kinds, kind]
  }

  async #slice(entry: Entry, contender: Contender, row: Row, calls: number): Promise<void> {
    const { clock, readCpu, stop } = this.#options
    const before = readCpu()
    const from = clock.now()
    let left = calls
    const worker = async (): Promise<void> => {
      while (left > 0 && !stop.aborted && row.failed < PATIENCE) {
        left--
        await this.#one(contender, row)
      }
    }
    await Promise.all(Array.from({ length: Math.min(this.#atOnce(entry), calls) }, worker))
    row.busy += clock.now() - from
    const after = readCpu()
    row.cpuOwn += after.own - before.own
    if (after.children !== undefined && before.children !== undefined) row.cpuChildren = (row.cpuChildren ?? 0) + after.children - before.children
  }

  async #one(contender: Contender, row: Row): Promise<void> {
    const { clock, stop } = this.#options
    const from = clock.now()
    try {
      const end = await orAborted(contender.call(row.kind, stop), stop)
      row.times.push(clock.now() - from)
      await end?.()
    } catch (error) {
      if (stop.aborted) return
      row.failed++
      row.failure = reasonOf(error)
    }
  }
}

/** One line. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code } = error as NodeJS.ErrnoException
  const text = error.message.replaceAll(/\s*\n\s*/g, ' / ').slice(0, 300)
  return isRametError(error) && code !== undefined && !text.includes(code) ? `${text} (${code})` : text
}
