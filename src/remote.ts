/**
 * `ramet/remote`: what code that runs on a target can ask about the call it answers. On a target the stub's loader puts its own
 * object here; this file is what the same import gives anywhere else, where there is no call to ask about.
 */
import { RametError } from './router/errors.ts'

/** Writes records that arrive at the controller's logger, in order, as records of this context. */
export interface RemoteLog {
  debug(message: string, fields?: Record<string, unknown>): void
  info(message: string, fields?: Record<string, unknown>): void
  warn(message: string, fields?: Record<string, unknown>): void
  error(message: string, fields?: Record<string, unknown>): void
}

export interface Current {
  /** Aborted when the caller gave up, its deadline passed or the link was lost. */
  readonly signal: AbortSignal
  /** When the call times out: milliseconds since the epoch by this machine's clock; undefined without a timeout. */
  readonly deadline: number | undefined
  readonly log: RemoteLog
  /** Names of the contexts from the controller down to this one. */
  readonly path: readonly string[]
}

/** The call that is running. Throws 'usage' where none is: on the controller, or in a test that calls the function itself. */
export const current: Current = {
  get signal(): never { return outside('signal') },
  get deadline(): never { return outside('deadline') },
  get log(): never { return outside('log') },
  get path(): never { return outside('path') },
}

function outside(property: keyof Current): never {
  throw new RametError('usage', `current.${property} was read in a process that no ramet controller called`, {
    hint: 'call the function through context.use() or context.call(); `current` exists only while a call runs on a target',
  })
}
