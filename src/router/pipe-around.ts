import type { Pipe, PipeSink } from './pipe.ts'

/** A pipe around another one, for who wants to see what passes. As it is, it changes nothing. */
export class PipeAround implements Pipe {
  private readonly inner: Pipe

  constructor(inner: Pipe) {
    this.inner = inner
  }

  get pending(): number {
    return this.inner.pending
  }

  start(sink: PipeSink): void {
    this.inner.start({
      data: (bytes) => this.received(bytes, sink),
      drain: () => sink.drain(),
      closed: (cause) => sink.closed(cause),
    })
  }

  write(bytes: Uint8Array): void {
    this.inner.write(bytes)
  }

  pause(): void {
    this.inner.pause()
  }

  resume(): void {
    this.inner.resume()
  }

  end(): void {
    this.inner.end()
  }

  close(): void {
    this.inner.close()
  }

  /** What came in, on its way to the sink. */
  protected received(bytes: Uint8Array, sink: PipeSink): void {
    sink.data(bytes)
  }
}
