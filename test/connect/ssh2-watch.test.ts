import { describe, expect, it } from 'vitest'
import { watchServer } from '../../src/connect/ssh2-watch.ts'
import { TestClock } from '../helpers/test-clock.ts'

const setUp = (answers: boolean) => {
  const clock = new TestClock()
  const seen = { bytes: 0, asked: 0, silent: 0 }
  const stop = watchServer(clock, { interval: 1000, count: 3 }, {
    bytesIn: () => seen.bytes,
    ask: () => {
      seen.asked++
      if (answers) seen.bytes += 50
    },
    silent: () => void seen.silent++,
  })
  return { clock, seen, stop }
}

describe('a server that is watched', () => {
  it('is given up when it has left three questions unanswered, once', () => {
    const { clock, seen } = setUp(false)
    clock.advance(3999)
    expect([seen.asked, seen.silent]).toEqual([3, 0])
    clock.advance(1)
    expect([seen.asked, seen.silent, clock.pending]).toEqual([3, 1, 0])
  })

  it('is kept while it answers, however little it says by itself', () => {
    const { clock, seen, stop } = setUp(true)
    clock.advance(100_000)
    expect(seen.silent).toBe(0)
    expect(seen.asked).toBeGreaterThan(40)
    stop()
    expect(clock.pending).toBe(0)
  })

  it('is not asked while it speaks', () => {
    const { clock, seen, stop } = setUp(false)
    for (let i = 0; i < 20; i++) {
      seen.bytes++
      clock.advance(1000)
    }
    expect([seen.asked, seen.silent]).toEqual([0, 0])
    stop()
  })

  it('is not given up by a process that stood still', () => {
    const { clock, seen, stop } = setUp(false)
    clock.jump(60_000)
    expect([seen.asked, seen.silent]).toEqual([1, 0])
    stop()
  })
})
