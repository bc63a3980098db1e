import { Readable } from 'node:stream'
import { runInNewContext } from 'node:vm'
import { Packr } from 'msgpackr'
import { describe, expect, it } from 'vitest'
import { decode, encode } from '../../src/router/codec.ts'
import type { EncodeOptions } from '../../src/router/codec.ts'
import { isRametError } from '../../src/router/errors.ts'
import type { RametError } from '../../src/router/errors.ts'

const copy = (value: unknown): unknown => decode(encode(value))

function failure(run: () => unknown): RametError {
  try {
    run()
  } catch (error) {
    if (isRametError(error)) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

const refusal = (value: unknown, options?: EncodeOptions): RametError => failure(() => encode(value, options))
const malformed = (...bytes: number[]): RametError => failure(() => decode(Uint8Array.from(bytes)))

describe('what the codec carries', () => {
  it.each([
    null, undefined, true, false, 0, 1, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 53, -1, -32, -33, -128, -129, -32768,
    -32769, -(2 ** 31), -(2 ** 31) - 1, 0.5, -0, NaN, Infinity, -Infinity, Number.MIN_VALUE, Number.MAX_VALUE,
    '', 'a', 'x'.repeat(31), 'x'.repeat(32), 'x'.repeat(255), 'x'.repeat(256), 'x'.repeat(65535), 'x'.repeat(70000), 'ä'.repeat(20), '日本', '👍'.repeat(9),
    '\ufeffbom', '\0', '\ufffd', '\ud800', 'a\udc00b', `${'x'.repeat(100)}\ud83d`,
    0n, 1n, -1n, 2n ** 63n - 1n, 2n ** 63n, -(2n ** 63n), -(2n ** 63n) - 1n, 10n ** 60n, -(7n ** 500n),
  ])('carries %o exactly', (value) => {
    expect(Object.is(copy(value), value)).toBe(true)
    expect(Object.is((copy([value, value]) as unknown[])[1], value)).toBe(true)
  })

  it('keeps undefined as a property and as an item', () => {
    const result = copy({ a: undefined, b: [undefined, 1] }) as Record<string, unknown>
    expect(Object.keys(result)).toEqual(['a', 'b'])
    expect(result).toStrictEqual({ a: undefined, b: [undefined, 1] })
  })

  it('makes holes of an array undefined', () => {
    // eslint-disable-next-line no-sparse-arrays
    expect(copy([1, , 3])).toStrictEqual([1, undefined, 3])
  })

  it.each([0, 15, 16, 63, 64, 65535, 65536])('carries lists, objects, maps and sets of %i', (size) => {
    const keys = Array.from({ length: size }, (_, i) => `k${i}`)
    for (const value of [keys, Object.fromEntries(keys.map((k, i) => [k, i])), new Map(keys.map((k, i) => [k, i])), new Set(keys)]) {
      expect(copy(value)).toStrictEqual(value)
    }
  })

  it('carries dates, also before 1970, with a fraction of a second, and invalid ones', () => {
    const dates = [new Date(0), new Date(1), new Date(-1), new Date(1234567890123), new Date(8.64e15), new Date(-8.64e15)]
    expect(copy(dates)).toStrictEqual(dates)
    const invalid = copy(new Date(NaN))
    expect(invalid).toBeInstanceOf(Date)
    expect((invalid as Date).getTime()).toBeNaN()
  })

  it('carries regular expressions with their flags and starts them anew', () => {
    const sticky = /a+(?<n>\/)/giy
    sticky.lastIndex = 3
    const result = copy(sticky) as RegExp
    expect([result.source, result.flags, result.lastIndex]).toEqual([sticky.source, 'giy', 0])
  })

  it('carries maps and sets with any keys', () => {
    const map = new Map<unknown, unknown>([[{ k: 1 }, [new Set([1, new Map([[NaN, null]])])]], [undefined, -0], [2n, new Date(5)]])
    expect(copy(map)).toStrictEqual(map)
  })

  it('carries every kind of binary and never shares memory with what came in', () => {
    const raw = Uint8Array.from({ length: 48 }, (_, i) => i * 5)
    const values = [
      raw, new Uint8Array(0), new Uint8Array(300), new Uint8Array(70000).fill(7), raw.buffer, new DataView(raw.buffer, 3, 10),
      new Int8Array(raw.buffer), new Uint8ClampedArray(raw.buffer, 5, 5), new Int16Array(raw.buffer, 2, 4), new Uint16Array(raw.buffer),
      new Int32Array(raw.buffer), new Uint32Array(raw.buffer), new Float32Array([1.5, NaN]), new Float64Array([Math.PI]),
      new BigInt64Array([-1n]), new BigUint64Array([2n ** 64n - 1n]),
    ]
    const message = encode(values)
    const result = decode(message) as Uint8Array[]
    message.fill(0xff)
    expect(result).toStrictEqual(values)
    for (const item of result) expect(item.buffer ?? item).not.toBe(message.buffer)
  })

  it('turns a Buffer into a Uint8Array of its own, as structured clone does', () => {
    const result = copy(Buffer.from('hi')) as Uint8Array
    expect(Object.getPrototypeOf(result)).toBe(Uint8Array.prototype)
    expect([...result]).toEqual([104, 105])
    expect(result.buffer.byteLength).toBe(2)
  })

  it('carries an error as its standard class with stack, code, cause and own properties', () => {
    const cause = new RangeError('deep')
    const error = Object.assign(new TypeError('bad', { cause }), { code: 'EX', errno: -2, detail: { at: [1] } })
    const result = copy(error) as typeof error
    expect(result).toBeInstanceOf(TypeError)
    expect(Object.keys(result)).toEqual(['code', 'errno', 'detail'])
    expect(result).toMatchObject({ name: 'TypeError', message: 'bad', code: 'EX', errno: -2, detail: { at: [1] } })
    expect(result.stack).toBe(error.stack)
    expect(result.cause).toBeInstanceOf(RangeError)
    expect((result.cause as Error).stack).toBe(cause.stack)
  })

  it('carries the name of an error class it does not know, and the code that a getter gives', () => {
    class HttpError extends Error {
      override get name(): string {
        return 'HttpError'
      }
      get code(): string {
        return 'E404'
      }
    }
    const result = copy(new HttpError('gone')) as HttpError
    expect(Object.getPrototypeOf(result)).toBe(Error.prototype)
    expect([result.name, result.message, result.code]).toEqual(['HttpError', 'gone', 'E404'])
    const aborted = copy(new DOMException('stop', 'AbortError')) as Error
    expect(aborted).toBeInstanceOf(Error)
    expect(aborted.name).toBe('AbortError')
    const several = copy(new AggregateError([new Error('one')], 'all')) as AggregateError
    expect(several).toBeInstanceOf(AggregateError)
    expect((several.errors[0] as Error).message).toBe('one')
  })

  it('carries any key of an object without touching a prototype', () => {
    const value = JSON.parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{"x":1}},"toJSON":5,"hasOwnProperty":1,"":2,"\\ud800":3,"é":4}') as object
    const result = copy(value) as Record<string, unknown>
    expect(Object.keys(result)).toEqual(Object.keys(value))
    expect(Object.getOwnPropertyDescriptor(result, '__proto__')).toEqual({ value: { polluted: 1 }, enumerable: true, writable: true, configurable: true })
    expect(Object.getPrototypeOf(result)).toBe(Object.prototype)
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
  })

  it('makes plain objects of class instances, objects without prototype and objects of another realm', () => {
    class Point {
      x = 1
      #secret = 2
      static readonly y = 3
      sum(): number {
        return this.x + this.#secret
      }
    }
    expect(copy(new Point())).toStrictEqual({ x: 1 })
    expect(copy(Object.assign(Object.create(null) as object, { a: 1 }))).toStrictEqual({ a: 1 })
    const foreign = runInNewContext('({ o: { a: 1 }, m: new Map([[1, 2]]), d: new Date(5), e: new RangeError("far"), l: [1], r: /x/ })') as object
    const result = copy(foreign) as { e: Error }
    expect(result).toMatchObject({ o: { a: 1 }, m: new Map([[1, 2]]), d: new Date(5), l: [1], r: /x/ })
    expect(result.e).toBeInstanceOf(RangeError)
  })

  it('does not ask for toJSON', () => {
    expect(refusal({ toJSON: () => 5 }).message).toContain('value.toJSON is a function')
  })

  it('repeats an object that is met twice', () => {
    const shared = { a: 1 }
    const [one, two] = copy([shared, shared]) as object[]
    expect(one).toEqual(two)
    expect(one).not.toBe(two)
  })

  it('gives bytes that later encodes leave alone', () => {
    const first = encode(['first', 1])
    const large = encode('x'.repeat(200_000))
    encode(['other', 2, 'y'.repeat(200_000)])
    expect(decode(first)).toEqual(['first', 1])
    expect(decode(large)).toBe('x'.repeat(200_000))
  })

  it('lets a getter encode in its turn', () => {
    const value = { before: 'a', get inner() { return encode({ deep: [1, 2, { get more() { return encode('z') } }] }) }, after: 'b' }
    const result = copy(value) as { before: string; inner: Uint8Array; after: string }
    expect([result.before, result.after]).toEqual(['a', 'b'])
    expect(decode((decode(result.inner) as { deep: [number, number, { more: Uint8Array }] }).deep[2].more)).toBe('z')
  })

  it('is MessagePack: msgpackr reads ours and we read what it writes of plain data', () => {
    const packr = new Packr({ useRecords: false, variableMapSize: true })
    const value = { list: [1, -5, 300, 70000, -70000, 1.5, 'x'.repeat(40), 'é'], big: 2n ** 62n, deep: { yes: true, no: null, un: undefined }, bin: Buffer.from('abc') }
    expect(packr.unpack(encode(value))).toEqual(value)
    expect(decode(packr.pack(value))).toEqual({ ...value, bin: Uint8Array.from(value.bin) })
  })
})

describe('what the codec refuses to send', () => {
  function* generate(): Generator<number> {
    yield 1
  }
  it.each<[string, unknown, string]>([
    ['a function', { handlers: { onClick: () => {} } }, 'value.handlers.onClick is a function'],
    ['a class', [class {}], 'value[0] is a function'],
    ['a symbol', ['a', { 'odd key': Symbol('s') }], 'value[1]["odd key"] is a symbol'],
    ['a proxy of a function', { p: new Proxy(() => {}, {}) }, 'value.p is a function'],
    ['a promise', { p: Promise.resolve() }, 'value.p is a Promise object'],
    ['a WeakMap', [new WeakMap()], 'value[0] is a WeakMap object'],
    ['a WeakSet', [new WeakSet()], 'value[0] is a WeakSet object'],
    ['a WeakRef', [new WeakRef({})], 'value[0] is a WeakRef object'],
    ['a boxed string', [Object('s')], 'value[0] is a String object'],
    ['a boxed number', [Object(1)], 'value[0] is a Number object'],
    ['a boxed bigint', [Object(1n)], 'value[0] is a BigInt object'],
    ['shared memory', [new SharedArrayBuffer(1)], 'value[0] is a SharedArrayBuffer object'],
    ['a generator', [generate()], 'value[0] is a Generator object'],
    ['a URL', [new URL('http://a')], 'value[0] is an URL object'],
    ['an AbortSignal', [new AbortController().signal], 'value[0] is an AbortSignal object'],
    ['a Node stream', { body: Readable.from([]) }, 'value.body is a stream'],
    ['a web stream', [new ReadableStream()], 'value[0] is a ReadableStream object'],
    ['something in a map', { m: new Map([['a', 1], ['b', { f: () => {} }]] as [string, unknown][]) }, 'value.m<value 1>.f is a function'],
    ['a key of a map', new Map([[Symbol.iterator, 1]]), 'value<key 0> is a symbol'],
    ['something in a set', new Set([1, Symbol.iterator]), 'value[1] is a symbol'],
    ['something in an error', Object.assign(new Error('x'), { request: { go: () => {} } }), 'value.request.go is a function'],
    ['a cause', new Error('x', { cause: () => {} }), 'value.cause is a function'],
  ])('refuses %s by its path', (_, value, text) => {
    const error = refusal(value)
    expect(error.message).toContain(text)
    expect([error.code, error.outcome]).toEqual(['argument-unsupported', 'not-sent'])
  })

  it('names the argument when the list of arguments stands inside a message, and results by their own code', () => {
    const args = [{ handlers: { onClick: () => {} } }]
    expect(refusal([1, 7, 'noop', args], { root: 'args', item: 3 }).message).toContain('args[0].handlers.onClick is a function')
    const error = refusal([0, { a: () => {} }], { root: 'result', item: 1, code: 'result-unsupported' })
    expect(error.message).toContain('result.a is a function')
    expect(error.code).toBe('result-unsupported')
  })

  it('refuses a cycle where it closes', () => {
    const self: Record<string, unknown> = { a: 1 }
    self['me'] = self
    expect(refusal(self).message).toContain('value.me is an object that contains itself')
    const parent = { name: 'p', children: [] as unknown[] }
    parent.children.push({ name: 'c', parent })
    expect(refusal([parent]).message).toContain('value[0].children[0].parent is an object that contains itself')
    const map = new Map<string, unknown>()
    map.set('x', new Set([map]))
    expect(refusal(map).message).toContain('value<value 0>[0] is an object that contains itself')
    const error = new Error('x')
    error.cause = error
    expect(refusal(error).message).toContain('value.cause is an object that contains itself')
  })

  it('refuses what is nested too deeply, and carries what it does not refuse', () => {
    const nest = (levels: number, wrap: (inner: unknown) => unknown): unknown => {
      let value: unknown = 1
      for (let i = 0; i < levels; i++) value = wrap(value)
      return value
    }
    for (const wrap of [
      (v: unknown): unknown => [v], (v: unknown): unknown => ({ v }), (v: unknown): unknown => new Map([[v, v === 1 ? 2 : 1]]),
      (v: unknown): unknown => new Set([v]), (v: unknown): unknown => new Error('e', { cause: v }),
    ]) {
      const deep = encode(nest(500, wrap))
      expect(Buffer.compare(encode(decode(deep)), deep)).toBe(0)
      const error = refusal(nest(501, wrap))
      expect(error.code).toBe('argument-unsupported')
      expect(error.message).toContain('is nested more than 500 levels deep')
    }
  })

  it('names the getter that throws and keeps what it threw', () => {
    const cause = new Error('boom')
    const error = refusal({ ok: 1, list: [{ get bad() { throw cause } }] })
    expect(error.code).toBe('argument-unsupported')
    expect(error.message).toBe('value.list[0].bad cannot be read: boom')
    expect(error.cause).toBe(cause)
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    expect(refusal([proxy]).code).toBe('argument-unsupported')
  })

  it('is not hurt by a throw that cannot be printed', () => {
    for (const nasty of [{ toString() { throw new Error('no') } }, new Proxy(new Error(), { get() { throw new Error('no') } }), Symbol('s')]) {
      expect(refusal({ get bad() { throw nasty } }).message).toMatch(/^value\.bad cannot be read/)
    }
  })

  it('works again after each refusal', () => {
    refusal([[[() => {}]]])
    expect(copy([[1], 'two'])).toEqual([[1], 'two'])
  })

  it('refuses more bytes than the limit, and more values than a receiver would build', () => {
    expect(encode(new Uint8Array(1000), { limit: 1003 }).length).toBe(1003)
    for (const value of [new Uint8Array(1001), 'x'.repeat(1001), Array.from({ length: 1002 }, () => 1), 'é'.repeat(501)]) {
      const error = refusal(value, { limit: 1003, root: 'args' })
      expect([error.code, error.outcome]).toEqual(['message-too-large', 'not-sent'])
      expect(error.message).toContain('args is too large')
    }
    expect(refusal([new Uint8Array(200 * 1024 * 1024)]).code).toBe('message-too-large')
    expect(refusal(new Array(2 ** 25)).code).toBe('message-too-large')
  })
})

describe('what the codec refuses to decode', () => {
  it.each<[string, number[]]>([
    ['nothing at all', []],
    ['a second value', [1, 2]],
    ['a list that ends early', [0x92, 1]],
    ['an object without a value', [0x81, 0xa1, 0x61]],
    ['an object with a number for a key', [0x81, 1, 1]],
    ['the byte that means nothing', [0xc1]],
    ['a 32-bit float, which nobody sends', [0xca, 0, 0, 0, 0]],
    ['a list of 4 thousand million', [0xdd, 0xff, 0xff, 0xff, 0xff]],
    ['an object of 4 thousand million', [0xdf, 0xff, 0xff, 0xff, 0xff]],
    ['4 GiB of bytes', [0xc6, 0xff, 0xff, 0xff, 0xff]],
    ['4 GiB of text', [0xdb, 0xff, 0xff, 0xff, 0xff]],
    ['4 GiB of extension', [0xc9, 0xff, 0xff, 0xff, 0xff, 1]],
    ['a length that is cut off', [0xdd, 0xff]],
    ['a record definition of msgpackr', [0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 1]],
    ['an error of msgpackr', [0xd4, 0x65, 0, 0x93, 0xa1, 0x45, 0xa1, 0x78, 0xc0]],
    ['an unknown extension', [0xd4, 0x33, 1]],
    ['a date of 4 bytes', [0xd6, 1, 0, 0, 0, 0]],
    ['a date of 9 bytes', [0xc7, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
    ['an error with a second message', [0xc7, 11, 5, 0xa1, 0x45, 0xa0, 0xd4, 0, 0, 0x81, 0xa4, 0x6e, 0x61, 0x6d, 0x65, 1, 0x80]],
    ['a map with a key only', [0xd4, 2, 1]],
    ['a map that runs over its own end', [0xd5, 2, 1, 0x91, 1]],
    ['an unknown kind of binary', [0xd4, 7, 99]],
    ['half an item of a typed array', [0xd5, 7, 4, 1]],
    ['an error without text', [0xd5, 5, 1, 2]],
    ['an undefined with something in it', [0xd5, 0, 0, 0]],
  ])('refuses %s', (_, bytes) => {
    const error = malformed(...bytes)
    expect(error.code).toBe('protocol-error')
    expect(error.message).toContain(`${bytes.length} bytes`)
  })

  it('sees at once that a length cannot be true', () => {
    expect(malformed(0xdc, 0xff, 0xff, 1, 2, 3).message).toContain('declares more than it holds')
    expect(malformed(0x82, 0xa1, 0x61, 1).message).toContain('declares more than it holds')
  })

  it('gives damaged UTF-8 the same replacement each time', () => {
    for (let i = 0; i < 2; i++) expect(decode(Uint8Array.of(0x92, 0xa1, 0xff, 0xa2, 0xc3, 0x28))).toEqual(['\ufffd', '\ufffd('])
  })

  it('refuses nesting beyond the limit, of every kind', () => {
    for (const level of [[0x91], [0x81, 0xa1, 0x61]]) {
      const bytes = Array.from({ length: 600 }, () => level).flat()
      expect(malformed(...bytes, 1).message).toContain('nested too deeply')
    }
    expect(failure(() => decode(Buffer.alloc(5_000_000, 0x91))).code).toBe('protocol-error')
    let sets = Uint8Array.of(1)
    for (let i = 0; i < 600; i++) {
      const length = sets.length
      sets = Uint8Array.of(0xc9, length >>> 24, length >>> 16, length >>> 8, length, 3, ...sets)
    }
    expect(failure(() => decode(sets)).message).toContain('nested too deeply')
  })

  it('refuses a message that would fill the memory: small bytes, large values', () => {
    const list = (token: number[], count: number): Uint8Array => {
      const bytes = Buffer.alloc(5 + count * token.length, Buffer.from(token))
      bytes.set([0xdd, count >>> 24, count >>> 16, count >>> 8, count])
      bytes.set(token, 5)
      for (let i = 0; i < count; i++) bytes.set(token, 5 + i * token.length)
      return bytes
    }
    for (const token of [[0xc4, 0], [0x80], [0x90], [0xd6, 3, 0x90, 0x90, 0x90, 0x90]]) {
      expect(failure(() => decode(list(token, 5_000_000))).message).toContain('too many values')
    }
  })

  it('tells a regular expression that this Node does not know from a damaged message', () => {
    const source = encode(/a/g)
    source[source.length - 1] = 0x21
    const error = failure(() => decode(source))
    expect(error.code).toBe('not-supported')
    expect(error.hint).not.toBe('')
  })

  it('works again after each refusal', () => {
    malformed(0x91, 0xd4)
    expect(decode(Uint8Array.of(0x91, 5))).toEqual([5])
  })
})
