import { HEADER_SIZE, INITIAL_CREDIT, MAX_WINDOW, MIN_LINK, MIN_PIECE } from './protocol.ts'

/** Who waits for bytes of a budget. */
export interface Borrower {
  /** Bytes have come back: take what is needed, or wait again. */
  freed(): void
}

/**
 * Bytes that may be under way at once on one link (or, as `parent` of those, in one process). Only an ancestor keeps
 * budgets: it is one end of every channel and knows the way to the other, so it can see to it that what it sends and
 * what it grants never exceeds what the links on the way may have to hold. The first MIN_LINK bytes of a link are its own:
 * no other link, however slow, takes them.
 */
export class Budget {
  /** Bytes in use at this moment. */
  used = 0
  /** Told while somebody waits: whoever holds bytes that it does not use is to give them back. */
  short: (() => void) | undefined
  private readonly size: number
  private readonly parent: Budget | undefined
  private readonly own: number
  private readonly waiting = new Set<Borrower>()

  /** `own`: bytes that the parent cannot refuse, nor does it count them. */
  constructor(size: number, parent?: Budget, own = MIN_LINK) {
    this.size = size
    this.parent = parent
    this.own = own
  }

  /** Bytes that could be taken. */
  get free(): number {
    const free = this.size - this.used
    return this.parent === undefined ? free : Math.min(free, Math.max(0, this.own - this.used) + this.parent.free)
  }

  /** Takes up to `wanted` bytes and says how many: `least` or more, or none. */
  take(wanted: number, least: number): number {
    const taken = Math.min(wanted, this.free)
    if (taken < least) return 0
    this.use(taken)
    return taken
  }

  give(bytes: number): void {
    if (bytes === 0) return
    this.use(-bytes)
    if (this.waiting.size > 0) this.wake()
  }

  /**
   * Tells `who` once when bytes have come back. First asked, first told. That the process has bytes again is told to nobody:
   * a link has MIN_LINK of its own under way by then, whose return is soon enough.
   */
  wait(who: Borrower): void {
    this.waiting.add(who)
    this.short?.()
  }

  /** `who` is gone. */
  forget(who: Borrower): void {
    this.waiting.delete(who)
  }

  private use(bytes: number): void {
    const before = Math.max(0, this.used - this.own)
    this.used += bytes
    this.parent?.use(Math.max(0, this.used - this.own) - before)
  }

  private wake(): void {
    for (const who of [...this.waiting]) {
      if (this.free < MIN_PIECE) break
      // Whoever closed meanwhile is not in there any more.
      if (this.waiting.delete(who)) who.freed()
    }
    if (this.waiting.size > 0) this.short?.()
  }
}

/**
 * How much one direction of a channel may have under way or unread, decided by its receiver. Arithmetic only; time is
 * passed in. The window doubles, up to MAX_WINDOW, while half of it is used up within two round trips (the link could
 * carry more).
 */
export class ReceiveWindow {
  /** Bytes that may be under way and unread together. */
  size: number
  /** Granted and not yet received. */
  outstanding: number
  /** Received since the peer was told last. */
  arrived = 0
  /** The peer has nothing to send, and no credit: it asks when it has. */
  quiet: boolean
  /** Received, and neither used up by the reader nor part of a message that is not whole yet. */
  private unread = 0
  /** Pieces of a message that is not whole yet: they take no room, or a message larger than the window would never be whole. */
  private gathered = 0
  private spent = 0
  private since: number

  constructor(granted: number, now: number) {
    this.size = granted === 0 ? INITIAL_CREDIT : granted
    this.outstanding = granted
    this.quiet = granted === 0
    this.since = now
  }

  /** A DATA frame with so many bytes arrived; its header costs, too. False when that exceeds what was granted: the peer broke the protocol. */
  received(bytes: number): boolean {
    this.outstanding -= bytes + HEADER_SIZE
    this.arrived += bytes + HEADER_SIZE
    this.spent += HEADER_SIZE
    this.unread += bytes
    return this.outstanding >= 0
  }

  /** Bytes arrived, and count as used up, that belong to a message which is not whole. */
  gather(bytes: number): void {
    this.gathered += bytes
  }

  /** That message is whole: returns what its reader has to use up besides the last piece. */
  whole(): number {
    const bytes = this.gathered
    this.gathered = 0
    this.unread += bytes
    return bytes
  }

  /** Bytes were used up by the reader. `rtt` in ms. */
  consumed(bytes: number, now: number, rtt: number): void {
    this.unread = Math.max(0, this.unread - bytes)
    this.spent += bytes
    if (this.spent * 2 < this.size) return
    if (now - this.since <= 2 * rtt && this.size < MAX_WINDOW) this.size *= 2
    this.since = now
    this.spent = 0
  }

  /** What could be granted now. */
  get room(): number {
    return Math.max(0, this.size - this.outstanding - this.unread)
  }

  /** What to grant now: nothing until half a window has gathered, so that a stream costs two CREDIT frames per window and not one per chunk. */
  get due(): number {
    const { room } = this
    return this.quiet || room * 2 < this.size ? 0 : room
  }
}
