import { deferred } from './deferred.ts'

/** The promise, or the signal's reason when that aborts first; what the promise comes to then is nobody's any more. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = deferred<never>()
  const abort = (): void => reject(signal.reason)
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort, { once: true })
  return Promise.race([aborted, promise]).finally(() => signal.removeEventListener('abort', abort))
}
