import type { Connecting, ContextActions } from './api.ts'
import { CallPromise } from './call-promise.ts'
import { remoteModule } from './remote.ts'
import { Turns } from './turns.ts'

const refusals = new WeakMap<object, Error>()

/** Why there is nothing behind what refusedConnecting() gave; undefined for anything else. */
export function refusalOf(handle: object): Error | undefined {
  return refusals.get(handle)
}

/** What connect() gives when there is nothing to begin with: its hop is lost, there is no room, the target's name is none. Whatever is asked of it hears why. */
export function refusedConnecting(error: Error): Connecting {
  const rejected = async (): Promise<never> => {
    throw error
  }
  const actions: ContextActions = {
    exec: rejected,
    spawn: () => {
      throw error
    },
    use: <M>() => remoteModule<M>(rejected, () => {}, () => new Turns(), () => () => {}),
    call: () => new CallPromise((_, reject) => reject(error)) as never,
    with: () => actions,
  }
  const promise = rejected()
  promise.catch(() => {})
  refusals.set(promise, error)
  return Object.assign(promise, actions)
}
