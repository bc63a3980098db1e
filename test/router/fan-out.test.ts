import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encode } from '../../src/router/codec.ts'
import { isRametError } from '../../src/router/errors.ts'
import { readSeveral, writeSeveral } from '../../src/router/fan-out.ts'

const u32 = fc.integer({ min: 0, max: 0xffffffff })
const payload = (row: unknown[], message = new Uint8Array(3)): Uint8Array => {
  const list = encode(row)
  return Buffer.concat([Buffer.from([list.length >> 8, list.length & 255]), list, message])
}

describe('an OPEN for several contexts', () => {
  it('is read as it was written, whatever the ids', () => {
    fc.assert(fc.property(u32, fc.array(fc.tuple(u32, u32), { maxLength: 500 }), fc.uint8Array({ maxLength: 100 }), (src, targets, message) => {
      const read = readSeveral(writeSeveral({ src, targets, message }))
      expect({ ...read, message: [...read.message] }).toEqual({ src, targets, message: [...message] })
    }))
  })

  it('costs a few bytes for each context beside the first', () => {
    const targets = Array.from({ length: 1000 }, (_, i): [number, number] => [i + 5, i + 900])
    expect(writeSeveral({ src: 1, targets, message: new Uint8Array(0) }).length).toBeLessThan(2100)
  })

  it.each([
    ['with an id below nothing', [1, -5, 3]],
    ['with ids that fall below nothing', [1, 5, 3, -6, 0]],
    ['with an id beyond 32 bits', [1, 2 ** 33, 3]],
    ['with ids that add up beyond 32 bits', [1, 2 ** 32 - 1, 3, 1, 1]],
    ['with a channel beyond 32 bits', [1, 2, 1e300]],
    ['with a source that is none', [-1, 2, 3]],
    ['with half a pair', [1, 2]],
    ['of fractions', [1, 2.5, 3]],
    ['of big integers', [1, 2n ** 60n, 3]],
    ['of words', ['1', '2', '3']],
    ['of nothing', []],
  ])('%s is refused', (_what, row) => {
    expect(() => readSeveral(payload(row))).toThrow(expect.objectContaining({ code: 'protocol-error' }) as Error)
  })

  it('of a million contexts has no room in its list', () => {
    const list = encode([1, ...Array<number>(2_000_000).fill(1)])
    const forged = Buffer.concat([Buffer.from([0xff, 0xff]), list])
    expect(() => readSeveral(forged)).toThrow(expect.objectContaining({ code: 'protocol-error' }) as Error)
  })

  it('made of any bytes is read or refused, and what is read are numbers of 32 bits', () => {
    fc.assert(fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.array(fc.oneof(fc.integer(), fc.double(), fc.anything()), { maxLength: 20 }).map((row) => {
      try {
        return payload(row)
      } catch {
        return payload([])
      }
    })), (bytes) => {
      try {
        const { src, targets } = readSeveral(bytes)
        for (const number of [src, ...targets.flat()]) expect(number >= 0 && number <= 0xffffffff && Number.isInteger(number)).toBe(true)
      } catch (error) {
        if (!isRametError(error)) throw error
      }
    }), { numRuns: 500 })
  })
})
