import { Queue } from '../base/queue.ts'
import type { Borrower, Budget } from './credit.ts'
import { FLAG, type FrameType, HEADER_SIZE, MAX_BULK, MAX_INLINE, MAX_WINDOW, MIN_PIECE, TYPE } from './protocol.ts'
import { NO_BYTES } from '../base/bytes.ts'

/** The channel whose messages are sent. */
export interface SendingHome {
  readonly state: 'new' | 'open' | 'ended' | 'closed'
  frame(type: FrameType, flags: number, payload: Uint8Array): void
  /** Everything that waited has left; `ended`: with the END. */
  sent(ended: boolean): void
}

interface Outgoing {
  bytes: Uint8Array
  at: number
  /** The frame type of the last piece: a message is DATA, the closing one END. */
  last: FrameType
}

/** One direction of a channel at its sender: messages that wait for credit, and what is under way of them. */
export class Sending implements Borrower {
  /** Bytes that may still be sent. */
  credit: number
  /** Sent and not known to have arrived; held in `budget`. */
  lent = 0
  private readonly home: SendingHome
  /** Of the way to the receiver; undefined at the acceptor, whose ancestor takes what it grants out of its own. */
  private readonly budget: Budget | undefined
  private readonly waiting = new Queue<Outgoing>()
  /** No grant follows by itself until we have asked. */
  private dry: boolean
  private blocked = false

  constructor(home: SendingHome, budget: Budget | undefined, credit: number) {
    this.home = home
    this.budget = budget
    this.credit = credit
    this.dry = credit === 0
  }

  get idle(): boolean {
    return this.waiting.length === 0
  }

  /** Bytes that wait for credit. */
  get queued(): number {
    let bytes = 0
    for (const out of this.waiting) bytes += out.bytes.length - out.at
    return bytes
  }

  /** Sends a message from `at` on, as credit allows. `last`: DATA, or END for the one that ends this direction. */
  message(bytes: Uint8Array, at: number, last: FrameType): void {
    const cost = bytes.length + HEADER_SIZE
    const { blocked } = this
    if (last === TYPE.DATA && at === 0 && bytes.length <= MAX_BULK && cost <= this.credit && this.idle && cost <= (this.budget?.free ?? cost)) {
      // Most messages of a stream are small, and nothing is in their way.
      this.credit -= this.borrow(cost, 0)
      this.home.frame(TYPE.DATA, 0, bytes)
      return
    }
    this.waiting.push({ bytes, at, last })
    // Whoever is sending now hears by the answer; a call in between would find it half done.
    this.blocked = false
    this.pump()
    this.blocked = !this.idle
    // What an earlier message waited for has come with this one.
    if (blocked && this.idle) this.home.sent(false)
  }

  /** The receiver grants more. False when that is more than any window. */
  granted(bytes: number): boolean {
    this.credit += bytes
    if (this.credit > MAX_WINDOW) return false
    this.pump()
    return true
  }

  /** The receiver says what has arrived. False when that is more than was sent. */
  arrived(bytes: number): boolean {
    if (bytes > this.lent) return false
    this.lent -= bytes
    this.budget?.give(bytes)
    return true
  }

  /** Lets go of what credit is left; what waits, or comes later, asks for it. */
  surrender(): number {
    const bytes = this.credit
    if (bytes > 0) this.dry = true
    this.credit = 0
    return bytes
  }

  freed(): void {
    this.pump()
  }

  close(): void {
    this.waiting.clear()
    this.budget?.forget(this)
    const back = this.lent
    this.lent = 0
    this.budget?.give(back)
  }

  pump(): void {
    const { waiting, home } = this
    for (let out = waiting.peek(); out !== undefined; out = waiting.peek()) {
      const left = out.bytes.length - out.at
      if (out.last === TYPE.END && left <= MAX_INLINE) {
        waiting.shift()
        home.frame(TYPE.END, 0, out.bytes.subarray(out.at))
        home.sent(true)
        return
      }
      const wanted = Math.min(Math.min(left, MAX_BULK) + HEADER_SIZE, this.credit)
      const least = Math.min(left, MIN_PIECE) + HEADER_SIZE
      if (wanted < least) {
        if (this.dry) {
          this.dry = false
          home.frame(TYPE.CREDIT, FLAG.WANT, NO_BYTES)
        }
        return
      }
      const taken = this.borrow(wanted, least)
      if (taken < least) return
      this.credit -= taken
      const from = out.at
      out.at += taken - HEADER_SIZE
      const last = out.at === out.bytes.length && out.last === TYPE.DATA
      if (last) waiting.shift()
      home.frame(TYPE.DATA, last ? 0 : FLAG.MORE, out.bytes.subarray(from, out.at))
      // The frame may have cost the channel, or its link.
      if (home.state === 'closed') return
    }
    if (!this.blocked) return
    this.blocked = false
    home.sent(false)
  }

  /** Takes bytes of the way's budget; when there are none, they are waited for. */
  private borrow(wanted: number, least: number): number {
    if (this.budget === undefined) return wanted
    const taken = this.budget.take(wanted, least)
    this.lent += taken
    if (taken < least) this.budget.wait(this)
    return taken
  }
}
