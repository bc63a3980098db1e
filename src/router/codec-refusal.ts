import { errorToWire } from './errors-wire.ts'
import { RametError } from './errors.ts'

export interface EncodeOptions {
  /** What is raised for a value that cannot travel. Default 'argument-unsupported'. */
  code?: 'argument-unsupported' | 'result-unsupported'
  /** What paths in messages begin with. Default 'value'. */
  root?: string
  /** Index of the item that `root` names when `value` is a list around it: `{ root: 'args', item: 3 }`. Default: `value` itself. */
  item?: number
  /** Bytes that the result may have. Default 64 MiB. */
  limit?: number
}

/** One step of a path. A string is a property; a number an index; below zero, entry n of a Map: -1 - 2n its key, -2 - 2n its value. */
export type Key = string | number

/** `args[0].handlers.onClick`, at most 64 steps of it. */
function path({ root = 'value', item }: EncodeOptions, keys: readonly Key[]): string {
  const named = item !== undefined && keys[0] === item ? keys.slice(1) : keys
  return root + named.slice(0, 64).map((key) => typeof key === 'number'
    ? key >= 0 ? `[${key}]` : `<${key % 2 ? 'key' : 'value'} ${-1 - key >> 1}>`
    : /^[A-Za-z_$][\w$]*$/.test(key) && key.length < 80 ? `.${key}` : `[${JSON.stringify(key.slice(0, 80))}]`).join('')
}

/** The value at the end of `keys` is something that cannot travel; `why` says what, as in "is a function". */
export function unsupported(options: EncodeOptions, keys: readonly Key[], why: string): RametError {
  return new RametError(options.code ?? 'argument-unsupported', `${path(options, keys)} ${why}, which cannot be sent to another process`,
    { outcome: 'not-sent' })
}

/** A getter or a proxy threw `cause`, whatever that is. */
export function unreadable(options: EncodeOptions, keys: readonly Key[], cause: unknown): RametError {
  return new RametError(options.code ?? 'argument-unsupported',
    `${path(options, keys)} cannot be read: ${errorToWire(cause).message.slice(0, 200)}`,
    { outcome: 'not-sent', cause })
}

export function tooLarge({ root = 'value' }: EncodeOptions, limit: number): RametError {
  return new RametError('message-too-large', `${root} is too large to send: one message may have ${limit} bytes and a few million values`,
    { outcome: 'not-sent' })
}
