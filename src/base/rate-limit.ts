import type { Clock } from './clock.ts'

/** Milliseconds after which a count of what was dropped is told when nothing has passed in the meantime. */
const TOLD = 1000

/** Lets so many things pass in a second and counts the others. The count goes with the next that passes, or is told by itself. */
export class RateLimit {
  private readonly clock: Clock
  private readonly rate: number
  private readonly tell: (dropped: number) => void
  private allowance: number
  private since: number
  private dropped = 0
  private cancelTimer: (() => void) | undefined

  /** `rate`: how many pass in a second, and how many at once. */
  constructor(clock: Clock, rate: number, tell: (dropped: number) => void) {
    this.clock = clock
    this.rate = rate
    this.tell = tell
    this.allowance = rate
    this.since = clock.now()
  }

  /** Whether one more may pass; if not, it is counted. */
  pass(): boolean {
    if (this.exhausted) {
      this.drop(1)
      return false
    }
    this.allowance--
    return true
  }

  get exhausted(): boolean {
    const now = this.clock.now()
    this.allowance = Math.min(this.rate, this.allowance + ((now - this.since) * this.rate) / 1000)
    this.since = now
    return this.allowance < 1
  }

  drop(count: number): void {
    this.dropped += count
    if (this.dropped > 0) this.cancelTimer ??= this.clock.after(TOLD, () => this.told())
  }

  /** How many were dropped since that was last asked. */
  take(): number {
    const { dropped } = this
    this.dropped = 0
    return dropped
  }

  /** Tells what has not been told. */
  close(): void {
    this.cancelTimer?.()
    this.told()
  }

  private told(): void {
    this.cancelTimer = undefined
    if (this.dropped > 0) this.tell(this.take())
  }
}
