import type { Clock } from './clock.ts'
import { deferred } from './deferred.ts'

/** Resolves when the work has ended, whichever way, or after `ms`. */
export async function withinTime(work: Promise<unknown>, clock: Clock, ms: number): Promise<void> {
  const { promise, resolve } = deferred<void>()
  const cancel = clock.after(ms, resolve)
  await Promise.race([work.then(() => {}, () => {}), promise])
  cancel()
}
