import { types } from 'node:util'
import {
  BINARY_KINDS, COST_BOXED, COST_CONTAINER, COST_ERROR, EXT_BIGINT, EXT_BINARY, EXT_DATE, EXT_ERROR, EXT_MAP, EXT_REGEXP,
  EXT_SET, EXT_UNDEFINED, EXT_UTF16, MAX_COST, MAX_DEPTH,
} from './codec-format.ts'
import { tooLarge, unreadable, unsupported } from './codec-refusal.ts'
import type { EncodeOptions, Key } from './codec-refusal.ts'
import { MAX_MESSAGE } from './protocol.ts'

const CYCLE_FROM = 16

// State of the one encode under way; a getter that encodes makes a second, which sets this aside.
const own = Buffer.allocUnsafeSlow(8192)
let buf = own
let pos = 0
let depth = 0
let cost = 0
let limit = 0
let busy = false
/** The key under way on each level. */
let trail: Key[] = []
/** The objects under way from level CYCLE_FROM on: a cycle is noticed a few turns late, and everything else pays nothing. */
let line: object[] = []

/** Thrown by whatever stops an encode; `why` has the reason: words that follow the path, or TOO_LARGE. */
const STOP = new Error('encode stopped')
const TOO_LARGE = ''
let why = TOO_LARGE

function refuse(words: string): never {
  why = words
  throw STOP
}

function room(bytes: number): void {
  const need = pos + bytes
  if (need <= buf.length) return
  if (pos > limit || bytes > limit) refuse(TOO_LARGE)
  const larger = Buffer.allocUnsafeSlow(Math.max(need + 256, buf.length * 2))
  buf.copy(larger, 0, 0, pos)
  buf = larger
}

function spend(units: number): void {
  if ((cost -= units) < 0) refuse(TOO_LARGE)
}

/** The low `bytes` bytes of an integer, big-endian, two's complement. */
function put(value: number, bytes: number): void {
  for (let shift = bytes * 8; shift;) buf[pos++] = value >>> (shift -= 8)
}

/** One of MessagePack's families of tokens: `base` with one byte of length, the next with two, the next with four. */
function sized(base: number, value: number, atLeast = 1): void {
  const step = value < 0x100 && atLeast < 2 ? 0 : value < 0x10000 ? 1 : 2
  buf[pos++] = base + step
  put(value, 1 << step)
}

function number(value: number): void {
  // -0 passes the first test and fails the second.
  if (value >>> 0 === value && (value || 1 / value > 0)) {
    if (value < 0x80) buf[pos++] = value
    else sized(0xcc, value)
  } else if (value >> 0 === value && value) {
    if (value >= -0x20) buf[pos++] = value
    else {
      const step = value >= -0x80 ? 0 : value >= -0x8000 ? 1 : 2
      buf[pos++] = 0xd0 + step
      put(value, 1 << step)
    }
  } else {
    buf[pos++] = 0xcb
    pos = buf.writeDoubleBE(value, pos)
  }
}

/** Whether UTF-8 can carry a string: with the u flag only a lone surrogate matches. Node 20 has it much faster. */
const wellFormed = (String.prototype as { isWellFormed?: (this: string) => boolean }).isWellFormed ??
  function (this: string): boolean {
    return !/[\ud800-\udfff]/u.test(this)
  }

function string(value: string): void {
  const { length } = value
  room(40)
  if (length < 32) {
    let i = 0
    let at = pos + 1
    for (let c; i < length && (c = value.charCodeAt(i)) < 0x80; i++) buf[at++] = c
    if (i === length) {
      buf[pos] = 0xa0 + length
      pos = at
      return
    }
  }
  const bytes = Buffer.byteLength(value)
  if (bytes > length && !wellFormed.call(value)) return raw(EXT_UTF16, Buffer.from(value, 'utf16le'))
  room(bytes + 5)
  if (bytes < 32) buf[pos++] = 0xa0 + bytes
  else sized(0xd9, bytes)
  pos += buf.write(value, pos)
}

function raw(type: number, body: Uint8Array, first?: number): void {
  spend(COST_BOXED)
  const extra = first === undefined ? 0 : 1
  room(body.length + 8)
  sized(0xc7, body.length + extra)
  buf[pos++] = type
  if (extra) buf[pos++] = first as number
  buf.set(body, pos)
  pos += body.length
}

function list(value: readonly unknown[]): void {
  const { length } = value
  spend(COST_CONTAINER + length)
  if (length < 16) buf[pos++] = 0x90 + length
  else sized(0xdb, length, 2)
  const level = depth++
  for (let i = 0; i < length; i++) {
    trail[level] = i
    write(value[i])
  }
  depth--
}

function properties(value: object, keys: readonly string[]): void {
  const { length } = keys
  spend(COST_CONTAINER + length)
  room(8)
  if (length < 16) buf[pos++] = 0x80 + length
  else sized(0xdd, length, 2)
  const level = depth++
  for (let i = 0; i < length; i++) {
    const key = trail[level] = keys[i] as string
    string(key)
    write((value as Record<string, unknown>)[key])
  }
  depth--
}

/** An extension whose body is values: its length is filled in afterwards. */
function nested(type: number, body: () => void): void {
  spend(COST_BOXED)
  room(8)
  buf[pos++] = 0xc9
  const at = pos
  pos += 4
  buf[pos++] = type
  body()
  buf.writeUInt32BE(pos - at - 5, at)
}

function error(value: Error): void {
  spend(COST_ERROR)
  nested(EXT_ERROR, () => {
    const { name, message, stack } = value
    string(String(name))
    string(String(message))
    write(stack === undefined ? stack : String(stack))
    const shown = Object.keys(value).filter((key) => key !== 'name' && key !== 'message' && key !== 'stack')
    // A code that a class gives by a getter is what programs match on: it must not be lost with the class.
    const code: unknown = (value as { code?: unknown }).code
    properties(value, ['cause', 'errors', 'code'].filter((key) => !shown.includes(key) &&
      (Object.prototype.hasOwnProperty.call(value, key) || key === 'code' && /^(string|number)$/.test(typeof code))))
    properties(value, shown)
  })
}

const kindOfView = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype) as object, Symbol.toStringTag)?.get

function other(value: object): void {
  if (ArrayBuffer.isView(value) || types.isArrayBuffer(value)) {
    // Asked of the object's inside: constructor, prototype and Symbol.toStringTag may say anything.
    const view = ArrayBuffer.isView(value)
    const name = view ? kindOfView?.call(value) as string | undefined ?? 'DataView' : 'ArrayBuffer'
    const bytes = view ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : new Uint8Array(value)
    if (name === 'Uint8Array') {
      spend(COST_BOXED)
      room(bytes.length + 5)
      sized(0xc4, bytes.length)
      buf.set(bytes, pos)
      pos += bytes.length
    } else {
      const kind = BINARY_KINDS.findIndex((known) => known.name === name)
      if (kind < 0) refuse(`is a ${name}`)
      spend(COST_BOXED)
      raw(EXT_BINARY, bytes, kind)
    }
  } else if (types.isDate(value)) {
    spend(COST_BOXED)
    buf[pos++] = 0xd7
    buf[pos++] = EXT_DATE
    pos = buf.writeDoubleBE(Date.prototype.getTime.call(value), pos)
  } else if (types.isMap(value)) {
    let entry = 0
    nested(EXT_MAP, () => {
      const level = depth++
      for (const pair of Array.from(value)) {
        for (const part of pair) {
          trail[level] = --entry
          write(part)
        }
      }
      depth--
    })
  } else if (types.isSet(value)) {
    nested(EXT_SET, () => {
      const level = depth++
      Array.from(value).forEach((item, i) => {
        trail[level] = i
        write(item)
      })
      depth--
    })
  } else if (types.isRegExp(value)) {
    nested(EXT_REGEXP, () => {
      string(value.source)
      string(value.flags)
    })
  } else if (types.isNativeError(value) || value instanceof Error) {
    error(value)
  } else {
    // Promise, WeakMap, WeakRef, URL, AbortSignal, ReadableStream, generators, boxed primitives: all name themselves here,
    // and what they are is not in their properties.
    const tag = Object.prototype.toString.call(value).slice(8, -1)
    if (tag !== 'Object') refuse(`is ${/^[AEIOU]/.test(tag) ? 'an' : 'a'} ${tag} object`)
    if (typeof (value as { pipe?: unknown }).pipe === 'function') refuse('is a stream')
    properties(value, Object.keys(value))
  }
}

function write(value: unknown): void {
  room(16)
  switch (typeof value) {
    case 'number': return number(value)
    case 'string': return string(value)
    case 'boolean':
      buf[pos++] = value ? 0xc3 : 0xc2
      return
    case 'undefined':
      buf[pos++] = 0xd4
      buf[pos++] = EXT_UNDEFINED
      buf[pos++] = 0
      return
    case 'bigint': return bigint(value)
    case 'object': break
    default: refuse(`is a ${typeof value}`)
  }
  if (!value) {
    buf[pos++] = 0xc0
    return
  }
  if (depth >= CYCLE_FROM) {
    line.length = depth - CYCLE_FROM
    if (line.includes(value)) cycle(line.length - line.indexOf(value))
    if (depth >= MAX_DEPTH) refuse(`is nested more than ${MAX_DEPTH} levels deep`)
    line.push(value)
  }
  if (Array.isArray(value)) list(value)
  else {
    const prototype: unknown = Object.getPrototypeOf(value)
    if (prototype === Object.prototype || !prototype) properties(value, Object.keys(value))
    else other(value)
  }
}

/** Goes back to the path on which the cycle was met first: the keys repeat with its length. */
function cycle(length: number): never {
  while (depth > length && trail[depth - 1] === trail[depth - 1 - length]) depth--
  refuse('is an object that contains itself')
}

function bigint(value: bigint): void {
  if (BigInt.asIntN(64, value) === value) {
    buf[pos++] = 0xd3
    pos = buf.writeBigInt64BE(value, pos)
  } else {
    const negative = value < 0
    const digits = (negative ? -value : value).toString(16)
    raw(EXT_BIGINT, Buffer.from(digits.length % 2 ? '0' + digits : digits, 'hex'), +negative)
  }
}

/**
 * One value as bytes that the caller owns: no later encode touches them.
 *
 * Throws RametError: `options.code` with the path of what cannot travel (functions, symbols, cycles, promises, streams, weak
 * collections, boxed primitives, objects that name a class by Symbol.toStringTag, getters that throw); 'message-too-large'.
 */
export function encode(value: unknown, options: EncodeOptions = {}): Uint8Array {
  const outer = busy ? { buf, pos, depth, cost, limit, trail, line } : undefined
  if (outer) [buf, trail, line] = [Buffer.allocUnsafeSlow(1024), [], []]
  busy = true
  pos = depth = 0
  cost = MAX_COST
  limit = options.limit ?? MAX_MESSAGE
  try {
    write(value)
    if (pos > limit) refuse(TOO_LARGE)
    const bytes = buf.subarray(0, pos)
    // What outgrew our own buffer goes to the caller as it is, unless it would hold much more than it shows.
    return buf !== own && pos > buf.length >> 1 ? bytes : Buffer.from(bytes)
  } catch (cause) {
    if (cause !== STOP) throw unreadable(options, trail.slice(0, depth), cause)
    throw why === TOO_LARGE ? tooLarge(options, limit) : unsupported(options, trail.slice(0, depth), why)
  } finally {
    if (outer) ({ buf, pos, depth, cost, limit, trail, line } = outer)
    else {
      busy = false
      buf = own
      if (line.length) line = []
      if (trail.length > CYCLE_FROM) trail = []
    }
  }
}
