import { AsyncLocalStorage } from 'node:async_hooks'
import type { Answer } from '../router/answer.ts'
import type { RametError } from '../router/errors.ts'
import type { Level } from '../router/protocol.ts'
import { abortController } from './abort.ts'

/** What `import { current } from 'ramet/remote'` gives a function about the call that it runs in. */
export interface Current {
  /** Aborted when the caller gave up or the deadline passed. */
  readonly signal: AbortSignal
  /** Milliseconds since the epoch by this machine's clock; undefined without a deadline. */
  readonly deadline: number | undefined
  /** Writes a record to the controller's log. */
  log(level: Level, message: string): void
  /** Names of the contexts from the controller down to this one. */
  readonly path: readonly string[]
}

export interface Scope {
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

  constructor(tracking: boolean) {
    this.tracking = tracking
  }

  run(answer: Answer, deadline: number | undefined, fn: () => unknown): void {
    const scope: Scope = { answer, deadline, controller: undefined, cancelled: undefined }
    this.running.add(scope)
    answer.onDone = () => this.running.delete(scope)
    answer.onCancel = (error) => {
      scope.cancelled = error
      scope.controller?.abort(error)
    }
    if (this.tracking) this.storage.run(scope, () => answer.run(fn))
    else answer.run(fn)
  }

  get current(): Scope | undefined {
    return this.storage.getStore() ?? (this.running.size === 1 ? this.running.values().next().value : undefined)
  }

  /** Ends the calls in which an error went uncaught: the one it belongs to, or the only one that runs. */
  uncaught(error: Error): void {
    this.current?.answer.fail(error)
  }
}

/** The object that shipped code imports. Outside of a call its members throw. */
export function currentOf(scopes: Scopes, path: readonly string[], log: (level: Level, message: string) => void): Current {
  const scope = (): Scope => {
    const current = scopes.current
    if (current === undefined) throw new Error('ramet/remote: `current` is only there while a call runs')
    return current
  }
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
    log,
    path,
  }
}
