import { describe, expect, it } from 'vitest'
import { decode, encode } from '../../src/router/codec.ts'
import { errorFromWire, errorToWire } from '../../src/router/errors-wire.ts'
import { RametError } from '../../src/router/errors.ts'

const across = (thrown: unknown): Error & { code?: string | number } => errorFromWire(decode(encode(errorToWire(thrown))))

describe('an error on its way to the caller', () => {
  it('keeps name, message, code, stack and the chain of causes, and nothing else', () => {
    const cause = Object.assign(new Error('no such file'), { code: 'ENOENT', fd: 3 })
    const thrown = Object.assign(new TypeError('cannot read', { cause }), { socket: { write: () => {} } })
    const result = across(thrown)
    expect(result).toBeInstanceOf(Error)
    expect([result.name, result.message, result.stack]).toEqual(['TypeError', 'cannot read', thrown.stack])
    expect(Object.keys(result)).toEqual([])
    const inner = result.cause as Error & { code: string }
    expect([inner.name, inner.message, inner.code, inner.stack]).toEqual(['Error', 'no such file', 'ENOENT', cause.stack])
    expect(Object.keys(inner)).toEqual(['code'])
    expect(inner.cause).toBeUndefined()
  })

  it('keeps code and hint of an error of ours', () => {
    const thrown = new RametError('result-unsupported', 'result.f is a function', { hint: 'Send plain data.' })
    expect(errorToWire(thrown)).toMatchObject({ name: 'RametError', code: 'result-unsupported', hint: 'Send plain data.' })
    expect(across(thrown)).toMatchObject({ name: 'RametError', code: 'result-unsupported', hint: 'Send plain data.' })
  })

  it('bounds message and stack', () => {
    const thrown = new Error('x'.repeat(1_000_000))
    thrown.stack = 'y'.repeat(1_000_000)
    const wire = errorToWire(thrown)
    expect([wire.message.length, wire.stack?.length]).toEqual([65536, 65536])
    expect(wire.message.endsWith('...')).toBe(true)
  })

  it('cuts a chain of causes after eight errors, and a cycle where it closes', () => {
    let thrown = new Error('0')
    for (let i = 1; i < 20; i++) thrown = new Error(String(i), { cause: thrown })
    const seen: string[] = []
    for (let at: unknown = across(thrown); at instanceof Error; at = at.cause) seen.push(at.message)
    expect(seen).toEqual(['19', '18', '17', '16', '15', '14', '13', '12'])
    const a = new Error('a')
    a.cause = new Error('b', { cause: a })
    expect(errorToWire(a).cause).toMatchObject({ message: 'b' })
    expect(errorToWire(a).cause?.cause).toBeUndefined()
  })

  it.each<[unknown, string]>([
    ['just text', 'just text'], [undefined, 'undefined was thrown'], [null, 'null was thrown'], [42, '42 was thrown'], [Symbol('s'), 'Symbol(s) was thrown'],
    [{ status: 404 }, '{ status: 404 } was thrown'], [() => {}, '[Function (anonymous)] was thrown'],
    [Object.create(null), '[Object: null prototype] {} was thrown'],
  ])('describes %o, which is no error', (thrown, message) => {
    expect(across(thrown)).toMatchObject({ name: 'Error', message })
  })

  it('runs no code of what was thrown to describe it', () => {
    const thrown = { get message() { throw new Error('no') }, toString() { throw new Error('no') } }
    expect(across(thrown).message).toContain('{ message: [Getter]')
  })

  it('survives a revoked proxy and an error whose every getter throws', () => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    expect(across(proxy).message).toContain('was thrown')
    const nasty = new Proxy(new Error('x'), { get() { throw new Error('no') } })
    expect(across(nasty)).toBeInstanceOf(Error)
  })

  it('takes anything from a peer and gives a bounded error', () => {
    for (const wire of [undefined, null, 5, 'x', [], {}, { name: 5, message: {}, stack: 1, code: {}, cause: 'x' }]) {
      expect(errorFromWire(wire).message).toBe('the target sent no description of its error')
    }
    let wire: object = { name: 'E', message: 'm' }
    for (let i = 0; i < 100; i++) wire = { name: 'E', message: 'm'.repeat(100_000), cause: wire }
    let length = 0
    for (let at: unknown = errorFromWire(wire); at instanceof Error; at = at.cause) {
      length++
      expect(at.message.length).toBeLessThanOrEqual(65536)
    }
    expect(length).toBe(8)
  })

  it('shows no stack of this process where the peer sent none', () => {
    expect(errorFromWire({ name: 'E', message: 'm' }).stack).toBe('E: m')
  })
})
