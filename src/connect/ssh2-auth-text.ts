import { RametError } from '../router/errors.ts'

/** A key's error, with the target that it was for. */
export function named({ code, message, hint, cause }: RametError, name: string): RametError {
  const text = message.startsWith(name) ? message : `${name}: ${message}`
  return new RametError(code, text, { stage: 'auth', path: [name], outcome: 'not-sent', hint, cause })
}

/** Text from a server that may be shown on a terminal. */
export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/g, '?').slice(0, 1000)
}
