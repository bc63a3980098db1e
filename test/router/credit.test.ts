import { describe, expect, it } from 'vitest'
import { Budget, ReceiveWindow } from '../../src/router/credit.ts'
import { Assembler } from '../../src/router/assembler.ts'
import { HEADER_SIZE, INITIAL_CREDIT, MAX_PROCESS, MAX_WINDOW, MIN_LINK } from '../../src/router/protocol.ts'

/** With its header 4096 bytes. */
const PIECE = 4096 - HEADER_SIZE

/** Takes as much as it gets, up to `wanted` bytes, whenever it is told. */
class Taker {
  taken = 0
  told = 0
  private readonly budget: Budget
  private readonly wanted: number

  constructor(budget: Budget, wanted: number) {
    this.budget = budget
    this.wanted = wanted
    this.freed()
  }

  freed(): void {
    this.told++
    const got = this.budget.take(this.wanted - this.taken, Math.min(1024, this.wanted - this.taken))
    this.taken += got
    if (this.taken < this.wanted) this.budget.wait(this)
  }
}

describe('a budget', () => {
  it('gives as much as there is, but no sliver', () => {
    const budget = new Budget(10_000)
    expect(budget.take(9500, 1024)).toBe(9500)
    expect(budget.take(2000, 1024)).toBe(0)
    expect(budget.take(500, 500)).toBe(500)
    expect(budget.used).toBe(10_000)
  })

  it('tells each of a hundred who wait a few times at most, however little comes back', () => {
    const budget = new Budget(64 * 1024)
    budget.take(64 * 1024, 1)
    const takers = Array.from({ length: 100 }, () => new Taker(budget, 32 * 1024))
    for (let i = 0; i < 64; i++) budget.give(1024)
    expect(budget.used).toBe(64 * 1024)
    expect(takers.reduce((sum, { told }) => sum + told, 0)).toBeLessThan(100 + 64 * 3)
  })

  it('keeps MIN_LINK bytes of each link out of reach of all other links', () => {
    const process = new Budget(MAX_PROCESS)
    const slow = Array.from({ length: 40 }, () => new Budget(4 * 1024 * 1024, process))
    for (const link of slow) link.take(4 * 1024 * 1024, 1)
    expect(process.used).toBe(MAX_PROCESS)
    const link = new Budget(4 * 1024 * 1024, process)
    expect(link.take(1024 * 1024, 1)).toBe(MIN_LINK)
    link.give(MIN_LINK)
    for (const one of slow) one.give(one.used)
    expect([process.used, link.used]).toEqual([0, 0])
  })

  it('says that it is short while somebody waits, and forgets who is gone', () => {
    const budget = new Budget(2048)
    let short = 0
    budget.short = () => short++
    budget.take(2048, 2048)
    const gone = new Taker(budget, 2048)
    expect(short).toBe(1)
    budget.forget(gone)
    budget.give(2048)
    expect([short, gone.told, budget.used]).toEqual([1, 1, 0])
  })
})

describe('a receive window', () => {
  it('grants only what the reader has made room for', () => {
    const window = new ReceiveWindow(INITIAL_CREDIT, 0)
    window.received(INITIAL_CREDIT - HEADER_SIZE)
    window.consumed(INITIAL_CREDIT / 2, 1000, 10)
    // What a header cost is used up as it comes.
    expect([window.arrived, window.due]).toEqual([INITIAL_CREDIT, INITIAL_CREDIT / 2 + HEADER_SIZE])
  })

  it('doubles while half of it is used up within two round trips, and no further than MAX_WINDOW', () => {
    const window = new ReceiveWindow(INITIAL_CREDIT, 0)
    const use = (now: number): void => {
      const bytes = window.size / 2
      window.outstanding = window.size
      window.received(bytes)
      window.consumed(bytes, now, 10)
    }
    use(20)
    expect(window.size).toBe(2 * INITIAL_CREDIT)
    use(41)
    expect(window.size).toBe(2 * INITIAL_CREDIT)
    for (let i = 0; i < 20; i++) use(41)
    expect(window.size).toBe(MAX_WINDOW)
  })

  it('lets a message larger than itself become whole, and counts all of it until it is read', () => {
    const window = new ReceiveWindow(4096, 0)
    for (let i = 0; i < 10; i++) {
      window.received(PIECE)
      window.gather(PIECE)
      window.consumed(PIECE, 1000 * (i + 1), 10)
      expect(window.due).toBe(4096)
      window.outstanding += 4096
    }
    expect(window.whole()).toBe(10 * PIECE)
    window.received(PIECE)
    expect(window.due).toBe(0)
    window.consumed(11 * PIECE, 20_000, 10)
    expect(window.due).toBe(4096)
  })

  it('of no size at all is of the usual one once it was asked for', () => {
    const window = new ReceiveWindow(0, 0)
    expect([window.outstanding, window.due]).toEqual([0, 0])
    window.quiet = false
    expect(window.due).toBe(INITIAL_CREDIT)
  })
})

describe('an assembler', () => {
  it('keeps no object for each of a flood of empty or tiny pieces', () => {
    const assembler = new Assembler()
    for (let i = 0; i < 50_000; i++) assembler.add(new Uint8Array(i % 2), true, 1e6)
    expect(assembler['pieces']?.length).toBeLessThan(50)
    const whole = assembler.add(new Uint8Array([7]), false, 1e6) as Uint8Array
    expect([whole.length, whole.at(-1)]).toEqual([25_001, 7])
  })
})
