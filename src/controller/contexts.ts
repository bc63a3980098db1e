import type { Clock } from '../base/clock.ts'
import { displayName, parseTarget } from '../connect/target.ts'
import { isRametError, RametError } from '../router/errors.ts'
import type { Link } from '../router/link.ts'
import { ROOT } from '../router/protocol.ts'
import type { ConnectOptions } from './api.ts'
import { asContextSees } from './connect-errors.ts'
import { coreOf, latest } from './context.ts'
import type { CoreHome, CoreOptions, Waiting } from './core-options.ts'
import { ContextCore } from './core.ts'
import { HopConnection } from './hop-connection.ts'
import { Interpreters } from './interpreters.ts'
import { Isolation } from './isolation.ts'
import type { HopWay } from './hop-way.ts'
import { poolKey } from './pool-key.ts'
import { hopWay } from './reach-hop.ts'
import type { ReachContext } from './reach-context.ts'
import type { reach } from './reach.ts'
import { Reconnects } from './reconnects.ts'
import { refusalOf } from './refused.ts'

/** Default of ConnectOptions.timeout, ms. */
const CONNECT_TIMEOUT = 30_000
/** Code on the main thread of an isolated process answers no PING while it computes; on one machine the end of the pipe says enough. */
const UNWATCHED = { interval: 2 ** 31 - 1, count: 1 }

export interface ContextsOptions {
  home: CoreHome
  clock: Clock
  /** Opens the connection to an address. */
  reach: typeof reach
  /** What every context's reach may use beside its own. */
  shared: Pick<ReachContext, 'book' | 'jumps' | 'pace'>
  prompt: ConnectOptions['prompt']
  /** Interpreters on one machine at most. */
  interpreters: number
}

/** All contexts of a controller: which are there, which are equal, what each hangs on. */
export class Contexts {
  readonly cores = new Map<number, ContextCore>()
  readonly pool = new Map<string, ContextCore>()
  private readonly options: ContextsOptions
  private readonly interpreters: Interpreters
  private readonly reconnects: Reconnects
  private nextId = ROOT + 1

  constructor(options: ContextsOptions) {
    this.options = options
    this.interpreters = new Interpreters(options.interpreters, options.home.router)
    this.reconnects = new Reconnects(options.clock, options.home.book)
  }

  /** The context for a target: one that is open or opening when there is an equal one, else a new one. */
  open(target: string, options: ConnectOptions): ContextCore {
    const { via, ...rest } = options
    return this.openFrom(via === undefined ? undefined : this.known(via, target, 'via'), target, rest)
  }

  /** A fresh process of a context's own Node, below that context. */
  process(parent: ContextCore): ContextCore {
    const way = async (): Promise<HopWay> => ({ target: { kind: 'process' }, answer: () => undefined, close: () => {} })
    const path = [...parent.path, 'isolated']
    return this.add({ name: 'isolated', path, runtime: 'node', keepalive: UNWATCHED, timeout: CONNECT_TIMEOUT, parent, hopWay: way }, parent)
  }

  ended(id: number): void {
    const core = this.cores.get(id)
    this.cores.delete(id)
    if (core !== undefined) this.interpreters.ended(core)
    if (core !== undefined) for (const other of this.cores.values()) other.children.jumps.delete(core)
    for (const [key, pooled] of this.pool) if (pooled.id === id) this.pool.delete(key)
  }

  /** Whether the id was ever given to a context. */
  knew(id: number): boolean {
    return id > ROOT && id < this.nextId
  }

  /** The context at the other end of a link. */
  at(link: Link): ContextCore | undefined {
    for (const core of this.cores.values()) if (core.near?.link === link) return core
    return undefined
  }

  async close(): Promise<void> {
    this.reconnects.close()
    await Promise.all([...this.cores.values()].map((core) => core.close()))
  }

  private openFrom(parent: ContextCore | undefined, target: string, options: ConnectOptions): ContextCore {
    const jump = typeof options.jump === 'object' ? `#${this.known(options.jump, target, 'jump').id}` : options.jump
    // Two handles on one hop are the same way.
    const key = options.fresh === true ? undefined : poolKey(parent === undefined ? target : `${parent.id} ${target}`, { ...options, ...(jump === undefined ? {} : { jump }) })
    const pooled = key === undefined ? undefined : this.pool.get(key)
    // One that is going down is no use to anybody new.
    if (pooled !== undefined && pooled.state !== 'lost' && pooled.state !== 'closed') return pooled
    const core = this.make(target, options, parent)
    if (key !== undefined) this.pool.set(key, core)
    return core
  }

  private make(target: string, options: ConnectOptions, parent: ContextCore | undefined): ContextCore {
    const { clock, shared, reach, prompt } = this.options
    const address = parseTarget(target)
    const name = displayName(address)
    const path = [...(parent?.path ?? []), name]
    const reached = ([signal, prompting, unfinished, heed]: Waiting): ReachContext => ({ ...shared, name, path, clock, signal, prompting, unfinished, heed })
    const withPrompt = { ...options, prompt: options.prompt ?? prompt }
    const sameMachine = address.kind !== 'ssh' ? parent : undefined
    const core = this.add({
      name: target,
      path,
      runtime: options.runtime ?? 'auto',
      node: options.node,
      keepalive: options.keepalive,
      timeout: options.timeout ?? CONNECT_TIMEOUT,
      reach: async (...waiting) => {
        if (parent === undefined) return reach(address, withPrompt, reached(waiting))
        const way = await hopWay(address, withPrompt, reached(waiting))
        const refused = (text: string): void => shared.book.write('warn', { context: path.join(' > ') }, text)
        return new HopConnection(parent.hop(), { router: this.options.home.router, clock, refused }, this.nextId++, path, way)
      },
      parent,
      hopWay: parent === undefined ? undefined : (...waiting) => hopWay(address, withPrompt, reached(waiting)),
    }, sameMachine)
    const { reconnect, jump } = options
    if (typeof jump === 'object') this.known(jump, target, 'jump').children.jumps.add(core)
    if (reconnect !== undefined && reconnect !== false) {
      const again = (): ContextCore => this.openFrom(parent === undefined ? undefined : latest(parent), target, options)
      core.onLost = (cause, connecting) => this.reconnects.lost(core, cause, connecting, reconnect === true ? {} : reconnect, again)
      core.onClosed = () => this.reconnects.forget(core)
    }
    return core
  }

  /** `beside`: the context on whose machine it will be. */
  private add(options: Omit<CoreOptions, 'id'>, beside: ContextCore | undefined): ContextCore {
    const room = beside === undefined || options.runtime === 'raw' ? undefined : this.interpreters.makeRoom(beside)
    const { hopWay: way } = options
    const hopWay: CoreOptions['hopWay'] = room === undefined || way === undefined ? way : async (...waiting) => {
      await room
      return way(...waiting)
    }
    const core = this.begin(options.path, () => new ContextCore(this.options.home, { ...options, hopWay, id: this.nextId++ }))
    this.interpreters.begun(core, beside)
    core.processes = new Isolation(() => this.process(core))
    this.cores.set(core.id, core)
    return core
  }

  private begin<T>(path: readonly string[], start: () => T): T {
    try {
      return start()
    } catch (error) {
      throw asContextSees(error, path)
    }
  }

  /** The context that an option of a target names. Throws RametError when it is none of this controller's. */
  known(handle: object, target: string, option: 'via' | 'jump'): ContextCore {
    const core = coreOf(handle)
    if (core !== undefined && this.cores.get(core.id) === core) return core
    // One that was is still known by its name, and says what became of it; so does one that never was.
    const refusal = refusalOf(handle)
    const name = displayName(parseTarget(target))
    if (refusal !== undefined) throw asContextSees(refusal, [...(isRametError(refusal) ? refusal.path : []), name])
    if (core?.state === 'lost' || core?.state === 'closed') this.begin([...(option === 'via' ? core.path : []), name], () => core.hop())
    const hint = 'Take a context that this controller has connected and not closed.'
    throw new RametError('usage', `${target}: ${option} is no open context of this controller`, { outcome: 'not-sent', hint })
  }
}
