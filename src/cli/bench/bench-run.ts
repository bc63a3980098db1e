import type { Logger } from 'pino'
import type { Clock } from '../../base/clock.ts'
import type { Prompt } from '../../controller/api.ts'
import { milliseconds } from '../connect-flags.ts'
import { duration } from '../format/duration.ts'
import { visible } from '../format/escape.ts'
import type { Flags } from '../options.ts'
import { packageVersion } from '../version.ts'
import type { Place } from '../ways.ts'
import { BenchFiles } from './bench-files.ts'
import { KINDS } from './contender.ts'
import type { Entry, LeftOut, Report } from './contender.ts'
import { allContenders, findDirect, findSsh } from './contenders.ts'
import type { Direct, SshProgram } from './contenders.ts'
import { count } from './count.ts'
import { timeToCount } from './counting-relay.ts'
import { readCpu } from './cpu.ts'
import { plural, shortTime } from './figures.ts'
import { Measurement } from './measurement.ts'
import { countingBehind, roundsFor } from './plan.ts'
import { WarmRamet } from './ramet-contenders.ts'
import { Children } from './ssh-process.ts'
import { quoted, Work } from './work.ts'

const CALLS = 50
const MAX_TIME = 60
/** Behind hops: ssh has a login more for each of them, of every call. */
const MAX_TIME_BEHIND = 120

/** Part of the whole time that one contender may take to open, or for a first call, and the least of it, milliseconds. */
const PATIENCE = 1 / 8
const LEAST_PATIENCE = 5000

/** Part of the time, behind the first calls, that is kept for counting. */
const COUNTING = 0.3

/** Part of the whole time after which counting ends. */
const COUNTED = 0.98

/** Those that are opened first: one shows whether the target can be reached at all, the other where its Node is. */
const FIRST = ['ramet-raw', 'ramet-warm']

export interface BenchRunOptions {
  place: Place
  flags: Flags
  /** How the target is called in what is shown. */
  target: string
  password: string | undefined
  /** Asks for one connection; undefined: nobody can be asked. */
  prompts: (() => Prompt) | undefined
  logger: Logger
  clock: Clock
  /** Ends the run early; it aborts by itself when the time is over. */
  stop: AbortController
  /** Processes that are our children and no part of the local side. */
  notLocal: ReadonlySet<number>
  /** Writes lines for the person. */
  say(text: string): void
  progress(text: string): void
}

/** One benchmark of one target, from what it says beforehand to its report. */
export class BenchRun {
  state: 'ready' | 'running' | 'over' = 'ready'
  readonly #options: BenchRunOptions
  readonly #files = new BenchFiles()
  readonly #children = new Children()
  readonly #work: Work
  readonly #maxTime: number
  readonly #report: Report
  #outOfTime = false

  constructor(options: BenchRunOptions) {
    const { flags, target, place } = options
    this.#options = options
    this.#work = new Work(flags.payload ?? 0)
    this.#maxTime = milliseconds(flags['max-time'] ?? (place.steps.length > 1 ? MAX_TIME_BEHIND : MAX_TIME))
    const calls = flags.calls ?? CALLS
    const concurrency = flags.concurrency ?? 1
    this.#report = {
      target, calls, rounds: roundsFor(calls, concurrency), concurrency, payload: this.#work.payload, maxTime: this.#maxTime, elapsed: 0, ending: 'whole',
      rows: [], leftOut: [], counted: new Map(), hop: place.steps.length > 1 ? place.steps[0]!.name : undefined, uncounted: undefined, rtt: { tcp: undefined, ping: undefined }, notes: [],
      versions: { ramet: packageVersion(), node: process.versions.node, ssh: undefined, platform: `${process.platform} ${process.arch}` },
    }
  }

  /** Resolves to what was found, whole or not; rejects when the target can't be reached. */
  async run(): Promise<Report> {
    this.state = 'running'
    const { clock, stop, flags, place, password, prompts, logger } = this.#options
    const from = clock.now()
    const cancel = clock.after(this.#maxTime, () => {
      this.#outOfTime = !stop.signal.aborted
      stop.abort(new Error('out of time'))
    })
    try {
      let asked = false
      const noticed = prompts === undefined ? undefined : (): Prompt => {
        const prompt = prompts()
        return (request) => {
          asked = true
          return prompt(request)
        }
      }
      const situation = { place, flags, password, prompts: noticed, logger, work: this.#work, files: this.#files, children: this.#children }
      const [ssh, direct] = await Promise.all([findSsh(), findDirect(situation)])
      const entries = await allContenders(situation, ssh, direct)
      await this.#measure(entries, ssh, direct, from)
      if (asked && this.#report.leftOut.some(({ id, reason }) => /^ssh\b/.test(id) && /permission denied/i.test(reason))) {
        this.#report.notes.push('ssh would ask at each call, so it was not let: with the key in an agent (ssh-add) it takes part.')
      }
    } finally {
      cancel()
      this.leaveNothing()
    }
    this.#report.elapsed = clock.now() - from
    this.#report.ending = this.#outOfTime ? 'time' : stop.signal.aborted ? 'interrupted' : 'whole'
    return this.#report
  }

  /** Ends processes and removes files, at once. Harmless when repeated. */
  leaveNothing(): void {
    this.state = 'over'
    this.#children.kill()
    this.#files.close()
  }

  async #measure(entries: readonly Entry[], ssh: SshProgram | undefined, direct: Direct, from: number): Promise<void> {
    const { clock, stop, progress, notLocal } = this.#options
    const { calls, rounds, concurrency } = this.#report
    this.#report.versions.ssh = ssh?.version
    const measurement = new Measurement({ entries, calls, rounds, concurrency, clock, readCpu: () => readCpu(notLocal), stop: stop.signal, patience: Math.max(LEAST_PATIENCE, this.#maxTime * PATIENCE), progress })
    const place = (id: string): number => entries.findIndex((entry) => entry.id === id)
    this.#sayPlan(entries)
    try {
      await this.#add(measurement, entries)
      measurement.rows.sort((a, b) => place(a.id) - place(b.id))
      if (!stop.signal.aborted && measurement.rows.length > 0) {
        const left = this.#maxTime - (clock.now() - from)
        const needed = 'none' in direct ? 0 : measurement.alone.reduce((sum, call) => sum + timeToCount(call), 0)
        // A little is kept for what takes longer than it did at first.
        const takes = measurement.plan((left - Math.min(needed, left * COUNTING)) * 0.9)
        this.#sayShares(measurement, takes + countingBehind(takes, needed, left - this.#maxTime * (1 - COUNTED)))
        await measurement.run()
      }
      // Last, so that who stops early has what was timed.
      await this.#count(measurement, direct, from)
    } finally {
      progress('closing')
      await measurement.close()
      this.#report.rows = measurement.rows
      this.#report.leftOut = measurement.leftOut.map((one) => this.#told(one)).sort((a, b) => place(a.id) - place(b.id))
    }
  }

  async #add(measurement: Measurement, entries: readonly Entry[]): Promise<void> {
    const { stop } = this.#options
    const begin: (() => Promise<void>)[] = []
    for (const id of FIRST) {
      const entry = entries.find((one) => one.id === id)!
      const contender = entry.make()
      const learns = entry.id === 'ramet-warm' && contender instanceof WarmRamet ? async (): Promise<void> => {
        const { ping, node } = await contender.learn(stop.signal)
        this.#report.rtt.ping = ping
        this.#work.node = quoted(node) ?? this.#work.node
      } : undefined
      begin.push(await measurement.open(entry, contender, id === FIRST[0], learns))
    }
    // Where the Node is counts for all calls of a function.
    for (const make of begin) await make()
    for (const entry of entries) {
      if (!stop.signal.aborted && entry.leftOut === undefined && !FIRST.includes(entry.id)) await measurement.add(entry)
    }
  }

  /** What every shell says in words of its own. */
  #told(one: LeftOut): LeftOut {
    const noNode = this.#work.node === 'node' && one.kinds.length === 1 && one.kinds[0] === 'function' && one.reason.includes('exit code 127')
    return noNode ? { ...one, reason: 'there is no node on the PATH of a login' } : one
  }

  async #count(measurement: Measurement, direct: Direct, from: number): Promise<void> {
    const { stop, progress, clock } = this.#options
    if ('none' in direct) {
      this.#report.uncounted = direct.none
      return
    }
    if (stop.signal.aborted) return
    const { hostName: host, port } = direct.config
    // It is over before the whole time is: what was timed is complete.
    const enough = new AbortController()
    const cancel = clock.after(Math.max(0, this.#maxTime * COUNTED - (clock.now() - from)), () => enough.abort(new Error('no time left for counting')))
    const stopped = (): void => enough.abort(stop.signal.reason)
    stop.signal.addEventListener('abort', stopped, { once: true })
    const { counted, handshakes, problems } = await count({ entries: measurement.able, target: { host, port }, clock, stop: enough.signal, progress })
    cancel()
    stop.signal.removeEventListener('abort', stopped)
    if (enough.signal.aborted && !stop.signal.aborted) this.#report.notes.push('Not everything was counted: that would have taken more than --max-time.')
    this.#report.counted = counted
    // Work of other processes only ever adds to it: the shortest tells most.
    this.#report.rtt.tcp = handshakes.length === 0 ? undefined : Math.min(...handshakes)
    for (const problem of problems) this.#report.notes.push(`Not counted: ${problem}`)
  }

  #sayPlan(entries: readonly Entry[]): void {
    const { say } = this.#options
    const { calls, rounds, concurrency, target } = this.#report
    const taking = entries.filter(({ leftOut }) => leftOut === undefined)
    const wide = Math.max(...entries.map(({ label }) => label.length))
    if (calls < concurrency) this.#report.notes.push(`At most ${calls} calls at once, since there are no more (--calls).`)
    const capped = taking.filter(({ most }) => most !== undefined && most.count < Math.min(concurrency, calls))
    for (const { count: atOnce, why } of new Map(capped.map(({ most }) => [most!.why, most!])).values()) {
      const names = capped.filter(({ most }) => most!.why === why).map(({ label }) => label)
      this.#report.notes.push(`At most ${atOnce} calls at once, because of ${why}: ${names.join('; ')}.`)
    }
    say(visible([
      `ramet bench measures ${target} in ${taking.length} ways, ${plural(calls, 'call')} of each kind by each, ${concurrency} at once, in turn in ${plural(rounds, 'round')}; at most ${duration(this.#maxTime)}`,
      ...taking.map(({ label, what }) => `  ${label.padEnd(wide)}  ${what}`),
      ...entries.filter(({ leftOut }) => leftOut !== undefined).map(({ label, leftOut }) => `  ${label.padEnd(wide)}  left out: ${leftOut}`),
      ...KINDS.map((kind) => `  the ${kind}: ${this.#work.describe(kind)}`),
      'Nothing is installed there or written to its disk.', '',
    ].join('\n')))
  }

  #sayShares({ rows }: Measurement, takes: number): void {
    const { calls } = this.#report
    const fewer = rows.filter(({ planned }) => planned < calls)
    const same = fewer.length === rows.length && fewer.every(({ planned }) => planned === fewer[0]!.planned)
    const shares = same ? `${fewer[0]?.planned} by each` : fewer.map(({ label, kind, planned }) => `${label}, ${kind}: ${planned}`).join('; ')
    const note = fewer.length === 0 ? '' : `Fewer than ${plural(calls, 'call')}, to keep within the time: ${shares}.`
    if (note !== '') this.#report.notes.push(note)
    this.#options.say(`This takes about ${takes < 1000 ? shortTime(takes) : duration(takes)}.${note === '' ? '' : ` ${note}`}\n`)
  }
}
