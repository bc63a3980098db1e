import { isRametError, RametError } from './errors.ts'
import {
  BINARY_KINDS, COST_BOXED, COST_CONTAINER, COST_ERROR, EXT_BIGINT, EXT_BINARY, EXT_DATE, EXT_ERROR, EXT_MAP, EXT_REGEXP,
  EXT_SET, EXT_UNDEFINED, EXT_UTF16, MAX_COST, MAX_DEPTH,
} from './codec-format.ts'

// State of the one decode under way. Nothing below calls foreign code, so there is never a second.
let src: Buffer
let pos = 0
let end = 0
let depth = 0
let cost = 0

/** Short ASCII strings seen lately, by a hash of their bytes: keys and function names come again and again. */
const SHORT = 24
const seen: string[] = new Array<string>(1024).fill('')

/** Makes every error of a message leave the process in one shape, and none of its content with it. */
class Malformed extends Error {}

function bad(why: string): never {
  throw new Malformed(why)
}

/** The end of the next `length` bytes, which must be there. */
function take(length: number): number {
  const to = pos + length
  if (to > end) bad('it ends too early')
  return to
}

function uint(bytes: number): number {
  const to = take(bytes)
  let value = 0
  while (pos < to) value = value * 256 + (src[pos++] as number)
  return value
}

function spend(units: number): void {
  if ((cost -= units) < 0) bad('it would build too many values')
}

function float64(): number {
  const at = pos
  pos = take(8)
  return src.readDoubleBE(at)
}

function text(length: number): string {
  const from = pos
  const to = pos = take(length)
  let slot = 0
  if (length <= SHORT) {
    let hash = length
    for (let i = from; i < to; i++) hash = hash * 31 + (src[i] as number) | 0
    const known = seen[slot = hash & 1023] as string
    if (known.length === length) {
      let i = 0
      while (i < length && known.charCodeAt(i) === src[from + i]) i++
      // What is kept has as many characters as bytes: ASCII (or U+FFFD for damaged bytes, which equals no byte).
      if (i === length) return known
    }
  }
  const string = src.toString('utf8', from, to)
  if (length <= SHORT && string.length === length) seen[slot] = string
  return string
}

/** Always a copy: a value must neither pin the chunk it came in nor change with it. */
function bytes(length: number): Uint8Array {
  const from = pos
  pos = take(length)
  spend(COST_BOXED)
  return new Uint8Array(src.subarray(from, pos))
}

function deeper(): void {
  if (++depth > MAX_DEPTH) bad('it is nested too deeply')
}

function enter(count: number, minimum: number): void {
  deeper()
  // Each item takes a byte at least: a length that cannot be true fails before anything is allocated for it.
  if (count * minimum > end - pos) bad('it declares more than it holds')
  spend(COST_CONTAINER + count)
}

function array(length: number): unknown[] {
  enter(length, 1)
  // What is allocated ahead of the items is small, since every level of nesting may lie once.
  const items = new Array<unknown>(length < 64 ? length : 0)
  for (let i = 0; i < length; i++) items[i] = read()
  depth--
  return items
}

function object(length: number): Record<string, unknown> {
  enter(length, 2)
  const result: Record<string, unknown> = {}
  for (let i = 0; i < length; i++) {
    const key = string()
    const value = read()
    if (key === '__proto__') define(result, key, value, true)
    else result[key] = value
  }
  depth--
  return result
}

function define(on: object, key: string, value: unknown, enumerable: boolean): void {
  Object.defineProperty(on, key, { value, enumerable, configurable: true, writable: true })
}

function string(): string {
  const value = read()
  return typeof value === 'string' ? value : bad('a string is missing')
}

function error(): Error {
  spend(COST_ERROR)
  const name = string()
  const result = new Error(string())
  const stack = read()
  if (stack !== undefined && typeof stack !== 'string') bad('a stack is no text')
  // Only the standard classes, and only as prototypes: nothing of a class's own is run.
  const standard = /^(Eval|Range|Reference|Syntax|Type|URI|Aggregate)Error$/.test(name) &&
    (globalThis as unknown as Record<string, ErrorConstructor | undefined>)[name]
  if (standard) Object.setPrototypeOf(result, standard.prototype)
  else if (name !== 'Error') define(result, 'name', name, false)
  define(result, 'stack', stack, false)
  for (const enumerable of [false, true]) {
    const properties = read()
    if (typeof properties !== 'object' || !properties) bad('an error lacks its properties')
    for (const [key, value] of Object.entries(properties)) {
      // Whoever prints an error relies on these being text.
      if (/^(name|message|stack)$/.test(key)) bad('an error has a property twice')
      define(result, key, value, enumerable)
    }
  }
  return result
}

function extension(length: number): unknown {
  const type = uint(1)
  const to = take(length)
  if (type === EXT_UNDEFINED && length === 1) return void pos++
  spend(COST_BOXED)
  const outer = end
  end = to
  let value: unknown
  switch (type) {
    case EXT_DATE:
      value = new Date(float64())
      break
    case EXT_MAP:
      deeper()
      value = new Map()
      while (pos < to) (value as Map<unknown, unknown>).set(read(), read())
      depth--
      break
    case EXT_SET:
      deeper()
      value = new Set()
      while (pos < to) (value as Set<unknown>).add(read())
      depth--
      break
    case EXT_REGEXP:
      value = regexp(string(), string())
      break
    case EXT_ERROR:
      value = error()
      break
    case EXT_BIGINT: {
      const negative = uint(1)
      const magnitude = BigInt(`0x0${src.toString('hex', pos, to)}`)
      value = negative ? -magnitude : magnitude
      pos = to
      break
    }
    case EXT_BINARY: {
      const kind = BINARY_KINDS[uint(1)]
      const { buffer } = bytes(to - pos)
      if (!kind) bad('it holds an unknown kind of binary')
      value = kind === ArrayBuffer ? buffer : new (kind as typeof DataView)(buffer as ArrayBuffer)
      break
    }
    case EXT_UTF16:
      value = src.toString('utf16le', pos, to)
      pos = to
      break
    default:
      bad(`extension ${type} is not allowed`)
  }
  if (pos !== to) bad('an extension is longer than its value')
  end = outer
  return value
}

function regexp(source: string, flags: string): RegExp {
  try {
    return new RegExp(source, flags)
  } catch (cause) {
    // Not the link's fault: Nodes differ in the flags and the syntax that they know.
    throw new RametError('not-supported', `this Node (${process.version}) does not know a regular expression with flags ` +
      `"${flags.slice(0, 16)}" that it was sent`, { cause, hint: 'Send its source as text, or use syntax that both Nodes know.' })
  }
}

function read(): unknown {
  if (pos >= end) bad('it ends too early')
  const token = src[pos++] as number
  if (token < 0x80) return token
  if (token < 0x90) return object(token & 15)
  if (token < 0xa0) return array(token & 15)
  if (token < 0xc0) return text(token & 31)
  if (token >= 0xe0) return token - 256
  switch (token) {
    case 0xc0: return null
    case 0xc2: return false
    case 0xc3: return true
    case 0xc4: case 0xc5: case 0xc6: return bytes(uint(1 << token - 0xc4))
    case 0xc7: case 0xc8: case 0xc9: return extension(uint(1 << token - 0xc7))
    case 0xcb: return float64()
    case 0xcc: case 0xcd: case 0xce: return uint(1 << token - 0xcc)
    case 0xd0: return uint(1) << 24 >> 24
    case 0xd1: return uint(2) << 16 >> 16
    case 0xd2: return uint(4) | 0
    case 0xd3: {
      const at = pos
      pos = take(8)
      return src.readBigInt64BE(at)
    }
    case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8: return extension(1 << token - 0xd4)
    case 0xd9: case 0xda: case 0xdb: return text(uint(1 << token - 0xd9))
    case 0xdc: case 0xdd: return array(uint(2 << token - 0xdc))
    case 0xde: case 0xdf: return object(uint(2 << token - 0xde))
    default: return bad(`byte ${token} means nothing`)
  }
}

/**
 * The one value in `bytes`. Everything decoded is new: no byte of the input is referred to afterwards.
 *
 * Throws RametError 'protocol-error' on anything malformed: input that ends early or late, lengths beyond the input, nesting
 * beyond MAX_DEPTH, more values than MAX_COST, unknown extensions; 'not-supported' on a regular expression that only this
 * Node does not know.
 */
export function decode(bytes: Uint8Array): unknown {
  src = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  end = src.length
  pos = depth = 0
  cost = MAX_COST
  try {
    const value = read()
    if (pos < end) bad('bytes follow its end')
    return value
  } catch (cause) {
    if (isRametError(cause)) throw cause
    throw new RametError('protocol-error', `a message of ${bytes.length} bytes cannot be decoded: ${
      cause instanceof Malformed ? cause.message : 'it holds an impossible value'}`, {
      cause,
    })
  } finally {
    src = NOTHING
  }
}

const NOTHING = Buffer.alloc(0)
