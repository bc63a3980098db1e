import type { Readable, Writable } from 'node:stream'
import { NO_BYTES, joinBytes } from '../base/bytes.ts'
import { PIPE_LOW_WATER, type Pipe, type PipeSink } from '../router/pipe.ts'

/** Up to this many bytes a tick's chunks are copied into one; beyond it the copy costs more than writev does. */
const JOIN_BELOW = 16 * 1024
/** Unsent bytes that do not wait for the end of the tick. */
const FLUSH_AT = 64 * 1024

/**
 * A pipe over Node streams: a socket, or the stdin and stdout of a child. Everything written in one tick leaves in one
 * system call: three small writes per SSH packet would meet Nagle and delayed ACK, and cost three calls each.
 *
 * Where the two streams differ (a child), a broken stdin does not end the pipe: what the child printed still arrives.
 */
export class StreamPipe implements Pipe {
  state: 'new' | 'started' | 'closed' = 'new'
  /** Bytes delivered and bytes taken so far. */
  bytesIn = 0
  bytesOut = 0
  /** Everything that the other side had to say is here. */
  ended = false
  private readonly readable: Readable
  private readonly writable: Writable
  private sink: PipeSink | undefined
  /** What came before the start. */
  private readonly early: Uint8Array[] = []
  private unsent: Uint8Array[] = []
  private unsentBytes = 0
  private scheduled = false
  private full = false
  private writing: 'open' | 'ending' | 'ended' = 'open'
  private cause: Error | undefined

  constructor(readable: Readable, writable: Writable) {
    this.readable = readable
    this.writable = writable
    const one = (readable as unknown) === writable
    readable.on('error', (error) => (this.cause ??= error))
    readable.on('close', () => this.finish())
    if (!one) {
      writable.on('error', () => this.stopWriting())
      writable.on('close', () => this.stopWriting())
    }
  }

  start(sink: PipeSink): void {
    this.sink = sink
    if (this.state === 'closed') {
      process.nextTick(() => sink.closed(this.cause))
      return
    }
    this.state = 'started'
    this.readable.on('end', () => {
      this.ended = true
      this.finish()
    })
    this.readable.on('data', (chunk: Uint8Array) => this.take(chunk))
    if (this.early.length > 0) {
      this.readable.resume()
      process.nextTick(() => this.deliver())
    }
    if (this.readable.destroyed) process.nextTick(() => this.finish())
  }

  /** What a socket has read that gives its bytes to a function of ours (net's `onread`) and not to 'data'. */
  take(chunk: Uint8Array): void {
    if (this.state === 'new') {
      this.early.push(chunk)
      this.readable.pause()
      return
    }
    this.bytesIn += chunk.length
    // A pipe that was closed delivers nothing more, though the stream may still have something in store.
    if (this.state === 'started') this.sink?.data(chunk)
  }

  get pending(): number {
    return this.unsentBytes + (this.writing === 'ended' ? 0 : this.writable.writableLength)
  }

  write(bytes: Uint8Array): void {
    if (this.writing !== 'open' || bytes.length === 0) return
    this.bytesOut += bytes.length
    this.unsent.push(bytes)
    this.unsentBytes += bytes.length
    if (this.unsentBytes >= FLUSH_AT) this.flush()
    else if (!this.scheduled) {
      this.scheduled = true
      process.nextTick(this.onTick)
    }
    if (!this.full && this.pending > PIPE_LOW_WATER) this.full = true
  }

  pause(): void {
    if (this.state !== 'closed') this.readable.pause()
  }

  resume(): void {
    if (this.state === 'started') this.readable.resume()
  }

  end(): void {
    if (this.writing !== 'open') return
    this.flush()
    this.writing = 'ending'
    this.writable.end()
  }

  close(): void {
    if (this.state === 'closed') return
    this.stopWriting()
    // finish() follows by the stream's 'close' event, in a later tick.
    this.readable.destroy()
    this.writable.destroy()
  }

  private deliver(): void {
    for (const chunk of this.early.splice(0)) this.take(chunk)
  }

  private readonly onTick = (): void => {
    this.scheduled = false
    if (this.writing === 'open') this.flush()
  }

  private flush(): void {
    const chunks = this.unsent
    if (chunks.length === 0) return
    const bytes = this.unsentBytes
    this.unsent = []
    this.unsentBytes = 0
    if (chunks.length === 1 || bytes <= JOIN_BELOW) {
      this.writable.write(joinBytes(chunks), this.onWritten)
      return
    }
    this.writable.cork()
    const last = chunks.length - 1
    for (let i = 0; i < last; i++) this.writable.write(chunks[i] ?? NO_BYTES)
    this.writable.write(chunks[last] ?? NO_BYTES, this.onWritten)
    this.writable.uncork()
  }

  private readonly onWritten = (): void => {
    if (this.full && this.pending < PIPE_LOW_WATER) this.drained()
  }

  private drained(): void {
    this.full = false
    if (this.state === 'started') this.sink?.drain()
  }

  private stopWriting(): void {
    if (this.writing === 'ended') return
    this.writing = 'ended'
    this.unsent = []
    this.unsentBytes = 0
    // Whoever waits for room must not wait for a reader that is gone.
    if (this.full) process.nextTick(() => this.drained())
  }

  private finish(): void {
    if (this.state === 'closed') return
    // A stream that closes with bytes unread (destroyed by the peer's reset) says so by its error event, kept in `cause`.
    const started = this.state === 'started'
    this.state = 'closed'
    this.full = false
    if ((this.readable as unknown) === this.writable) this.stopWriting()
    if (started) this.sink?.closed(this.ended ? undefined : this.cause)
  }
}
