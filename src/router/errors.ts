/** Where a connect stood when it failed. `ssh` is used where OpenSSH's client cannot tell more. */
export type Stage = 'resolve' | 'tcp' | 'host-key' | 'auth' | 'launch' | 'interpreter' | 'stub' | 'hello' | 'ssh'

/**
 * What is known of the work that failed: `not-sent`: it never left this process; `failed`: it was refused or ended with an
 * error; `unknown`: it was handed on and nobody can say whether it ran. Nothing `unknown` is ever repeated by ramet itself.
 */
export type Outcome = 'not-sent' | 'failed' | 'unknown'

/** Every code that a RametError can carry. Codes are stable: programs match on them. */
export type ErrorCode =
  // reaching a target
  | 'target-invalid' | 'config-invalid' | 'resolve-failed' | 'connect-refused' | 'connect-timeout' | 'connect-failed'
  | 'algorithm-mismatch' | 'host-key-unknown' | 'host-key-changed' | 'host-key-revoked' | 'host-key-refused'
  | 'auth-failed' | 'key-unreadable' | 'prompt-needed' | 'ssh-failed'
  | 'password-needed' | 'password-refused' | 'not-permitted' | 'tty-required' | 'container-not-found'
  // starting the stub
  | 'launch-failed' | 'no-interpreter' | 'interpreter-too-old' | 'boot-noise' | 'boot-eof' | 'boot-failed'
  // the link and its channels
  | 'link-lost' | 'protocol-error' | 'frame-too-large' | 'message-too-large' | 'overflow' | 'no-route' | 'not-allowed'
  // calls
  | 'remote-error' | 'cancelled' | 'timeout' | 'closed' | 'argument-unsupported' | 'result-unsupported'
  | 'captured-variables' | 'function-unsupported' | 'export-missing' | 'interpreter-needed' | 'worker-exited'
  | 'uncaught-error' | 'not-supported'
  // code
  | 'module-failed' | 'module-denied' | 'module-not-found'
  // commands
  | 'exec-failed' | 'spawn-failed' | 'output-lost'
  // the program that uses ramet
  | 'usage' | 'too-many-interpreters'

export interface ErrorDetails {
  stage?: Stage
  /** Names of the contexts from the controller down to where it happened. */
  path?: readonly string[]
  outcome?: Outcome
  /** One sentence that says what to do. */
  hint?: string
  cause?: unknown
}

/** The one class of every error that ramet raises. Match on `code`, not on the class: two copies of a library may meet. */
export class RametError extends Error {
  override readonly name = 'RametError'
  readonly code: ErrorCode
  readonly stage: Stage | undefined
  path: string[]
  readonly outcome: Outcome
  readonly hint: string

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    // Node 12 to 16.8 know nothing of the option above.
    if (details.cause !== undefined && this.cause === undefined) {
      Object.defineProperty(this, 'cause', { value: details.cause, configurable: true, writable: true })
    }
    this.code = code
    this.stage = details.stage
    this.path = [...(details.path ?? [])]
    this.outcome = details.outcome ?? 'failed'
    this.hint = details.hint ?? ''
  }
}

/** The same error for work of another fate. */
export function withOutcome(error: RametError, outcome: Outcome): RametError {
  if (error.outcome === outcome) return error
  const { code, message, stage, path, hint, cause } = error
  return new RametError(code, message, { path, outcome, hint, cause, ...(stage === undefined ? {} : { stage }) })
}

/** An error that was raised where nobody knew of a target, with the one that it concerns. */
export function located(error: Error, at: readonly string[]): Error {
  if (!isRametError(error) || error.path.length > 0) return error
  const { code, message, stage, outcome, hint, cause } = error
  return new RametError(code, `${at.join(' > ')}: ${message}`, { path: at, outcome, hint, cause, ...(stage === undefined ? {} : { stage }) })
}

export function isRametError(error: unknown): error is RametError {
  return error instanceof Error && error.name === 'RametError' && typeof (error as RametError).code === 'string'
}
