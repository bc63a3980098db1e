import { type Clock, stayAlive } from '../base/clock.ts'

/** Tries for connections that end before the server has said who it is: nothing has happened on the target by then. Of a hundred at one sshd some take five. */
export const MAX_DIALS = 8
/** ms before the second try; doubled with each that follows, up to RETRY_MOST, and spread by half. */
const RETRY_BASE = 300
const RETRY_MOST = 2400

/** Calls `dial` when it is time for the try after `dials`; what is returned takes that back. `random`: 0 ≤ x < 1. */
export function dialLater(clock: Clock, dials: number, random: number, dial: () => void): () => void {
  const delay = Math.min(RETRY_MOST, RETRY_BASE * 2 ** (dials - 1)) * (0.5 + random)
  // The clock's timers let the process end; a connection that is being made must not.
  const over = stayAlive()
  const cancel = clock.after(delay, () => {
    over()
    dial()
  })
  return () => {
    over()
    cancel()
  }
}
