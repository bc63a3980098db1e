import type { Clock } from '../base/clock.ts'
import type { Pace } from '../connect/pace.ts'
import type { Heeded } from './heeded.ts'
import type { Jumps } from './jump-way.ts'
import type { LogBook } from './logs.ts'

/** Where a connection is for, and what it may use on the way. */
export interface ReachContext {
  name: string
  path: readonly string[]
  clock: Clock
  signal: AbortSignal
  /** Called with true while a person is asked, and with false afterwards. */
  prompting(now: boolean): void
  /** Work that has to end before the context counts as closed. It never rejects. */
  unfinished(work: Promise<unknown>): void
  /** Told when the configuration of an SSH target has been read. */
  heed(heeded: Heeded): void
  book: LogBook
  jumps: Jumps
  /** Spreads the logins from here to one server. */
  pace: Pace
}
