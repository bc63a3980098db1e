import { RametError } from '../router/errors.ts'
import type { ErrorCode } from '../router/errors.ts'

/** What to do, where whoever raised the error did not say: the engine runs on every target, and each of its sentences would be sent there. */
const HINTS: Partial<Record<ErrorCode, string>> = {
  'cancelled': 'The caller gave it up; what had been done by then stays done.',
  'timeout': 'Give it more time with `timeout`; what had been done by then stays done.',
  'closed': 'Connect again, and close it when its work is done.',
  'no-route': 'Connect again.',
  'link-lost': 'Connect again, and look at the target for what work under way had done.',
  'protocol-error': 'A stub of ours does not do that: find out who runs there.',
  'not-allowed': 'A stub of ours does not do that: find out who runs there.',
  'message-too-large': 'Send it in parts, as a stream or a file, or raise limits.message.',
  'argument-unsupported': 'Send plain data: take this value out, or send a plain copy or what it stands for.',
  'result-unsupported': 'Return plain data: take this value out, or return a plain copy or what it stands for.',
  'module-not-found': 'What is not built into the Node there must be importable on the controller, so that it is sent along.',
  'overflow': 'Read sooner what it sends, or ask for less at once.',
  'worker-exited': 'The log of the context says why. The next call starts another Worker.',
  'uncaught-error': 'The log of the context says where it was thrown.',
}

/** What to do about errors of this code in general; '' where that depends. */
export function hintFor(code: ErrorCode): string {
  return HINTS[code] ?? ''
}

/** The same error, saying what to do. */
export function hinted(error: RametError): RametError {
  const { code, message, stage, path, outcome, cause } = error
  const hint = hintFor(code)
  if (error.hint !== '' || hint === '') return error
  return new RametError(code, message, { path, outcome, hint, cause, ...(stage === undefined ? {} : { stage }) })
}
