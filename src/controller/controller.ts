import { type Clock, systemClock } from '../base/clock.ts'
import { displayName, parseTarget } from '../connect/target.ts'
import { RametError } from '../router/errors.ts'
import type { Frame } from '../router/frame.ts'
import type { Link } from '../router/link.ts'
import { ROOT } from '../router/protocol.ts'
import { Router } from '../router/router.ts'
import { FrameTrace } from '../router/trace.ts'
import type { CallOptions, Connecting, ConnectOptions, ControllerOptions, LinkStats } from './api.ts'
import type { Bundler } from './bundler.ts'
import { Actions, coreOf, Handle, type HandleHome, standsFor } from './context.ts'
import type { CoreHome } from './core-options.ts'
import { ContextCore } from './core.ts'
import { Library } from './library.ts'
import { LogBook } from './logs.ts'
import { poolKey } from './pool-key.ts'
import type { ReachContext } from './reach-context.ts'
import { hopWay } from './reach-hop.ts'
import { reach } from './reach.ts'
import { watchSignal } from './state-dump.ts'

/** Default of ConnectOptions.timeout, ms. */
const CONNECT_TIMEOUT = 30_000

/** The root of a tree of contexts: opens them, ships code to them, calls. */
export class Controller implements AsyncDisposable {
  state: 'open' | 'closed' = 'open'
  private readonly options: ControllerOptions
  private readonly clock: Clock
  private readonly router: Router
  private readonly home: CoreHome & HandleHome
  private readonly cores = new Map<number, ContextCore>()
  private readonly pool = new Map<string, ContextCore>()
  private bundler_: Promise<Bundler> | undefined
  private nextId = ROOT + 1
  private unwatch: (() => void) | undefined
  private readonly reach: typeof reach
  private closing: Promise<void> | undefined

  /** `clock` and `reachTarget` (what opens the connection to an address) are for tests. */
  constructor(options: ControllerOptions = {}, clock: Clock = systemClock, reachTarget = reach) {
    this.options = options
    this.clock = clock
    this.reach = reachTarget
    const book = new LogBook(options.logger)
    this.router = new Router(
      {
        neighbour: (frame: Frame, link: Link) => this.coreOf(link)?.neighbour(frame),
        lost: (link: Link, cause: RametError) => this.coreOf(link)?.unlinked(cause),
        responsive: (link: Link, responsive: boolean) => this.coreOf(link)?.responsive(responsive),
        refused: (message: string, link: Link) => {
          // What was on its way from a context that has just been closed is no attack.
          if (this.coreOf(link)?.state !== 'closed') book.write('warn', { context: link.path.join(' > '), code: 'not-allowed' }, message)
        },
      },
      { id: ROOT, clock, maxMessage: options.limits?.message },
    )
    this.home = {
      router: this.router,
      library: new Library(),
      clock,
      book,
      trace: FrameTrace.fromEnvironment(),
      limits: options.limits ?? {},
      ended: (id) => this.ended(id),
      bundler: () => this.bundler(),
      connect: (target, connectOptions) => this.connect(target, connectOptions),
    }
    this.unwatch = watchSignal(() => this.describe())
  }

  /**
   * Opens a context, or another handle on an equal one that is open. What comes back is a promise of it on which work can
   * be started at once: such work leaves together with the bytes that open the connection.
   */
  connect(target: string, options: ConnectOptions = {}): Connecting {
    const core = this.coreFor(target, options)
    const handle = new Handle(core, this.home)
    const promise = handle.opened(options.signal)
    // A failure reaches whoever awaits it, and every call; a context that nobody awaited is no unhandled rejection.
    promise.catch(() => {})
    const actions = new Actions(core, this.home, {})
    standsFor(promise, core)
    return Object.assign(promise, {
      exec: actions.exec.bind(actions),
      spawn: actions.spawn.bind(actions),
      use: actions.use.bind(actions),
      call: actions.call.bind(actions),
      with: (callOptions: CallOptions) => actions.with(callOptions),
    })
  }

  /** What every link carried so far. */
  stats(): { links: LinkStats[] } {
    return { links: [...this.cores.values()].map((core) => core.stats()) }
  }

  /** The state of every context, link and channel, for diagnosis. */
  describe(): Record<string, unknown> {
    return { state: this.state, contexts: [...this.cores.values()].map((core) => core.describe()), channels: this.router.describe() }
  }

  /** Closes every context. When it resolves nothing of the tree is left here or on any machine that could be reached. */
  close(): Promise<void> {
    return (this.closing ??= this.end())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  private async end(): Promise<void> {
    this.state = 'closed'
    this.unwatch?.()
    this.unwatch = undefined
    await Promise.all([...this.cores.values()].map((core) => core.close()))
    this.router.close()
    await (await this.bundler_)?.close()
  }

  private coreFor(target: string, options: ConnectOptions): ContextCore {
    if (this.state === 'closed') throw new RametError('closed', 'this controller was closed', { outcome: 'not-sent', hint: 'Make a new one.' })
    const address = parseTarget(target)
    const { via, ...rest } = options
    const parent = via === undefined ? undefined : this.parentOf(via, target)
    // Two handles on one hop are the same way.
    const key = rest.fresh === true ? undefined : poolKey(parent === undefined ? target : `${parent.id} ${target}`, rest)
    const pooled = key === undefined ? undefined : this.pool.get(key)
    // One that is going down is no use to anybody new.
    if (pooled !== undefined && pooled.state !== 'lost' && pooled.state !== 'closed') return pooled
    const name = displayName(address)
    const path = [...(parent?.path ?? []), name]
    const reached = (signal: AbortSignal, prompting: (now: boolean) => void, unfinished: (work: Promise<unknown>) => void): ReachContext =>
      ({ name, path, clock: this.clock, signal, prompting, unfinished, book: this.home.book })
    const withPrompt = { ...rest, prompt: options.prompt ?? this.options.prompt }
    const core = new ContextCore(this.home, {
      id: this.nextId++,
      name: target,
      path,
      runtime: options.runtime ?? 'auto',
      node: options.node,
      keepalive: options.keepalive,
      timeout: options.timeout ?? CONNECT_TIMEOUT,
      reach: (...waiting) => this.reach(address, withPrompt, reached(...waiting)),
      parent,
      hopWay: parent === undefined ? undefined : (...waiting) => hopWay(address, withPrompt, reached(...waiting)),
    })
    this.cores.set(core.id, core)
    if (key !== undefined) this.pool.set(key, core)
    return core
  }

  private ended(id: number): void {
    this.cores.delete(id)
    for (const [key, pooled] of this.pool) if (pooled.id === id) this.pool.delete(key)
  }

  private parentOf(via: object, target: string): ContextCore {
    const core = coreOf(via)
    if (core !== undefined && this.cores.get(core.id) === core) return core
    const hint = 'Take a context that this controller has connected and not closed.'
    throw new RametError('usage', `${target}: via is no open context of this controller`, { outcome: 'not-sent', hint })
  }

  private coreOf(link: Link): ContextCore | undefined {
    for (const core of this.cores.values()) if (core.owns(link)) return core
    return undefined
  }

  private bundler(): Promise<Bundler> {
    this.bundler_ ??= import('./bundler.ts').then(({ Bundler }) => new Bundler({ limit: this.options.limits?.code }))
    return this.bundler_
  }
}
