import type { CallOutcome } from '../router/call.ts'
import { isRametError } from '../router/errors.ts'
import type { CodeGraph } from './code-graph.ts'
import type { WorkOptions } from './core-options.ts'
import type { ContextCore } from './core.ts'
import { ownModule } from './stub-image.ts'

/** Calls in processes of their own: each has a fresh one, below its context, and one is always started ahead of the next call. */
export class Isolation {
  private readonly open: () => ContextCore
  private spare: ContextCore | undefined

  /** `open` starts a process below the context. */
  constructor(open: () => ContextCore) {
    this.open = open
  }

  /** A call is to be expected: starts the process that it will have. */
  prepare(): void {
    if (this.spare !== undefined && this.spare.state !== 'lost' && this.spare.state !== 'closed') return
    this.spare = this.open()
    // Its main thread is for the call, and may never again hear that the context is gone.
    this.spare.call(ownModule('orphan'), 'endWithParent', [], { isolate: 'none' }, { value: () => {}, failed: () => {}, iterable: () => {} })
  }

  call(graph: CodeGraph, name: string, args: readonly unknown[], options: WorkOptions, outcome: CallOutcome): void {
    this.prepare()
    const core = this.spare as ContextCore
    this.spare = undefined
    const over = (error?: Error): void => {
      // A call that was given up may sit in a loop that hears nothing.
      const deaf = isRametError(error) && (error.code === 'timeout' || error.code === 'cancelled')
      void (deaf ? core.cancel(error) : core.close())
      this.prepareLater()
    }
    try {
      core.call(graph, name, args, { ...options, isolate: 'none', together: false }, {
        value: (value) => {
          outcome.value(value)
          over()
        },
        failed: (error) => {
          outcome.failed(error)
          over(error)
        },
        iterable: (items) => outcome.iterable(endingWith(items, over)),
      })
    } catch (error) {
      over()
      throw error
    }
  }

  /** The next process starts when this call's result has been used: it would only take its time away. */
  private prepareLater(): void {
    setImmediate(() => {
      try {
        this.prepare()
      } catch {
        // Its context is gone, or there is no room: the next call will say so.
      }
    })
  }
}

/** The same items; `over` is called once when no more will come. */
function endingWith(items: AsyncIterableIterator<unknown>, over: (error?: Error) => void): AsyncIterableIterator<unknown> {
  let ended = false
  const end = (error?: Error): void => {
    if (!ended) over(error)
    ended = true
  }
  const step = async (next: Promise<IteratorResult<unknown>>): Promise<IteratorResult<unknown>> => {
    try {
      const item = await next
      if (item.done === true) end()
      return item
    } catch (error) {
      end(error as Error)
      throw error
    }
  }
  return {
    next: () => step(items.next()),
    return: () => step(items.return?.() ?? Promise.resolve({ done: true, value: undefined })),
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
