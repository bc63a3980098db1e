import type { Pipe, PipeSink } from '../router/pipe.ts'

/**
 * A pipe that is used before it exists: while a configuration is read and a connection is made, a link can be opened over
 * it and written to. What was written leaves when the real one is attached.
 */
export class LatePipe implements Pipe {
  state: 'waiting' | 'open' | 'closed' = 'waiting'
  private pipe: Pipe | undefined
  private sink: PipeSink | undefined
  private kept: Uint8Array[] = []
  private keptBytes = 0

  get pending(): number {
    return this.pipe?.pending ?? this.keptBytes
  }

  /** Gives it the real pipe. After close() that one is closed instead. */
  attach(pipe: Pipe): void {
    if (this.state === 'closed') {
      pipe.close()
      return
    }
    this.state = 'open'
    this.pipe = pipe
    for (const bytes of this.kept) pipe.write(bytes)
    this.kept = []
    if (this.sink !== undefined) pipe.start(this.sink)
    if (this.keptBytes > 0) {
      this.keptBytes = 0
      this.sink?.drain()
    }
  }

  /** There will be no real pipe. */
  fail(cause: Error): void {
    if (this.state !== 'waiting') return
    this.state = 'closed'
    this.kept = []
    this.sink?.closed(cause)
  }

  start(sink: PipeSink): void {
    this.sink = sink
    this.pipe?.start(sink)
  }

  write(bytes: Uint8Array): void {
    if (this.pipe !== undefined) {
      this.pipe.write(bytes)
    } else if (this.state === 'waiting') {
      this.kept.push(bytes)
      this.keptBytes += bytes.length
    }
  }

  pause(): void {
    this.pipe?.pause()
  }

  resume(): void {
    this.pipe?.resume()
  }

  end(): void {
    this.pipe?.end()
  }

  close(): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.kept = []
    if (this.pipe !== undefined) this.pipe.close()
    else this.sink?.closed()
  }
}
