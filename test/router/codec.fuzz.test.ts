import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decode, encode } from '../../src/router/codec.ts'
import { isRametError } from '../../src/router/errors.ts'

/** Any value that structured clone and the codec treat alike. Left out: what `encode` documents as different. */
const values = fc.letrec<{ value: unknown; key: string }>((tie) => ({
  key: fc.oneof(
    { weight: 8, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
    fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', 'length', '0', 'then', 'cause', 'stack', '\ud800'),
  ),
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.oneof(
      fc.integer(), fc.double(), fc.boolean(), fc.constantFrom(null, undefined, NaN, -0, Infinity), fc.bigInt(), fc.bigInt({ min: -(2n ** 300n), max: 2n ** 300n }),
      fc.string({ unit: 'binary', maxLength: 300 }), fc.string({ unit: fc.nat(0xffff).map((c) => String.fromCharCode(c)) }), fc.date({ noInvalidDate: false }),
      fc.constantFrom(/a|b/giu, /[/]/, /(?:)/m, new Date(NaN)),
      fc.uint8Array({ maxLength: 600 }), fc.int16Array(), fc.uint32Array(), fc.float64Array(), fc.uint8ClampedArray(), fc.bigInt64Array(),
      fc.uint8Array().map((bytes) => Uint8Array.from(bytes).buffer), fc.uint8Array().map((bytes) => new DataView(Uint8Array.from(bytes).buffer)),
    ),
    fc.array(tie('value'), { maxLength: 40 }),
    fc.array(fc.tuple(tie('key'), tie('value')), { maxLength: 40 }).map((entries) => {
      const object = {}
      for (const [key, value] of entries) Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true })
      return object
    }),
    fc.array(fc.tuple(tie('value'), tie('value')), { maxLength: 20 }).map((entries) => new Map(entries)),
    fc.array(tie('value'), { maxLength: 20 }).map((items) => new Set(items)),
    fc.tuple(fc.constantFrom(Error, TypeError, RangeError, SyntaxError), fc.string(), tie('value')).map(([Class, text, cause]) => new Class(text, { cause })),
  ),
})).value

/** All that makes a value what it is, as text. (isDeepStrictEqual sees neither stacks nor causes, nor two invalid dates as equal.) */
function shape(value: unknown): string {
  const items = (list: Iterable<unknown>): string => Array.from(list, shape).join()
  const tag = Object.prototype.toString.call(value)
  if (value instanceof Error) return `${tag}(${Object.getPrototypeOf(value) === globalThis[value.name as 'Error'].prototype}|${[value.name, value.message, value.stack].map(shape).join()}|${shape(value.cause)})`
  if (value instanceof Map) return `${tag}(${items(Array.from(value as Map<unknown, unknown>).flat(1))})`
  if (value instanceof Set || Array.isArray(value)) return `${tag}(${items(value)})`
  if (value instanceof Date) return `${tag}(${value.getTime()})`
  if (value instanceof RegExp) return `${tag}(${String(value)})`
  if (value instanceof ArrayBuffer) return `${tag}(${Buffer.from(value).toString('hex')})`
  if (ArrayBuffer.isView(value)) return `${tag}(${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')})`
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'object' && value !== null) {
    return `${tag}{${Object.keys(value).map((key) => JSON.stringify(key) + shape((value as Record<string, unknown>)[key])).join()}}`
  }
  return Object.is(value, -0) ? '-0' : typeof value + String(value)
}

/** Decodes and says how it ended; anything but a value or a coded error fails the test. */
function outcome(bytes: Uint8Array): 'value' | 'refused' {
  try {
    decode(bytes)
    return 'value'
  } catch (error) {
    if (!isRametError(error) || !['protocol-error', 'not-supported'].includes(error.code)) throw error
    return 'refused'
  }
}

// A number of runs, and whatever time a busy machine takes for them.
describe('the codec under random input', { timeout: 120_000 }, () => {
  it('carries any value exactly as structured clone would', () => {
    fc.assert(fc.property(values, (value) => {
      const result = decode(encode(value))
      expect(shape(result)).toBe(shape(structuredClone(value)))
    }), { numRuns: 1500 })
  })

  it('gives one result for one value: encoded again it is the same bytes', () => {
    fc.assert(fc.property(values, (value) => {
      const bytes = encode(value)
      expect(Buffer.compare(encode(decode(bytes)), bytes)).toBe(0)
    }), { numRuns: 500 })
  })

  it('refuses every beginning of a message', () => {
    fc.assert(fc.property(values, fc.nat(), (value, at) => {
      const bytes = encode(value)
      expect(outcome(bytes.subarray(0, at % bytes.length))).toBe('refused')
    }), { numRuns: 1000 })
  })

  it('answers arbitrary bytes with a value or a coded error', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => void outcome(bytes)), { numRuns: 10_000 })
  })

  it('answers damaged messages with a value or a coded error', () => {
    fc.assert(fc.property(values, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }), (value, changes) => {
      const bytes = encode(value)
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte
      outcome(bytes)
    }), { numRuns: 3000 })
  })

  it('answers bytes made of real tokens with a value or a coded error, and what it accepts can be sent on', () => {
    const token = fc.oneof(
      fc.constantFrom(0x80, 0x81, 0x82, 0x90, 0x91, 0x93, 0xa0, 0xa1, 0xc0, 0xc4, 0xc7, 0xc9, 0xcb, 0xcf, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xdc, 0xde),
      fc.nat(9), fc.nat(255),
    )
    fc.assert(fc.property(fc.array(token, { maxLength: 60 }), (tokens) => {
      const bytes = Uint8Array.from(tokens)
      if (outcome(bytes) === 'value') encode(decode(bytes))
    }), { numRuns: 20_000 })
  })
})
