import type { ErrorCode } from '../router/errors.ts'

/**
 * The code that an error of a target or a hop names, if it has the form of one; undefined for all else. The name itself is not looked up: a stub of ours
 * is of our version, and one that is not could name any of ours as well.
 */
export function codeFrom(code: unknown): ErrorCode | undefined {
  return typeof code === 'string' && /^[a-z-]{2,40}$/.test(code) ? (code as ErrorCode) : undefined
}
