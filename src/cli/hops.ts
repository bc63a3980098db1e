import type { Connecting, ConnectOptions, Context } from '../controller/api.ts'
import { isRametError, RametError } from '../router/errors.ts'
import type { Tree } from './desk.ts'
import type { Place, Step } from './ways.ts'

interface Hop {
  /** Aborting it once the hop stands does nothing. One signal each: thousands of listeners on one are a leak to Node. */
  stop: AbortController
  connecting: Connecting | undefined
  /** Resolves once one of the two below is there. */
  ended: Promise<void>
  context: Context | undefined
  failure: { error: unknown } | undefined
}

export interface HopsOptions {
  connect(step: Step, via: Connecting | undefined): ConnectOptions
  /** A hop stands; `steps` lead to it. */
  seen?: ((steps: readonly Step[], context: Context) => void) | undefined
}

/**
 * The contexts through which targets are reached: each opened once, when it is first needed, and closed behind the last target
 * that needs it. What failed stays failed: a hundred targets behind a dead bastion wait for one attempt.
 */
export class Hops {
  state: 'open' | 'cancelled' = 'open'
  readonly #tree: Tree
  readonly #options: HopsOptions
  readonly #hops = new Map<string, Hop>()
  /** Targets that are not done yet, by the key of the hop. */
  readonly #users = new Map<string, number>()

  constructor(places: readonly Place[], tree: Tree, options: HopsOptions) {
    this.#tree = tree
    this.#options = options
    for (const { steps } of places) {
      for (const { key } of steps.slice(0, -1)) this.#users.set(key, (this.#users.get(key) ?? 0) + 1)
    }
  }

  /** Whether targets are reached through this step. */
  has(step: Step): boolean {
    return this.#users.has(step.key)
  }

  /**
   * The hops of a way, the one nearest to us first. They may still be connecting: what is opened from them leaves at once. Throws
   * what a hop that failed before failed with; reason() makes it the target's. One that was lost is not connected again: that is
   * for the person to say.
   */
  on({ steps }: Place): Connecting[] {
    const way: Connecting[] = []
    steps.slice(0, -1).forEach((step, index) => {
      const { connecting, context, failure } = this.#hops.get(step.key) ?? this.#open(steps.slice(0, index + 1), way.at(-1))
      if (context?.state === 'lost') throw behind(steps.at(-1)!.name, step.name, lost(context), undefined)
      if (failure !== undefined || connecting === undefined) throw failure?.error
      way.push(connecting)
    })
    return way
  }

  /** Why the work on a target failed with this: because a hop did not come up, where that is so. */
  async reason({ steps }: Place, error: unknown): Promise<unknown> {
    for (const step of steps.slice(0, -1)) {
      const hop = this.#hops.get(step.key)
      // One turn of the loop: a hop's failure, and what follows from it, arrive together and in any order.
      await Promise.race([hop?.ended, new Promise((resolve) => void setImmediate(resolve))])
      const why = hop?.failure?.error
      if (isRametError(why)) return behind(steps.at(-1)!.name, step.name, why, error)
    }
    return error
  }

  /** The target is over: hops that nobody needs any more are closed, the far ones first. */
  async done({ steps }: Place): Promise<void> {
    for (const { key } of steps.slice(0, -1).toReversed()) {
      const left = this.#users.get(key)! - 1
      this.#users.set(key, left)
      const hop = this.#hops.get(key)
      if (left > 0 || hop === undefined) continue
      await hop.ended
      // A link that was lost leaves nothing to close.
      await hop.context?.close().catch(() => {})
    }
  }

  /** Gives up connecting. Hops that stand stay until their targets are done: these still want to be told to stop. */
  cancel(reason: RametError): void {
    if (this.state === 'cancelled') return
    this.state = 'cancelled'
    for (const { stop } of this.#hops.values()) stop.abort(reason)
  }

  #open(steps: readonly Step[], via: Connecting | undefined): Hop {
    const step = steps.at(-1)!
    const stop = new AbortController()
    const hop: Hop = { stop, connecting: undefined, ended: Promise.resolve(), context: undefined, failure: undefined }
    this.#hops.set(step.key, hop)
    try {
      hop.connecting = this.#tree.connect(step.target, { ...this.#options.connect(step, via), signal: stop.signal })
    } catch (error) {
      hop.failure = { error }
      return hop
    }
    hop.ended = hop.connecting.then((context) => {
      hop.context = context
      this.#options.seen?.(steps, context)
    }).catch((error: unknown) => {
      hop.failure = { error }
    })
    return hop
  }
}

function lost({ path }: Context): RametError {
  return new RametError('link-lost', 'its connection was lost', { path, hint: 'Run it again for the targets that are left.' })
}

/**
 * What a hop's failure is to a target behind it. Its work may have been on its way already: only what it failed with itself says
 * whether it was; where it was never begun, that is the hop's failure too.
 */
export function behind(target: string, hop: string, error: RametError, own: unknown): RametError {
  const { code, stage, path, hint, cause, message } = error
  const where = stage === undefined ? '' : ` at stage ${stage}`
  const text = `${target}: its hop ${hop} failed${where}: ${message.replace(`${path.join(' > ')}: `, '')}`
  const outcome = own !== error && isRametError(own) && own.outcome === 'unknown' ? 'unknown' : 'not-sent'
  return new RametError(code, text, { path, outcome, hint, cause, ...(stage === undefined ? {} : { stage }) })
}
