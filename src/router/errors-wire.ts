import { inspect } from 'node:util'

/** What crosses a link of something that was thrown. Only these fields: an error may hold a whole socket in its properties. */
export interface WireError {
  name: string
  message: string
  code?: string | number
  stack?: string
  /** The hint of a RametError. */
  hint?: string
  cause?: WireError
}

/** Characters of a message, and of a stack. */
const MAX_TEXT = 64 * 1024
/** Characters of a name, code or hint. */
const MAX_WORD = 512
/** Errors in one chain of causes, the first included. */
const MAX_CHAIN = 8

/**
 * What is known of `thrown`, bounded: message and stack 64 Ki characters each, 8 errors in a chain of causes, a cycle cut.
 * Anything may be thrown and any getter may throw in turn: this does not.
 */
export function errorToWire(thrown: unknown): WireError {
  return toWire(thrown, [])
}

function toWire(thrown: unknown, above: readonly unknown[]): WireError {
  const name = field(thrown, 'name')
  const message = field(thrown, 'message')
  // An Error of another realm or a look-alike has a message, too; anything else is described.
  const wire: WireError = typeof message === 'string'
    ? { name: typeof name === 'string' ? cut(name, MAX_WORD) : 'Error', message: cut(message, MAX_TEXT) }
    : { name: 'Error', message: cut(typeof thrown === 'string' ? thrown : `${describe(thrown)} was thrown`, MAX_TEXT) }
  const code = field(thrown, 'code')
  if (typeof code === 'string') wire.code = cut(code, MAX_WORD)
  else if (typeof code === 'number') wire.code = code
  const stack = field(thrown, 'stack')
  if (typeof stack === 'string') wire.stack = cut(stack, MAX_TEXT)
  const hint = wire.name === 'RametError' ? field(thrown, 'hint') : undefined
  if (typeof hint === 'string') wire.hint = cut(hint, MAX_WORD)
  const chain = [...above, thrown]
  const cause = field(thrown, 'cause')
  if (cause !== undefined && cause !== null && chain.length < MAX_CHAIN && !chain.includes(cause)) wire.cause = toWire(cause, chain)
  return wire
}

/**
 * The error that a peer described, as `cause` of a 'remote-error': an Error with name, message, code, stack and cause of the
 * original, and of no class of ours or the program's. What the peer sent is checked and bounded once more; what is no
 * WireError at all becomes an Error that says so.
 */
export function errorFromWire(wire: unknown, chain = 1): Error & { code?: string | number } {
  const text = (key: keyof WireError, most: number): string | undefined => {
    const value = field(wire, key)
    return typeof value === 'string' ? cut(value, most) : undefined
  }
  const error: Error & { code?: string | number } = new Error(text('message', MAX_TEXT) ?? 'the target sent no description of its error')
  const hidden = (key: string, value: unknown): void => {
    if (value !== undefined) Object.defineProperty(error, key, { value, configurable: true, writable: true })
  }
  const name = text('name', MAX_WORD) ?? 'Error'
  hidden('name', name)
  // A stack of this process would point at the wrong machine.
  hidden('stack', text('stack', MAX_TEXT) ?? `${name}: ${error.message}`)
  hidden('hint', text('hint', MAX_WORD))
  const code = field(wire, 'code')
  if (typeof code === 'number') error.code = code
  else if (typeof code === 'string') error.code = cut(code, MAX_WORD)
  const cause = field(wire, 'cause')
  if (cause !== undefined && cause !== null && chain < MAX_CHAIN) hidden('cause', errorFromWire(cause, chain + 1))
  return error
}

function field(of: unknown, key: string): unknown {
  try {
    return of === null || typeof of !== 'object' && typeof of !== 'function' ? undefined : (of as Record<string, unknown>)[key]
  } catch {
    return undefined
  }
}

/** Runs no code of the value's: no custom inspection, no toString, no getters. */
function describe(thrown: unknown): string {
  try {
    return inspect(thrown, { depth: 1, customInspect: false, breakLength: Infinity })
  } catch {
    return 'something that cannot be shown'
  }
}

function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 3)}...` : text
}
