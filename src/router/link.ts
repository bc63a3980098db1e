import type { Clock } from '../base/clock.ts'
import { Budget } from './credit.ts'
import { isRametError, RametError } from './errors.ts'
import { type Frame, FrameReader, writeFrame } from './frame.ts'
import type { Pipe } from './pipe.ts'
import { HEADER_SIZE, MAX_CONTROL, MAX_LINK, MAX_QUEUED, NEIGHBOUR, TYPE } from './protocol.ts'
import type { FrameType } from './protocol.ts'
import { NO_BYTES } from '../base/bytes.ts'
import { SendQueue } from './send-queue.ts'

/** What a link tells the router that owns it. */
export interface LinkOwner {
  /** A frame arrived; link-level ones included. Throwing costs the link. */
  received(frame: Frame, link: Link): void
  /** The link is gone; called once. */
  lost(link: Link, cause: RametError): void
  /** A missed PING, or the first sign of life after one. */
  responsive(link: Link, responsive: boolean): void
  /** The queue passed its limit; `frame` and all others of its channel have been dropped from it. */
  overflow(link: Link, frame: Frame): void
}

export interface LinkOptions {
  clock: Clock
  /** For messages: the path of the context at the far end. */
  path: readonly string[]
  /** Bytes granted or under way to contexts behind it; default MAX_LINK, at most half of what a link keeps queued. */
  budget?: number | undefined
  processBudget?: Budget | undefined
  /** Runs `flush` when the current tick's work is done. Default process.nextTick, after which promise jobs have run too. */
  schedule?: (flush: () => void) => void
}

/** Bytes handed to the pipe ahead of what it has passed on: what a control frame may have to wait for. */
const LEAD = 64 * 1024
const SLAB = 64 * 1024
const MIN_SLAB = 2 * 1024
const AGAIN = 'Connect again, and look at the target for what work under way had done.'

/**
 * Frames over one pipe, neighbours only. Three classes leave in this order: control, interactive, bulk (round-robin over
 * channels). While the pipe keeps up nothing is queued at all: frames are written into one buffer per tick.
 */
export class Link {
  state: 'open' | 'closed' = 'open'
  /** As a route, a link leads to its neighbour. */
  readonly link = this
  readonly path: readonly string[]
  /** Smoothed round trip in ms; undefined until the first PONG. */
  rtt: number | undefined
  responsive = true
  bytesIn = 0
  bytesOut = 0
  framesIn = 0
  framesOut = 0
  /** What we may have under way to (down) and grant to (up) the contexts behind this link. */
  readonly down: Budget
  readonly up: Budget
  private readonly pipe: Pipe
  private readonly owner: LinkOwner
  private readonly clock: Clock
  private readonly schedule: (flush: () => void) => void
  private readonly reader = new FrameReader()
  private slab: Uint8Array = NO_BYTES
  private start = 0
  private at = 0
  private scheduled = false
  /** The pipe is being given bytes: what it says meanwhile must not send more, which would pass what stands behind them. */
  private writing = false
  /** What waits leaves, and then our end of the pipe ends. */
  private readonly queue = new SendQueue()
  private cancelTimer = (): void => {}
  private heard = false
  private missed = 0
  private readonly deliver: (frame: Frame) => void
  private readonly flushNow = (): void => {
    this.scheduled = false
    this.flush()
  }

  constructor(pipe: Pipe, owner: LinkOwner, options: LinkOptions) {
    this.pipe = pipe
    this.owner = owner
    this.clock = options.clock
    this.path = options.path
    this.schedule = options.schedule ?? process.nextTick
    const budget = Math.min(options.budget ?? MAX_LINK, MAX_QUEUED / 2)
    this.down = new Budget(budget, options.processBudget)
    this.up = new Budget(budget, options.processBudget)
    this.deliver = (frame) => this.receive(frame)
  }

  /** Starts reading. Frames may be sent before; they leave as early as the pipe allows. */
  open(): void {
    this.pipe.start({
      data: (bytes) => this.read(bytes),
      drain: () => this.flush(),
      closed: (cause) =>
        this.die(
          isRametError(cause)
            ? cause
            : new RametError('link-lost', `the connection to ${this.path.join(' > ')} ended`, { path: this.path, outcome: 'unknown', hint: AGAIN, cause }),
        ),
    })
  }

  /** Starts to look after the link: a PING after each interval (ms) in which it was silent or we were, the end after `count` unanswered ones. */
  watch(keepalive: { interval: number; count: number }): void {
    this.cancelTimer()
    this.tick(keepalive)
  }

  /** Bytes that wait because the pipe takes no more. */
  get queued(): number {
    return this.queue.bytes + this.pipe.pending
  }

  send(type: FrameType, flags: number, window: number, dst: number, src: number, channel: number, payload: Uint8Array): void {
    if (this.state === 'closed') return
    if (this.queue.bytes === 0 && this.pipe.pending + this.at - this.start < LEAD) {
      this.append(type, flags, window, dst, src, channel, payload)
    } else {
      const dropped = this.queue.push({ type, flags, window, dst, src, channel, payload })
      if (dropped !== undefined) this.owner.overflow(this, dropped)
      if (this.queue.controlBytes > MAX_CONTROL) {
        const text = `${this.path.join(' > ')} asks for answers and takes none`
        this.die(new RametError('overflow', text, { path: this.path, outcome: 'unknown', hint: AGAIN }))
        return
      }
    }
    if (!this.scheduled) {
      this.scheduled = true
      this.schedule(this.flushNow)
    }
  }

  /** Sends a frame that only concerns the neighbour. */
  sendNeighbour(type: FrameType, payload: Uint8Array, channel = 0, flags = 0): void {
    this.send(type, flags, 0, NEIGHBOUR, NEIGHBOUR, channel, payload)
  }

  /**
   * Passes a frame on as it came. `down`: a RESET takes back what waits of its channel, and goes no further when that was all.
   * Upwards that would be a search for every RESET that a child likes to send.
   */
  forward(frame: Frame, down: boolean): void {
    if (down && frame.type === TYPE.RESET && this.withdraw(frame.dst, frame.src, frame.channel).size > 0) return
    this.send(frame.type, frame.flags, frame.window, frame.dst, frame.src, frame.channel, frame.payload)
  }

  /** Takes back every waiting frame of a channel, or of all between two contexts. Returns those of which the peer has heard nothing. */
  withdraw(dst: number, src: number, channel?: number): Set<number> {
    return this.sift((frame) => frame.dst === dst && frame.src === src && (channel === undefined || frame.channel === channel))
  }

  /** Shows every waiting frame to `fits`, and takes back those that do. */
  sift(fits: (frame: Frame) => boolean): Set<number> {
    return this.queue.withdraw(fits)
  }

  /** Measures one round trip; resolves through `onPong`. */
  ping(): void {
    this.sendNeighbour(TYPE.PING, stamp(this.clock.now()))
  }

  onPong: ((rtt: number) => void) | undefined

  /** Closes at once; what is queued is lost. */
  close(cause = new RametError('closed', `the link to ${this.path.join(' > ')} was closed here`, { path: this.path })): void {
    this.die(cause)
  }

  private read(bytes: Uint8Array): void {
    if (this.state === 'closed') return
    this.bytesIn += bytes.length
    this.heard = true
    if (!this.responsive) {
      this.responsive = true
      this.missed = 0
      this.owner.responsive(this, true)
    }
    try {
      this.reader.push(bytes, this.deliver)
    } catch (error) {
      this.die(this.blamed(error))
    }
  }

  /** The end of the link for what its peer sent, with the peer's name. What became of work under way nobody can say. */
  private blamed(error: unknown): RametError {
    const { path } = this
    const { code, message, hint, cause, path: named } =
      isRametError(error) ? error : new RametError('protocol-error', 'a frame could not be handled', { cause: error })
    const text = named.length > 0 ? message : `${path.join(' > ')}: ${message}`
    return new RametError(code, text, { path, outcome: 'unknown', hint: hint || AGAIN, cause })
  }

  private receive(frame: Frame): void {
    // An earlier frame of the same bytes may have cost the link.
    if (this.state === 'closed') return
    this.framesIn++
    if (frame.type === TYPE.PING) {
      if (frame.payload.length !== 8) throw new RametError('protocol-error', 'a PING has 8 bytes')
      this.sendNeighbour(TYPE.PONG, frame.payload)
    } else if (frame.type === TYPE.PONG) {
      this.pong(frame.payload)
    } else {
      this.owner.received(frame, this)
    }
  }

  private pong(payload: Uint8Array): void {
    if (payload.length !== 8) throw new RametError('protocol-error', 'a PONG has 8 bytes')
    const sample = this.clock.now() - new DataView(payload.buffer, payload.byteOffset).getFloat64(0)
    if (!(sample >= 0)) return
    // What was slower may have waited for a process to start; nothing is quicker than the way.
    this.rtt = this.rtt === undefined || sample < this.rtt ? sample : this.rtt * 0.875 + sample * 0.125
    this.onPong?.(sample)
  }

  /**
   * Liveness counts ticks, not time: after a laptop's sleep or a blocked event loop only one tick is due, and one that comes
   * late says nothing about the neighbour. Who has said nothing in an interval says something, however much it hears: to the
   * neighbour, whose PING stands behind all that it sends, nothing else would show that we are there.
   */
  private tick(keepalive: { interval: number; count: number }): void {
    if (this.state === 'closed') return
    const { interval, count } = keepalive
    const from = this.clock.now()
    const { framesOut } = this
    this.heard = false
    // A timer comes before what has arrived is read, which a process that is busy had no time for.
    this.cancelTimer = this.clock.after(interval, () => setImmediate(() => {
      if (this.state === 'closed') return
      if (this.heard) {
        this.missed = 0
      } else if (this.clock.now() - from <= 1.5 * interval) {
        // The first silent interval only shows that nobody had anything to say; from then on a PING is unanswered.
        if (++this.missed > count) {
          const text = `${this.path.join(' > ')} has not answered for ${(interval * count) / 1000} s`
          const hint = 'The machine or the network between is down; connect again when it is back.'
          this.die(new RametError('link-lost', text, { path: this.path, outcome: 'unknown', hint }))
        } else if (this.responsive && this.missed > 1) {
          this.responsive = false
          this.owner.responsive(this, false)
        }
      }
      // Not heard, and no miss: this process itself stood still, and what came meanwhile is read after this.
      if (!this.heard || this.framesOut === framesOut) this.ping()
      this.tick(keepalive)
    }))
  }

  private append(type: FrameType, flags: number, window: number, dst: number, src: number, channel: number, payload: Uint8Array): void {
    const size = HEADER_SIZE + payload.length
    if (this.at + size > this.slab.length) {
      // Room for some more of what this tick holds: an idle link must not sit on 64 KiB, nor a busy one allocate all the time.
      const room = Math.min(SLAB, Math.max(MIN_SLAB, 2 * (this.at - this.start)))
      this.write()
      this.slab = new Uint8Array(Math.max(room, size))
      this.start = 0
      this.at = 0
    }
    writeFrame(this.slab, this.at, type, flags, window, dst, src, channel, payload)
    this.at += size
    this.framesOut++
  }

  private write(): void {
    if (this.at === this.start) return
    const bytes = this.slab.subarray(this.start, this.at)
    this.start = this.at
    this.bytesOut += bytes.length
    // One that was made for a large frame has no room left: an idle link would keep it for ever.
    if (this.at === this.slab.length) this.slab = NO_BYTES
    this.writing = true
    this.pipe.write(bytes)
    this.writing = false
  }

  private flush(): void {
    if (this.state === 'closed' || this.writing) return
    do {
      while (this.queue.bytes > 0 && this.pipe.pending + this.at - this.start <= LEAD) {
        const next = this.queue.shift()
        if (next === undefined) break
        this.append(next.type, next.flags, next.window, next.dst, next.src, next.channel, next.payload)
      }
      this.write()
      // A pipe may have passed on at once what it was given; only one that holds more than LEAD will call drain().
    } while (this.queue.bytes > 0 && this.pipe.pending <= LEAD)
  }

  private die(cause: RametError): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.cancelTimer()
    this.slab = NO_BYTES
    this.pipe.close()
    // Whoever waits is told while it can be seen what never left.
    this.owner.lost(this, cause)
    this.queue.clear()
  }
}

function stamp(now: number): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setFloat64(0, now)
  return bytes
}

