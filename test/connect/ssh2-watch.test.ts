import { describe, expect, it } from 'vitest'
import { watchServer } from '../../src/connect/ssh2-watch.ts'
import { settle, TestClock } from '../helpers/test-clock.ts'

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
  /** Time as a process sees it that has little to do. */
  const pass = async (intervals: number): Promise<void> => {
    for (let i = 0; i < intervals; i++) {
      clock.advance(1000)
      await settle(1)
    }
  }
  return { clock, seen, stop, pass }
}

describe('a server that is watched', () => {
  it('is given up when it has left three questions unanswered, once', async () => {
    const { clock, seen, pass } = setUp(false)
    await pass(3)
    clock.advance(999)
    await settle(1)
    expect([seen.asked, seen.silent]).toEqual([3, 0])
    clock.advance(1)
    await settle(1)
    expect([seen.asked, seen.silent, clock.pending]).toEqual([3, 1, 0])
  })

  it('is kept while it answers, however little it says by itself', async () => {
    const { clock, seen, stop, pass } = setUp(true)
    await pass(100)
    expect(seen.silent).toBe(0)
    expect(seen.asked).toBeGreaterThan(40)
    stop()
    expect(clock.pending).toBe(0)
  })

  it('is not asked while it speaks', async () => {
    const { seen, stop, pass } = setUp(false)
    for (let i = 0; i < 20; i++) {
      seen.bytes++
      await pass(1)
    }
    expect([seen.asked, seen.silent]).toEqual([0, 0])
    stop()
  })

  it('is not given up by a process that stood still, at whatever moment', async () => {
    const { clock, seen, stop, pass } = setUp(false)
    await pass(3)
    clock.jump(60_000)
    await settle(1)
    expect([seen.asked, seen.silent]).toEqual([4, 0])
    await pass(1)
    expect(seen.silent).toBe(1)
    stop()
  })

  it('is heard by a process that was busy when its answer came', async () => {
    const { clock, seen, stop, pass } = setUp(false)
    await pass(3)
    clock.jump(1400)
    // Read after the timer, as by every event loop.
    seen.bytes += 50
    await settle(1)
    expect(seen.silent).toBe(0)
    await pass(3)
    expect(seen.silent).toBe(0)
    stop()
    expect(clock.pending).toBe(0)
  })
})
