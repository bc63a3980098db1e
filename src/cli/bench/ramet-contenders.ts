import type { Connecting, ContextActions } from '../../controller/api.ts'
import type { Contender, Kind } from './contender.ts'
import { check, echo } from './work.ts'
import type { Work } from './work.ts'

/** A tree of contexts with the target in it, connecting. */
export interface OpenTarget {
  context: Connecting
  /** Why it did not come up, having failed with this: because a hop did not, where that is so. */
  reason(error: unknown): Promise<unknown>
  close(): Promise<void>
}

export type OpenRamet = (runtime: 'node' | 'raw', signal: AbortSignal) => OpenTarget

/** ramet on a connection that is open: through a Node there, or (raw) with commands alone. */
export class WarmRamet implements Contender {
  readonly #open: OpenRamet
  readonly #runtime: 'node' | 'raw'
  readonly #work: Work
  #target: OpenTarget | undefined

  constructor(open: OpenRamet, runtime: 'node' | 'raw', work: Work) {
    this.#open = open
    this.#runtime = runtime
    this.#work = work
  }

  async open(signal: AbortSignal): Promise<void> {
    this.#target = this.#open(this.#runtime, signal)
    try {
      await this.#target.context
    } catch (error) {
      throw await this.#target.reason(error)
    }
  }

  /** Milliseconds of one round trip, and what starts a Node there. */
  async learn(signal: AbortSignal): Promise<{ ping: number; node: string }> {
    const context = await this.#target!.context
    const node = await context.with({ signal }).call(() => process.execPath)
    let ping = Infinity
    for (let turn = 0; turn < 5; turn++) ping = Math.min(ping, await context.ping({ signal }))
    return { ping, node }
  }

  async call(kind: Kind, signal: AbortSignal): Promise<void> {
    await callByRamet(this.#target!.context, this.#runtime, this.#work, kind, signal)
  }

  async close(): Promise<void> {
    await this.#target?.close()
  }
}

/** ramet as it is when nothing is open yet: a controller, a connection and its stub for each call. */
export class ColdRamet implements Contender {
  readonly #open: OpenRamet
  readonly #work: Work
  readonly #targets = new Set<OpenTarget>()

  constructor(open: OpenRamet, work: Work) {
    this.#open = open
    this.#work = work
  }

  async open(): Promise<void> {}

  async call(kind: Kind, signal: AbortSignal): Promise<() => Promise<void>> {
    const target = this.#open('node', signal)
    this.#targets.add(target)
    const end = async (): Promise<void> => {
      await target.close()
      this.#targets.delete(target)
    }
    try {
      await callByRamet(target.context, 'node', this.#work, kind, signal)
      return end
    } catch (error) {
      await end()
      throw error
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#targets].map((target) => target.close()))
  }
}

async function callByRamet(context: ContextActions, runtime: 'node' | 'raw', work: Work, kind: Kind, signal: AbortSignal): Promise<void> {
  const task = work.next(kind)
  if (kind === 'function' && runtime === 'node') {
    check(task, await context.with({ signal }).call(echo, task.text))
    return
  }
  const { stdout } = await context.exec(task.line, { signal, check: true, ...(task.stdin === undefined ? {} : { stdin: task.stdin }) })
  check(task, stdout)
}
