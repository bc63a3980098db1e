import { AsyncLocalStorage, createHook } from 'node:async_hooks'
import type { Current } from '../remote.ts'
import type { Answer } from '../router/answer.ts'
import { errorToWire } from '../router/errors-wire.ts'
import type { RametError } from '../router/errors.ts'
import type { Level } from '../router/protocol.ts'
import { abortController } from '../base/abort.ts'

interface Scope {
  answer: Answer
  deadline: number | undefined
  controller: AbortController | undefined
  cancelled: RametError | undefined
}

/** Follows each call through everything that it awaits. */
export class Scopes {
  /** Following costs every promise a little: on the main thread it is switched on by the first code that asks. */
  tracking: boolean
  private readonly storage = new AsyncLocalStorage<Scope>()
  private readonly running = new Set<Scope>()
  private readonly onThread: ((channel: number) => void) | undefined

  /**
   * `onThread` is for the Worker, where all calls are followed: it is told which call has the thread from now on, by channel
   * number, 0 for none. It costs 10 to 40 ns per await.
   */
  constructor(onThread?: (channel: number) => void) {
    this.tracking = onThread !== undefined
    this.onThread = onThread
    if (onThread !== undefined) createHook({ before: () => onThread(this.storage.getStore()?.answer.channel.id ?? 0) }).enable()
  }

  /** Runs what `find` gives as the answer to a call; what either throws is the answer, too. */
  run(answer: Answer, deadline: number | undefined, find: () => (...args: unknown[]) => unknown, args: unknown[]): void {
    // Given up while its code was on the way.
    if (answer.state !== 'waiting') return
    if (!this.tracking) {
      // Only loading the code shows whether it asks for `current`.
      try {
        find()
      } catch (error) {
        answer.fail(error)
        return
      }
    }
    const scope: Scope = { answer, deadline, controller: undefined, cancelled: undefined }
    this.running.add(scope)
    answer.onDone = () => this.running.delete(scope)
    answer.onCancel = (error) => {
      scope.cancelled = error
      scope.controller?.abort(error)
    }
    // Listeners of the signal and the `finally` of a generator ask for `current`, and what they do not catch is this call's.
    answer.giveUp = (leave) => (this.tracking ? this.storage.run(scope, leave) : leave())
    const start = (): void => {
      this.onThread?.(answer.channel.id)
      answer.run(() => find()(...args))
    }
    if (this.tracking) this.storage.run(scope, start)
    else start()
    this.onThread?.(0)
  }

  get current(): Scope | undefined {
    return this.storage.getStore() ?? (this.running.size === 1 ? this.running.values().next().value : undefined)
  }

  /**
   * Logs what nobody caught, and ends the call that it belongs to, or the only one that runs. Node 12 does not say to which
   * call a rejected promise belongs, and Node 14 only through the property by which its storage finds it.
   */
  uncaught(thrown: unknown, promise: unknown, log: (text: string) => void): void {
    const { name, message, stack } = errorToWire(thrown)
    log(`uncaught: ${stack ?? `${name}: ${message}`}`)
    const key = (this.storage as unknown as { kResourceStore?: symbol }).kResourceStore
    const marked = key === undefined || !(promise instanceof Promise) ? undefined : (promise as unknown as Record<symbol, Scope | undefined>)[key]
    const scope = this.storage.getStore() ?? marked ?? this.current
    scope?.answer.fail(thrown)
  }
}

/** The object that shipped code imports. Outside of a call its members throw. */
export function currentOf(scopes: Scopes, path: readonly string[], log: (level: Level, message: string, fields?: string) => void): Current {
  const scope = (): Scope => {
    const current = scopes.current
    if (current === undefined) throw new Error('ramet/remote: `current` is only there while a call runs')
    return current
  }
  const write = (level: Level) => (message: string, fields?: Record<string, unknown>): void => log(level, String(message), asJson(fields))
  return {
    get signal(): AbortSignal {
      const current = scope()
      if (current.controller === undefined) {
        current.controller = abortController()
        if (current.cancelled !== undefined) current.controller.abort(current.cancelled)
      }
      return current.controller.signal
    },
    get deadline(): number | undefined {
      return scope().deadline
    },
    log: { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') },
    path,
  }
}

/** Logging never fails: what cannot be written down is said to be so. */
function asJson(fields: unknown): string | undefined {
  const value = (_key: string, field: unknown): unknown => (field instanceof Error ? errorToWire(field) : typeof field === 'bigint' ? String(field) : field)
  try {
    return fields === undefined ? undefined : JSON.stringify(fields, value)
  } catch (error) {
    return JSON.stringify({ fields: String(error) })
  }
}
