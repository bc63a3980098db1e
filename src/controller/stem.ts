import type { CodeLink } from '../router/code-link.ts'
import type { RametError, Stage } from '../router/errors.ts'
import type { LinkStats } from './api.ts'

/** What a stem tells the context that hangs on it. */
export interface StemOwner {
  /** The context has said who it is; `hello` is what it sent. */
  greeted(hello: Uint8Array): void
  /** There is no way to it any more, or there never will be. */
  lost(cause: RametError): void
  responsive(responsive: boolean): void
}

/** How a context with an interpreter hangs in the tree: on a link of this process (near), or below a hop (far). */
export interface Stem {
  /** Code for the context goes over this link. */
  readonly code: CodeLink
  /** Where connecting stands. */
  readonly stage: Stage
  /** Whether a program has been started that may have heard of work. */
  readonly launched: boolean
  /** Milliseconds of one round trip. */
  ping(): Promise<number>
  /** Tells the context to end, and waits until it has, or not for too long. */
  goodbye(): Promise<void>
  /** Gives it up at once. */
  drop(cause: RametError): void
  stats(): Omit<LinkStats, 'path' | 'from' | 'to' | 'roundTrips' | 'state'>
  describe(): Record<string, unknown>
}

/** Of a context without a stem. */
export const NOTHING = { rtt: undefined, bytesIn: 0, bytesOut: 0, framesIn: 0, framesOut: 0, modulesSent: 0, modulesReused: 0, codeBytes: 0 }
