/**
 * Raw bytes to and from one neighbour. A transport makes a pipe; a link puts frames on it.
 *
 * Death rule: `closed` is called exactly once, and after it nothing else is. A pipe that never opened (authentication
 * failed, program missing) reports that through `closed(cause)` too.
 */
export interface PipeSink {
  /** Bytes from the peer, in order. The sink may keep views on them. */
  data(bytes: Uint8Array): void
  /** `pending` has fallen to the low-water mark or below after having been above it. Never called from within write(). */
  drain(): void
  /** The peer ended its side or the pipe broke. Without a cause it was an orderly end of file. */
  closed(cause?: Error): void
}

export interface Pipe {
  /** Starts delivery; called once. Nothing is delivered (and nothing lost) before. */
  start(sink: PipeSink): void
  /** Takes bytes, always; they leave in order. After the pipe closed they are dropped silently. */
  write(bytes: Uint8Array): void
  /** Bytes taken by write() that have not been handed to the operating system yet. */
  readonly pending: number
  /** Stops reading from the peer until resume(). The engine never uses it on a link; raw lanes do. */
  pause(): void
  resume(): void
  /** Half-close: end of file for the peer once everything pending has left. */
  end(): void
  /** Gives up the pipe at once. Harmless when repeated; `closed` follows if it had not been called. */
  close(): void
}

/** Above this many pending bytes a pipe calls `drain` when it gets below again. 64 KiB: two SSH packets in the making. */
export const PIPE_LOW_WATER = 64 * 1024
