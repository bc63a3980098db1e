import { isRametError, RametError, type Stage, withOutcome } from '../router/errors.ts'

/** For one who gives up waiting. */
export function connectCancelled(path: readonly string[], stage: Stage, reason: unknown): RametError {
  return new RametError('cancelled', `${path.join(' > ')} was being connected when that was aborted`, {
    stage, path, outcome: 'not-sent', cause: reason, hint: 'Connect again when it is wanted.' })
}

/** For a call on a context that runs commands only. */
export function interpreterNeeded(path: readonly string[], cause?: Error): RametError {
  return new RametError('interpreter-needed', `${path.join(' > ')} has no interpreter: functions cannot run there, commands can`, {
    path, outcome: 'not-sent', cause, hint: 'Install Node 12 or later on it, name the one it has with the option node, or use exec().' })
}

/** Whether it says that the target lacks a Node that could run the stub. */
export function isNoNode(error: Error): boolean {
  return isRametError(error) && (error.code === 'no-interpreter' || error.code === 'interpreter-too-old')
}

/** The same error, with the stage at which it ended the attempt to connect. */
export function atStage({ code, message, path, outcome, hint, cause }: RametError, stage: Stage): RametError {
  return new RametError(code, message, { stage, path, outcome, hint, cause })
}

/** What keeps a context from being opened is another one's failure, mostly its hop's: the same error, as one of this context. */
export function asContextSees(error: unknown, path: readonly string[]): unknown {
  if (!isRametError(error) || error.path.join(' > ') === path.join(' > ')) return error
  const { code, message, stage, outcome, hint } = error
  return new RametError(code, `${path.join(' > ')} cannot be opened: ${message}`, { path, outcome, hint, cause: error, ...(stage === undefined ? {} : { stage }) })
}

/** Refusals before which nothing was passed on, or behind which nobody was. */
const NEVER_RAN: ReadonlySet<string> = new Set(['password-needed', 'password-refused', 'not-permitted', 'tty-required', 'container-not-found'])

/** What ends a context, for work that may have left: with the login goes everything that waited for it. */
export function asWorkSees(cause: RametError, connecting: boolean, launched: boolean, stage: Stage): RametError {
  const early = connecting && (!launched || stage === 'resolve' || stage === 'tcp' || stage === 'host-key' || NEVER_RAN.has(cause.code))
  return early ? cause : withOutcome(cause, 'unknown')
}
