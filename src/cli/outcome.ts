import { inspect } from 'node:util'
import { isRametError } from '../router/errors.ts'
import type { ExecResult, ContextInfo } from '../controller/api.ts'

/**
 * What became of a target: `unreachable`: connecting did not get through all its stages; `cancelled`: ended by us, and known to
 * have ended or never begun; `unknown`: handed on, and nobody can say whether it ran or still runs.
 */
export type Verdict = 'ok' | 'failed' | 'unreachable' | 'cancelled' | 'unknown'

export const VERDICTS = ['ok', 'failed', 'unreachable', 'cancelled', 'unknown'] as const satisfies readonly Verdict[]

/** What a target gave back. */
export type Body =
  | { kind: 'command'; result: ExecResult<Buffer> }
  | { kind: 'call'; value: unknown }
  /** A result that came item by item; the items themselves are kept only where the format needs them all at the end. */
  | { kind: 'stream'; count: number; items: unknown[] | undefined }
  | { kind: 'ping'; ping: Pinged }
  /** The same, where a drawing of all says it to people. */
  | { kind: 'tree'; ping: Pinged }

/** Who answered, and how soon. */
export interface Pinged {
  /** Milliseconds there and back. */
  rtt: number
  /** Milliseconds that connecting took. */
  connect: number
  runtime: 'node' | 'raw'
  info: ContextInfo | undefined
}

/** An error as the formats show it; plain data. */
export interface Failure {
  /** One of the codes of RametError, or 'internal-error'. */
  code: string
  message: string
  stage: string | undefined
  path: string[]
  outcome: 'not-sent' | 'failed' | 'unknown'
  hint: string
  cause: Cause | undefined
}

export interface Cause {
  name: string
  message: string
  code: string | undefined
  stack: string | undefined
  cause: Cause | undefined
}

export interface TargetResult {
  target: string
  verdict: Verdict
  /** Present when there is something to show: also beside a failure (a command that failed or was cut short). */
  body: Body | undefined
  failure: Failure | undefined
  /** Milliseconds from the start of work on this target. */
  took: number
}

export interface Summary {
  targets: number
  counts: Record<Verdict, number>
  /** Milliseconds. */
  took: number
  exitCode: number
  /** Names by verdict, in order of completion. */
  names: Record<Verdict, string[]>
  /** Of the cancelled ones: nothing was ever sent to them. */
  notStarted: string[]
}

/** A body together with what is wrong about it, if anything. */
export function resultOf(target: string, body: Body, took: number): TargetResult {
  const failure = body.kind === 'command' ? commandFailure(target, body.result) : undefined
  return { target, verdict: failure === undefined ? 'ok' : 'failed', body, failure, took }
}

export function failedResult(target: string, error: unknown, took: number): TargetResult {
  const failure = failureOf(error)
  return { target, verdict: verdictOf(failure), body: partialBody(error), failure, took }
}

export function failureOf(error: unknown): Failure {
  if (isRametError(error)) {
    const { code, message, stage, path, outcome, hint, cause } = error
    // Our own ^C as the cause of a cancellation says nothing new.
    const told = isRametError(cause) && cause.code === code
    return { code, message, stage, path, outcome, hint, cause: told ? undefined : causeOf(cause) }
  }
  return {
    code: 'internal-error', message: error instanceof Error ? error.message : String(error), stage: undefined, path: [], outcome: 'unknown',
    hint: 'this looks like a defect of ramet; please report it with the stack', cause: causeOf(error),
  }
}

function verdictOf(failure: Failure): Verdict {
  if (failure.outcome === 'unknown') return 'unknown'
  if (failure.code === 'cancelled') return 'cancelled'
  return failure.stage !== undefined || failure.code === 'link-lost' ? 'unreachable' : 'failed'
}

function commandFailure(target: string, result: ExecResult<Buffer>): Failure | undefined {
  if (result.exitCode === 0) return undefined
  const message = result.signal !== null ? `The command was ended by ${result.signal}` : `The command failed with exit code ${result.exitCode ?? 'unknown'}`
  return { code: 'exec-failed', message, stage: undefined, path: [target], outcome: 'failed', hint: '', cause: undefined }
}

/** A command that timed out, was cancelled or lost its link carries what it had printed. */
function partialBody(error: unknown): Body | undefined {
  const result = error instanceof Error && 'result' in error ? error.result as ExecResult<Buffer> | undefined : undefined
  if (result === undefined || !Buffer.isBuffer(result.stdout)) return undefined
  return { kind: 'command', result }
}

/** Causes come from remote code: their depth and their types are not ours. */
function causeOf(value: unknown, depth = 0): Cause | undefined {
  if (value === undefined || value === null || depth > 8) return undefined
  if (typeof value !== 'object') return { name: 'Error', message: typeof value === 'string' ? value : inspect(value), code: undefined, stack: undefined, cause: undefined }
  const { name, message, code, stack, cause } = value as Record<string, unknown>
  const text = (part: unknown): string | undefined => typeof part === 'string' ? part : undefined
  return { name: text(name) ?? 'Error', message: text(message) ?? '', code: text(code), stack: text(stack), cause: causeOf(cause, depth + 1) }
}
