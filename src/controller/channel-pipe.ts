import { joinBytes } from '../base/bytes.ts'
import { deferred } from '../base/deferred.ts'
import { Queue } from '../base/queue.ts'
import type { Channel, ChannelHandler } from '../router/channel.ts'
import { decode } from '../router/codec.ts'
import { RametError } from '../router/errors.ts'
import { PIPE_LOW_WATER, type Pipe, type PipeSink } from '../router/pipe.ts'
import { ANSWER } from '../router/protocol.ts'

/** Unsent bytes that do not wait for the end of the tick. */
const FLUSH_AT = 32 * 1024

/**
 * Bytes of another machine (a TCP connection, a process), over a channel to our module there. What comes in while nobody takes it
 * is held, and not granted again: the channel's window bounds it. What waits for credit counts as pending.
 */
export class ChannelPipe implements Pipe {
  state: 'opening' | 'open' | 'over' = 'opening'
  bytesIn = 0
  bytesOut = 0
  /** Resolves with the module's first message, its word that it is there; rejects when it will not be. */
  readonly connected: Promise<void>
  readonly handler: ChannelHandler = {
    message: (bytes, credit) => this.received(bytes, credit),
    end: (bytes) => this.ended(bytes),
    reset: (error) => this.fail(error),
    writable: () => this.drained(),
  }
  private readonly became = deferred<void>()
  private readonly thrown: (wire: unknown, connected: boolean) => RametError
  protected channel: Channel | undefined
  private sink: PipeSink | undefined
  private paused = false
  private delivering = false
  private readonly held = new Queue<{ bytes: Uint8Array; credit: number }>()
  private unsent: Uint8Array[] = []
  private unsentBytes = 0
  private full = false
  private writing = true
  private told = false
  private cause: Error | undefined

  /** `thrown` makes the error for what the module threw, before or after it had connected. */
  constructor(thrown: (wire: unknown, connected: boolean) => RametError) {
    this.thrown = thrown
    this.connected = this.became.promise
    this.connected.catch(() => {})
  }

  attach(channel: Channel): void {
    // Opening may have shown that there is no way any more.
    if (this.state !== 'over') this.channel = channel
  }

  get pending(): number {
    return this.unsentBytes + (this.channel?.queued ?? 0)
  }

  start(sink: PipeSink): void {
    this.sink = sink
    // Not from within start(): the caller may not have finished setting itself up.
    process.nextTick(() => this.deliver())
  }

  write(bytes: Uint8Array): void {
    if (this.state !== 'open' || !this.writing || bytes.length === 0) return
    this.bytesOut += bytes.length
    // What is written in one tick is one message.
    if (this.unsentBytes === 0) process.nextTick(() => this.flush())
    this.unsent.push(bytes)
    this.unsentBytes += bytes.length
    if (this.unsentBytes >= FLUSH_AT) this.flushNow()
    if (this.pending > PIPE_LOW_WATER) this.full = true
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    this.deliver()
  }

  end(): void {
    if (this.state !== 'open' || !this.writing) return
    this.flush()
    this.writing = false
    this.endOfFile()
  }

  close(): void {
    this.paused = false
    this.held.clear()
    this.over(undefined)
  }

  /** Gives it up, also before it is connected. */
  fail(cause: Error): void {
    this.over(cause)
  }

  private received(bytes: Uint8Array, credit: number): void {
    if (this.state === 'opening') {
      this.channel?.consumed(credit)
      this.state = 'open'
      this.became.resolve()
    } else if (this.state === 'open') {
      this.held.push({ bytes, credit })
      this.deliver()
    }
  }

  // What a message looks like; processes have more to say than sockets.

  /** The pipe's own bytes of a message that is delivered now; undefined when it holds something else. */
  protected unwrap(message: Uint8Array): Uint8Array | undefined {
    return message
  }

  protected wrap(bytes: Uint8Array[]): Uint8Array {
    return joinBytes(bytes)
  }

  protected endOfFile(): void {
    this.channel?.end()
  }

  /** The module's last word; returns what went wrong. */
  protected last(_value: unknown): Error | undefined {
    return undefined
  }

  /** All that came has been delivered, and nothing more comes. */
  protected finished(): void {}

  private ended(bytes: Uint8Array): void {
    const content: unknown = decode(bytes)
    const [kind, value] = (Array.isArray(content) ? content : []) as unknown[]
    this.over(kind === ANSWER.VALUE ? this.last(value) : this.thrown(value, this.state === 'open'))
  }

  /** Nothing more is sent or comes; what is held is still delivered. */
  private over(cause: Error | undefined): void {
    if (this.state === 'over') return
    this.state = 'over'
    this.cause = cause
    this.unsent = []
    this.unsentBytes = 0
    this.full = false
    this.channel?.reset('cancelled')
    this.channel = undefined
    this.became.reject(cause ?? new RametError('connect-failed', 'the connection ended before it was there', { stage: 'tcp', outcome: 'not-sent', hint: 'Try again.' }))
    process.nextTick(() => this.deliver())
  }

  /** From within write(), where nobody is told that there is room again: he hears of it in the next tick. */
  private flushNow(): void {
    const { full } = this
    this.full = false
    this.flush()
    this.full = full && this.state !== 'over'
    if (this.full && this.pending < PIPE_LOW_WATER) process.nextTick(() => this.drained())
  }

  private flush(): void {
    if (this.unsentBytes === 0) return
    const message = this.wrap(this.unsent)
    this.unsent = []
    this.unsentBytes = 0
    this.channel?.send(message)
    if (this.channel?.queued === 0) this.drained()
  }

  private drained(): void {
    if (!this.full || this.pending >= PIPE_LOW_WATER) return
    this.full = false
    if (!this.told) this.sink?.drain()
  }

  private deliver(): void {
    if (this.delivering || this.sink === undefined) return
    this.delivering = true
    while (!this.paused) {
      const item = this.held.shift()
      if (item === undefined) break
      this.channel?.consumed(item.credit)
      const own = this.unwrap(item.bytes)
      if (own === undefined) continue
      this.bytesIn += own.length
      this.sink.data(own)
    }
    this.delivering = false
    if (this.state !== 'over' || this.held.length > 0 || this.told) return
    this.told = true
    this.sink.closed(this.cause)
    this.finished()
  }
}
