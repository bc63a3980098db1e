import type { MessagePort, Worker } from 'node:worker_threads'
import type { Pipe, PipeSink } from '../router/pipe.ts'

/** Bytes between the main thread and its Worker. Messages that are no bytes go to `control`. */
export class PortPipe implements Pipe {
  state: 'idle' | 'open' | 'closed' = 'idle'
  /** The port keeps what it was given until the other thread takes it; that is bounded by credit, not here. */
  readonly pending = 0
  private readonly port: MessagePort | Worker
  private sink: PipeSink | undefined

  constructor(port: MessagePort | Worker, control: (message: unknown) => void) {
    this.port = port
    const listener = (message: unknown): void => {
      if (message instanceof Uint8Array) this.sink?.data(message)
      else control(message)
    }
    // Worker and MessagePort share this much of their interface, but not a type.
    ;(port as Worker).on('message', listener)
  }

  start(sink: PipeSink): void {
    this.sink = sink
    this.state = 'open'
  }

  write(bytes: Uint8Array): void {
    if (this.state === 'closed') return
    // A view would take its whole 64 KiB slab along; a copy of its own can be handed over without another copy.
    const copy = bytes.slice()
    this.port.postMessage(copy, [copy.buffer])
  }

  pause(): void {}

  resume(): void {}

  end(): void {}

  close(): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.sink?.closed()
  }
}
