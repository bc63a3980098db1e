import { Socket } from 'node:net'
import type { Pipe, PipeSink } from '../router/pipe.ts'

/** Two file descriptors as a pipe: asynchronous on both, so that a peer that stalls never blocks the event loop. */
export class FdPipe implements Pipe {
  state: 'idle' | 'open' | 'closed' = 'idle'
  private readonly input: Socket
  private readonly output: Socket
  private sink: PipeSink | undefined

  constructor(readFd: number, writeFd: number) {
    this.input = new Socket({ fd: readFd, readable: true, writable: false })
    this.output = new Socket({ fd: writeFd, readable: false, writable: true })
  }

  get pending(): number {
    return this.output.writableLength
  }

  start(sink: PipeSink): void {
    this.sink = sink
    this.state = 'open'
    this.input.on('data', (bytes: Buffer) => sink.data(bytes))
    this.input.on('end', () => this.finish())
    this.input.on('error', (error: Error) => this.finish(error))
    this.output.on('error', (error: Error) => this.finish(error))
    this.output.on('drain', () => sink.drain())
  }

  write(bytes: Uint8Array): void {
    if (this.state !== 'closed') this.output.write(bytes)
  }

  pause(): void {
    this.input.pause()
  }

  resume(): void {
    this.input.resume()
  }

  end(): void {
    this.output.end()
  }

  close(): void {
    this.finish()
  }

  private finish(cause?: Error): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.input.destroy()
    this.output.destroy()
    this.sink?.closed(cause)
  }
}
