import { closeSync, constants, openSync, readSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { EXEC_CHUNK } from '../connect/command.ts'

/** One of the two streams that a process prints on, seen from us who read it. */
export interface Outlet {
  /** Takes what comes from now on. What comes before is lost: a waiting shell has nothing to say. */
  listen(data: (bytes: Buffer) => void): void
  pause(): void
  resume(): void
  /**
   * To be called when the process has ended: reads what is there. True when that was all that the process itself had
   * written; false while paused, and where only the turns of the event loop show it.
   */
  drain(): boolean
  /** Whether it keeps the event loop running. */
  keep(loop: boolean): void
  /** Closes the end for reading: whoever prints there from now on gets SIGPIPE; over a socket with something unread in it, ECONNRESET first. */
  close(): void
  /** What still comes is nobody's: it is read and dropped, so that a background job neither blocks nor dies of SIGPIPE. */
  release(): void
}

/** Where the next bytes are read to, whichever outlet they come from: they are copied at once. They fill two messages. */
const room = Buffer.allocUnsafeSlow(2 * EXEC_CHUNK)
/** Bytes read by drain() at most: what the process wrote is in the pipe, which holds less. A job may print for ever. */
const DRAIN_MAX = 1024 * 1024

/**
 * What comes out of a pipe of the operating system. The end for writing stays open here until the process has ended: its
 * exit alone wakes us, not the end of each of its streams just before, and what is left is read at once.
 */
export class PipeOutlet implements Outlet {
  /** `over`: nobody has the end for writing. `back`: the pipe was handed to its next user. `closed`: it has none. */
  state: 'open' | 'over' | 'back' | 'closed' = 'open'
  private readonly fd: number
  private readonly socket: Socket
  private readonly back: (end: number) => void
  private writer: number | undefined
  private data: ((bytes: Buffer) => void) | undefined
  private paused = false

  /** `end` is for writing, and ours from here on. `back` gets such an end again when the pipe is free. Throws when no descriptor is left. */
  constructor(end: number, back: (end: number) => void) {
    this.back = back
    this.fd = openSync(pathOf(end), constants.O_RDONLY | constants.O_NONBLOCK)
    this.writer = end
    const callback = (size: number): boolean => {
      this.take(size)
      return true
    }
    const options = { fd: this.fd, readable: true, writable: false, onread: { buffer: room, callback } }
    this.socket = new Socket(options)
    this.socket.on('error', () => {})
    this.socket.on('end', () => {
      this.state = 'over'
      this.giveBack()
    })
    this.socket.on('close', () => this.closeWriter())
  }

  listen(data: (bytes: Buffer) => void): void {
    this.data = data
  }

  pause(): void {
    this.paused = true
    this.socket.pause()
  }

  resume(): void {
    this.paused = false
    this.socket.resume()
  }

  drain(): boolean {
    this.closeWriter()
    for (let size = 0; this.state === 'open' && !this.paused && size < DRAIN_MAX;) {
      const read = this.readNow()
      if (read === undefined) break
      if (read === 0) this.state = 'over'
      else this.take(read)
      size += read
    }
    return this.state !== 'open' || !this.paused
  }

  keep(loop: boolean): void {
    if (loop) this.socket.ref()
    else this.socket.unref()
  }

  close(): void {
    if (this.state === 'back') return
    this.state = 'closed'
    this.data = undefined
    this.socket.destroy()
  }

  release(): void {
    this.data = undefined
    this.closeWriter()
    if (this.state === 'closed') return
    if (this.state === 'over') return this.giveBack()
    this.keep(false)
    this.resume()
  }

  private take(size: number): void {
    this.data?.(Buffer.from(room.subarray(0, size)))
  }

  /** Bytes read, 0 at the end, undefined where there is nothing now. */
  private readNow(): number | undefined {
    try {
      return readSync(this.fd, room, 0, room.length, null)
    } catch {
      // EAGAIN: a background job has the pipe.
      return undefined
    }
  }

  /** Opens the end for writing anew while the one for reading still keeps the pipe. */
  private giveBack(): void {
    if (this.state === 'back' || this.state === 'closed') return
    this.state = 'back'
    let end: number | undefined
    try {
      end = openSync(pathOf(this.fd), constants.O_WRONLY)
    } catch {
      // No descriptor is left: the pipe is lost, and another will be made.
    }
    this.socket.destroy()
    if (end !== undefined) this.back(end)
  }

  private closeWriter(): void {
    if (this.writer !== undefined) closeSync(this.writer)
    this.writer = undefined
  }
}

/** A stream as Node makes it, where there are no pipes. */
export class StreamOutlet implements Outlet {
  state: 'open' | 'over' = 'open'
  private readonly stream: Readable

  constructor(stream: Readable) {
    this.stream = stream
    const over = (): void => { this.state = 'over' }
    stream.on('error', () => {}).on('end', over).on('close', over)
  }

  listen(data: (bytes: Buffer) => void): void {
    this.stream.on('data', data)
  }

  pause(): void {
    this.stream.pause()
  }

  resume(): void {
    this.stream.resume()
  }

  drain(): boolean {
    return this.state === 'over'
  }

  keep(loop: boolean): void {
    if (loop) (this.stream as Socket).ref()
    else (this.stream as Socket).unref()
  }

  close(): void {
    this.state = 'over'
    this.stream.destroy()
  }

  release(): void {
    this.stream.removeAllListeners('data')
    this.stream.resume()
    this.keep(false)
  }
}

/** By this name a descriptor of ours can be opened once more, for either direction. */
export function pathOf(fd: number): string {
  return `/proc/self/fd/${fd}`
}
