import type { Pipe } from '../../src/router/pipe.ts'
import type { RemoteProcess } from '../../src/connect/transport.ts'

/** Collects what a pipe delivers, for tests. */
export class Collector {
  bytes = 0
  chunks: Uint8Array[] = []
  drains = 0
  closed = 0
  cause: Error | undefined
  stderrText = ''
  private readonly pipe: Pipe
  private waiting: { done: () => boolean; resolve: () => void }[] = []

  constructor(target: RemoteProcess | Pipe) {
    this.pipe = 'pipe' in target ? target.pipe : target
    this.pipe.start({
      data: (bytes) => {
        if (this.closed > 0) throw new Error('data after closed')
        this.bytes += bytes.length
        this.chunks.push(bytes)
        this.check()
      },
      drain: () => {
        if (this.closed > 0) throw new Error('drain after closed')
        this.drains++
        this.check()
      },
      closed: (cause) => {
        this.closed++
        this.cause = cause
        this.check()
      },
    })
    if ('pipe' in target) {
      target.stderr((bytes) => {
        this.stderrText += Buffer.from(bytes).toString('latin1')
        this.check()
      })
    }
  }

  get buffer(): Buffer {
    return Buffer.concat(this.chunks)
  }

  get text(): string {
    return this.buffer.toString('latin1')
  }

  /** Resolves when the condition holds; it is looked at whenever something has happened. */
  until(done: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push({ done, resolve })
      this.check()
    })
  }

  private check(): void {
    this.waiting = this.waiting.filter((item) => {
      if (!item.done()) return true
      item.resolve()
      return false
    })
  }
}
