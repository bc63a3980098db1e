import { MAX_WINDOW } from './protocol.ts'

/**
 * Bytes that may be under way at once on one link (or, as `parent` of those, in one process). Only an ancestor keeps
 * budgets: it is one end of every channel and knows the way to the other, so it can see to it that what it sends and
 * what it grants never exceeds what the links on the way may have to hold.
 */
export class Budget {
  private free: number
  private readonly size: number
  private readonly parent: Budget | undefined
  private waiting: (() => void)[] = []

  constructor(size: number, parent?: Budget) {
    this.size = size
    this.free = size
    this.parent = parent
  }

  /** Bytes in use at this moment. */
  get used(): number {
    return this.size - this.free
  }

  /** Takes up to `wanted` bytes and says how many. */
  take(wanted: number): number {
    let taken = Math.min(wanted, this.free)
    if (taken > 0 && this.parent !== undefined) taken = this.parent.take(taken)
    this.free -= taken
    return taken
  }

  give(bytes: number): void {
    if (bytes === 0) return
    this.free += bytes
    this.parent?.give(bytes)
    if (this.waiting.length > 0) this.wake()
  }

  /** Calls `fn` once when bytes have come back. First asked, first called. */
  wait(fn: () => void): void {
    if (this.free === 0 || this.parent === undefined) this.waiting.push(fn)
    else this.parent.wait(fn)
  }

  private wake(): void {
    const ready = this.waiting
    this.waiting = []
    for (const fn of ready) fn()
  }
}

/**
 * How much one direction of a channel may have under way, decided by its receiver. Arithmetic only; time is passed in.
 * The window doubles when all of it was used up within two round trips (the link could carry more), up to `ceiling`.
 */
export class ReceiveWindow {
  /** Bytes the peer may have under way. */
  size: number
  /** Granted and not yet received. */
  outstanding: number
  private unused = 0
  private since: number

  constructor(initial: number, now: number) {
    this.size = initial
    this.outstanding = initial
    this.since = now
  }

  /** Bytes arrived. False when they exceed what was granted: the peer broke the protocol. */
  received(bytes: number): boolean {
    this.outstanding -= bytes
    return this.outstanding >= 0
  }

  /**
   * Bytes were used up by the reader. Returns how many to grant now: nothing until half a window has gathered, so that
   * a stream costs two CREDIT frames per window and not one per chunk.
   */
  consumed(bytes: number, now: number, rtt: number): number {
    this.unused += bytes
    if (this.unused * 2 < this.size) return 0
    if (now - this.since <= 2 * rtt && this.size < MAX_WINDOW) this.size *= 2
    this.since = now
    this.unused = 0
    return Math.max(0, this.size - this.outstanding)
  }
}
