import { systemClock } from '../base/clock.ts'

/** Milliseconds that whoever wants to leave at once gives a reader to take what was written. */
const LEAVING = 500

/** Where output goes. */
export interface Sink {
  readonly isTTY: boolean
  /** Not all that was written has been taken. */
  readonly behind: boolean
  /** Why nothing can be written any more, unless it is that the reader has gone: a full disk. */
  readonly failure?: Error | undefined
  /** Width of the terminal; 80 where there is none. */
  readonly columns: number
  write(data: string | Uint8Array): void
  /** Resolves when everything written has left this process or never will. Never rejects. */
  flush(): Promise<void>
  /** Calls back once when the reader has gone (`| head`). From then on writes are dropped. */
  onBroken(listener: () => void): void
}

/** A sink on one of the process's own streams. */
export class StreamSink implements Sink {
  state: 'open' | 'left' | 'broken' = 'open'
  failure: Error | undefined
  readonly #stream: NodeJS.WriteStream
  readonly #listeners: (() => void)[] = []
  #pending = 0
  #waiting: (() => void)[] = []

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream
    // Node lets a terminal block it: one that takes nothing (^S, a window that hangs) would stop every connection with us. Node opens it
    // anew for that; where it could not (another account's terminal), the descriptor is the shell's, too, and stays as it is.
    const { _handle: handle } = stream as unknown as { _handle?: { fd?: number; setBlocking?(blocking: boolean): void } }
    if (stream.isTTY && (handle?.fd ?? 0) > 2) handle?.setBlocking?.(false)
    // EPIPE when the reader has gone; EIO when the terminal has: in both cases nobody reads on, or misses anything.
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE' && error.code !== 'EIO') this.failure ??= error
      this.#break()
    })
  }

  get isTTY(): boolean {
    return  this.#stream.isTTY
  }

  get columns(): number {
    // Terminals that do not know their width say 0.
    return this.#stream.columns || 80
  }

  get behind(): boolean {
    return this.#pending > 0
  }

  write(data: string | Uint8Array): void {
    if (this.state === 'broken' || data.length === 0) return
    this.#pending++
    this.#stream.write(data, () => {
      this.#pending--
      if (this.#pending === 0) this.#wake()
    })
  }

  async flush(): Promise<void> {
    if (this.state !== 'open' || this.#pending === 0) return
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve)
    })
  }

  /** Nobody wants to wait for the reader any more: flush() resolves in half a second at the latest. */
  hurry(): void {
    systemClock.after(LEAVING, () => {
      if (this.state === 'open') this.state = 'left'
      this.#wake()
    })
  }

  onBroken(listener: () => void): void {
    if (this.state === 'broken') listener()
    else this.#listeners.push(listener)
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  #break(): void {
    if (this.state === 'broken') return
    this.state = 'broken'
    this.#wake()
    for (const listener of this.#listeners) listener()
  }
}
