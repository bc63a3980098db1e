import type { Pipe } from '../router/pipe.ts'

/** Bytes of output that nobody has consumed: above the first the channel is not read, below the second it is again. */
const PAUSE_AT = 1024 * 1024
const RESUME_AT = 256 * 1024
/**
 * The first of them while the command's pid is not known: that stands on the other stream, and one turn of the event loop may read
 * 2 MiB of this one before it looks there.
 */
const PAUSE_UNKNOWN_AT = 4 * 1024 * 1024

/**
 * Stops reading a command's channel while its output is not consumed. What it has to say of its end stands behind that output: a
 * command that is to be ended is read on, and what has no room then is dropped, and all that follows, for there is to be no hole.
 */
export class OutputBrake {
  state: 'open' | 'ending' | 'dropping' = 'open'
  private unconsumed = 0

  /** Output has come of a command whose pid is known, or not yet. False: it is to be dropped. */
  take(bytes: number, pipe: Pipe | undefined, known: boolean): boolean {
    if (this.state === 'ending' && this.unconsumed > PAUSE_AT) this.state = 'dropping'
    if (this.state === 'dropping') return false
    this.unconsumed += bytes
    if (this.state === 'open' && this.unconsumed > (known ? PAUSE_AT : PAUSE_UNKNOWN_AT)) pipe?.pause()
    return true
  }

  consumed(bytes: number, pipe: Pipe | undefined): void {
    const before = this.unconsumed
    this.unconsumed -= bytes
    if (before > RESUME_AT && this.unconsumed <= RESUME_AT) pipe?.resume()
  }

  /** The command is to be ended. */
  release(pipe: Pipe | undefined): void {
    if (this.state !== 'open') return
    this.state = 'ending'
    pipe?.resume()
  }
}
