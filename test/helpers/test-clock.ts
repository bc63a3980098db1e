import type { Clock } from '../../src/base/clock.ts'

/** A clock that stands still until a test moves it. Timers fire in order of their time. */
export class TestClock implements Clock {
  private time = 0
  private timers: { at: number; fn: () => void }[] = []

  now(): number {
    return this.time
  }

  after(ms: number, fn: () => void): () => void {
    const timer = { at: this.time + ms, fn }
    this.timers.push(timer)
    return () => {
      this.timers = this.timers.filter((other) => other !== timer)
    }
  }

  /** Moves on by `ms`, firing what falls due; timers set meanwhile count. */
  advance(ms: number): void {
    const end = this.time + ms
    for (;;) {
      const next = this.timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.timers = this.timers.filter((timer) => timer !== next)
      this.time = Math.max(this.time, next.at)
      next.fn()
    }
    this.time = end
  }

  /** Moves on at once, as for a process that stood still: each timer that has fallen due fires once, late. */
  jump(ms: number): void {
    this.time += ms
    const due = this.timers.filter(({ at }) => at <= this.time).sort((a, b) => a.at - b.at)
    this.timers = this.timers.filter((timer) => !due.includes(timer))
    for (const { fn } of due) fn()
  }

  /** Timers that are set: none may be left at a test's end. */
  get pending(): number {
    return this.timers.length
  }
}

/** Lets promise jobs and next ticks run, without time. */
export async function settle(turns = 20): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise<void>((resolve) => setImmediate(resolve))
}
