import { describe, expect, test } from 'vitest'
import { LINE, LineLog } from '../../src/base/line-log.ts'
import { RateLimit } from '../../src/base/rate-limit.ts'
import { TestClock } from '../helpers/test-clock.ts'

function limited(rate: number): { clock: TestClock; limit: RateLimit; told: number[] } {
  const clock = new TestClock()
  const told: number[] = []
  return { clock, told, limit: new RateLimit(clock, rate, (dropped) => told.push(dropped)) }
}

const times = (count: number, limit: RateLimit): number => Array.from({ length: count }, () => limit.pass()).filter(Boolean).length

describe('a rate limit', () => {
  test('lets a burst of its rate pass, and then as much as time has earned', () => {
    const { clock, limit } = limited(100)
    expect(times(150, limit)).toBe(100)
    clock.advance(500)
    expect(times(150, limit)).toBe(50)
    clock.advance(60_000)
    expect(times(150, limit)).toBe(100)
  })

  test('counts what did not pass, for the next that does', () => {
    const { clock, limit, told } = limited(10)
    times(25, limit)
    clock.advance(100)
    expect(limit.pass()).toBe(true)
    expect(limit.take()).toBe(15)
    expect(limit.take()).toBe(0)
    clock.advance(2000)
    expect(told).toEqual([])
    expect(clock.pending).toBe(0)
  })

  test('tells the count by itself a second later when nothing follows, and at its end', () => {
    const { clock, limit, told } = limited(10)
    times(12, limit)
    clock.advance(1000)
    expect(told).toEqual([2])
    limit.drop(5)
    limit.close()
    expect(told).toEqual([2, 5])
    expect(clock.pending).toBe(0)
  })
})

describe('lines of printed bytes', () => {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

  test('are put together from pieces, a character cut in two included', () => {
    const { limit } = limited(100)
    const lines: string[] = []
    const log = new LineLog(limit, (text) => lines.push(text))
    const euro = bytes('5 €\nrest')
    log.take(euro.subarray(0, 3))
    expect(log.unfinished).toBe(true)
    log.take(euro.subarray(3))
    log.flush()
    log.flush()
    expect(lines).toEqual(['5 €', 'rest'])
    expect(log.unfinished).toBe(false)
  })

  test('that are too long come in pieces, of which nothing is missing', () => {
    const { limit } = limited(100)
    const lines: string[] = []
    const log = new LineLog(limit, (text) => lines.push(text))
    for (let i = 0; i < 10; i++) log.take(bytes('0123456789'.repeat(1000)))
    log.take(bytes('\n'))
    expect(lines.join('')).toBe('0123456789'.repeat(10_000))
    expect(Math.max(...lines.map(({ length }) => length))).toBe(LINE)
  })

  test('are only counted while the limit is exhausted; the one that begins then is kept', () => {
    const { clock, limit } = limited(10)
    const lines: string[] = []
    const log = new LineLog(limit, (text) => lines.push(text))
    log.take(bytes('x\n'.repeat(20)))
    log.take(bytes('€\n'.repeat(1000) + 'kept'))
    clock.advance(100)
    log.take(bytes(' whole\n'))
    expect(lines).toEqual([...Array.from({ length: 10 }, () => 'x'), 'kept whole'])
    expect(limit.take()).toBe(1010)
  })
})
