import { Queue } from '../base/queue.ts'

/** Bytes that the server may send before we say more; also what a flood on stderr can put in front of a call. */
export const RECEIVE_WINDOW = 2 * 1024 * 1024
export const RECEIVE_PACKET = 32 * 1024
/** Size of data packets sent before the server has named its own limit; every known server takes it. */
const EARLY_PACKET = 16 * 1024

/** Bytes of one channel on their way to the server: what the window allows is sent, the rest waits here, counted. */
export class Outgoing {
  /** Bytes that wait for the window. */
  queued = 0
  packet = EARLY_PACKET
  private queue = new Queue<Uint8Array>()
  /** What was left of the queue's first item. */
  private rest: Uint8Array | undefined
  /** Sent before the login was confirmed, kept for a second try; undefined once it is certain. */
  private ahead: Uint8Array[] | undefined
  private loan = 0
  private granted = 0
  private sent = 0

  /** Bytes that may be sent now. */
  get room(): number {
    return Math.max(this.loan, this.granted) - this.sent
  }

  /**
   * `loan`: bytes that this server is known to take before it has granted any. They are not added to its grants: OpenSSH
   * grants 2 MiB when the command starts, and takes that much from the moment it has read the request.
   */
  begin(loan: number, replayable: boolean): void {
    this.loan = loan
    this.ahead = replayable ? [] : undefined
  }

  grant(bytes: number): void {
    this.granted += bytes
  }

  /** Sends one piece that fits; for the caller who has looked at `queued`, `packet` and `room`. */
  pass(bytes: Uint8Array, send: (bytes: Uint8Array) => void): void {
    this.sent += bytes.length
    this.ahead?.push(bytes)
    send(bytes)
  }

  add(bytes: Uint8Array): void {
    this.queue.push(bytes)
    this.queued += bytes.length
  }

  pump(send: (bytes: Uint8Array) => void): void {
    for (let room = this.room; room > 0; room = this.room) {
      const bytes = this.rest ?? this.queue.shift()
      if (bytes === undefined) return
      const size = Math.min(bytes.length, this.packet, room)
      this.rest = size < bytes.length ? bytes.subarray(size) : undefined
      this.queued -= size
      this.pass(bytes.subarray(0, size), send)
    }
  }

  /** What was sent ahead went nowhere: it stands first in the queue again. */
  takeBack(): void {
    const again = new Queue<Uint8Array>()
    for (const bytes of [...(this.ahead ?? []), ...(this.rest ? [this.rest] : []), ...this.queue]) again.push(bytes)
    this.queue = again
    this.rest = undefined
    this.queued += this.sent
    this.sent = 0
    this.granted = 0
    this.loan = 0
    this.ahead = undefined
  }

  /** What was sent ahead has arrived somewhere: it will never be sent again. */
  settle(): void {
    this.ahead = undefined
  }

  clear(): void {
    this.queue.clear()
    this.rest = undefined
    this.queued = 0
    this.ahead = undefined
  }
}

/** Bytes of one channel on their way to us. What nobody takes yet is held, and not granted again: at most one window. */
export class Incoming {
  private held: { stderr: boolean; bytes: Uint8Array }[] = []
  private flowing = true
  private delivering = false
  private window = RECEIVE_WINDOW
  private used = 0
  private readonly adjust: (bytes: number) => void
  onData: ((bytes: Uint8Array) => void) | undefined
  onStderr: ((bytes: Uint8Array) => void) | undefined

  constructor(adjust: (bytes: number) => void) {
    this.adjust = adjust
  }

  /** False when the server broke its window. */
  push(bytes: Uint8Array, stderr: boolean): boolean {
    this.window -= bytes.length
    if (this.window < 0) return false
    const take = this.taker(stderr)
    if (take === undefined || this.held.length > 0) {
      this.held.push({ stderr, bytes })
      this.deliver()
    } else {
      this.consumed(bytes.length)
      take(bytes)
    }
    return true
  }

  pause(): void {
    this.flowing = false
  }

  resume(): void {
    this.flowing = true
    this.deliver()
  }

  /** Hands out what was held and now has a taker, each stream in order. */
  deliver(): void {
    if (this.delivering || this.held.length === 0) return
    this.delivering = true
    const kept: typeof this.held = []
    const behind = { data: false, stderr: false }
    for (const item of this.held) {
      const stream = item.stderr ? 'stderr' : 'data'
      // A taker that has come forward meanwhile gets what was kept of its stream first.
      const take = behind[stream] ? undefined : this.taker(item.stderr)
      if (take === undefined) {
        kept.push(item)
        behind[stream] = true
      } else {
        this.consumed(item.bytes.length)
        take(item.bytes)
      }
    }
    this.held = kept
    this.delivering = false
  }

  /** True while something is held for a taker that has come forward but pauses. */
  holds(stderr: boolean): boolean {
    const taker = stderr ? this.onStderr : this.onData
    return taker !== undefined && this.held.some((item) => item.stderr === stderr)
  }

  /** Nothing more is wanted; what still comes is counted and dropped. */
  discard(): void {
    this.held = []
    this.flowing = true
    this.onData = this.onStderr = () => {}
  }

  private taker(stderr: boolean): ((bytes: Uint8Array) => void) | undefined {
    return this.flowing ? (stderr ? this.onStderr : this.onData) : undefined
  }

  private consumed(bytes: number): void {
    this.used += bytes
    if (this.used < RECEIVE_WINDOW / 2) return
    this.window += this.used
    const used = this.used
    this.used = 0
    this.adjust(used)
  }
}
