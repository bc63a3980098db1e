import { PIPE_LOW_WATER, type Pipe, type PipeSink } from '../../src/router/pipe.ts'

/** Two ends of a pipe in memory. Bytes arrive in a later job, in order; an end can be held back or cut. */
export function memoryPipe(): [MemoryPipe, MemoryPipe] {
  const a = new MemoryPipe()
  const b = new MemoryPipe()
  a.other = b
  b.other = a
  return [a, b]
}

export class MemoryPipe implements Pipe {
  state: 'open' | 'closed' = 'open'
  other!: MemoryPipe
  /** What has been written, in whole, for tests that look at it. */
  readonly written: Uint8Array[] = []
  private sink: PipeSink | undefined
  private waiting: Uint8Array[] = []
  private queue: Uint8Array[] = []
  private queued = 0
  private held = false
  private scheduled = false
  private ended = false

  get pending(): number {
    return this.queued
  }

  start(sink: PipeSink): void {
    this.sink = sink
    for (const bytes of this.waiting.splice(0)) sink.data(bytes)
  }

  write(bytes: Uint8Array): void {
    if (this.state === 'closed') return
    this.written.push(bytes.slice())
    this.queue.push(bytes.slice())
    this.queued += bytes.length
    this.schedule()
  }

  /** The network takes nothing more until release(). */
  hold(): void {
    this.held = true
  }

  release(): void {
    this.held = false
    this.schedule()
  }

  pause(): void {}

  resume(): void {}

  end(): void {
    this.ended = true
    this.schedule()
  }

  close(): void {
    this.cut()
    // A network that takes nothing more says nothing of it either.
    if (!this.held) this.other.cut()
  }

  /** Breaks this end, as a lost connection does. */
  cut(cause?: Error): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.queue = []
    this.queued = 0
    const sink = this.sink
    queueMicrotask(() => sink?.closed(cause))
  }

  /** Gives bytes to this end's reader as if the peer had sent them. */
  inject(bytes: Uint8Array): void {
    if (this.sink === undefined) this.waiting.push(bytes)
    else this.sink.data(bytes)
  }

  private schedule(): void {
    if (this.scheduled || this.held) return
    this.scheduled = true
    queueMicrotask(() => {
      this.scheduled = false
      if (this.held || this.state === 'closed') return
      const before = this.queued
      const chunks = this.queue.splice(0)
      this.queued = 0
      for (const chunk of chunks) if (this.other.state === 'open') this.other.inject(chunk)
      if (before >= PIPE_LOW_WATER) this.sink?.drain()
      if (this.ended && this.queue.length === 0) this.other.cut()
    })
  }
}
