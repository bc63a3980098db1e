import type { Clock } from '../base/clock.ts'

/** A connection whose server may fall silent. */
export interface Watched {
  /** Bytes received so far. */
  bytesIn(): number
  /** Makes the server say something. */
  ask(): void
  /** It has said nothing for too long. */
  silent(): void
}

/**
 * Asks a server that has been silent for `interval` ms, and gives it up when it has left `count` such questions unanswered.
 * Intervals are counted, not measured, and one that ends late does not count: a process that stood still finds a server that
 * still answers. Returns what ends it.
 */
export function watchServer(clock: Clock, { interval, count }: { interval: number; count: number }, watched: Watched): () => void {
  let heard = watched.bytesIn()
  let unanswered = 0
  let over = false
  let cancel = (): void => {}
  const look = (late: boolean): void => {
    if (over) return
    const before = heard
    heard = watched.bytesIn()
    if (heard !== before) unanswered = 0
    else if (late) watched.ask()
    else if (unanswered === count) return watched.silent()
    else {
      unanswered++
      watched.ask()
    }
    wait()
  }
  const wait = (): void => {
    if (over) return
    const from = clock.now()
    // A timer comes before what has arrived is read, which a process that is busy had no time for.
    cancel = clock.after(interval, () => void setImmediate(() => look(clock.now() - from > 1.5 * interval)))
  }
  wait()
  return () => {
    over = true
    cancel()
  }
}
