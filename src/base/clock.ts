/**
 * Time as the engine sees it. Everything that waits takes a Clock, so that a test can move time by hand.
 * All times are milliseconds.
 */
export interface Clock {
  /** Milliseconds since an arbitrary fixed moment; never goes backwards. */
  now(): number
  /** Calls `fn` once after `ms`; the function returned cancels it and may be called at any time. */
  after(ms: number, fn: () => void): () => void
}

/** The process's own clock. Its timers do not keep the process alive: links and children do. */
export const systemClock: Clock = {
  now: () => Number(process.hrtime.bigint()) / 1e6,
  after(ms, fn) {
    // Node clamps delays above 2^31-1 ms to 1 ms; a deadline of a month must not fire at once.
    const timer = setTimeout(fn, Math.min(ms, 0x7fffffff))
    timer.unref()
    return () => clearTimeout(timer)
  },
}

/** Keeps the process alive where a clock's timer is all that is waited for, until the function returned is called. */
export function stayAlive(): () => void {
  const timer = setInterval(() => {}, 60_000)
  return () => clearInterval(timer)
}
