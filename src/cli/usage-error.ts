import { RametError } from '../router/errors.ts'

/** What the person typed can't be done as it stands. Nothing has been contacted yet. */
export function usageError(message: string, hint = '', cause?: unknown): RametError {
  return new RametError('usage', message, { outcome: 'not-sent', hint, cause })
}
