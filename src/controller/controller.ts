import { inspect, type InspectOptions } from 'node:util'
import { type Clock, systemClock } from '../base/clock.ts'
import { Pace } from '../connect/pace.ts'
import { RametError } from '../router/errors.ts'
import type { Frame } from '../router/frame.ts'
import type { Link } from '../router/link.ts'
import { ROOT } from '../router/protocol.ts'
import type { CallOptions, Connecting, ConnectOptions, ControllerOptions, LinkStats } from './api.ts'
import type { Bundler } from './bundler.ts'
import { Actions, Handle, type HandleHome, standsFor } from './context.ts'
import { checkConnect } from './connect-checks.ts'
import { Contexts } from './contexts.ts'
import type { CoreHome } from './core-options.ts'
import type { ContextCore } from './core.ts'
import { MAX_INTERPRETERS } from './interpreters.ts'
import { throughContext } from './jump-context.ts'
import { JumpHosts } from './jump-hosts.ts'
import { Library } from './library.ts'
import { LogBook } from './logs.ts'
import { reach } from './reach.ts'
import { Refusals } from './refusals.ts'
import { refusedConnecting } from './refused.ts'
import { RootRouter } from './root-router.ts'
import { watchSignal } from './state-dump.ts'
import { Together } from './together.ts'

/** The root of a tree of contexts: opens them, ships code to them, calls. */
export class Controller implements AsyncDisposable {
  state: 'open' | 'closed' = 'open'
  private readonly options: ControllerOptions
  private readonly router: RootRouter
  private readonly home: CoreHome & HandleHome
  private readonly contexts: Contexts
  private readonly refusals: Refusals
  private readonly jumps: JumpHosts
  private bundler_: Promise<Bundler> | undefined
  private unwatch: (() => void) | undefined
  private closing: Promise<void> | undefined

  /** `clock` and `reachTarget` (what opens the connection to an address) are for tests. */
  constructor(options: ControllerOptions = {}, clock: Clock = systemClock, reachTarget = reach) {
    this.options = options
    const book = new LogBook(options.logger)
    this.router = new RootRouter(
      {
        neighbour: (frame: Frame, link: Link) => this.contexts.at(link)?.near?.neighbour(frame),
        lost: (link: Link, cause: RametError) => this.contexts.at(link)?.near?.lost(cause),
        responsive: (link: Link, responsive: boolean) => this.contexts.at(link)?.responsive(responsive),
        refused: (...refused) => this.refusals.refused(...refused),
        broke: (id: number, cause: RametError) => this.contexts.cores.get(id)?.lost(cause),
      },
      { id: ROOT, clock, maxMessage: options.limits?.message },
    )
    const modules = new Library()
    this.home = {
      router: this.router,
      modules,
      together: new Together(this.router, modules),
      clock,
      book,
      limits: options.limits ?? {},
      ended: (id) => {
        this.router.removeRoute(id, new RametError('closed', 'was closed'))
        this.contexts.ended(id)
      },
      bundler: () => this.bundler(),
      connect: (target, connectOptions) => this.connect(target, connectOptions),
    }
    const { prompt, limits } = options
    const pace = new Pace()
    this.jumps = new JumpHosts({ clock, book, pace }, (context, name) => throughContext(this.contexts.known(context, name, 'jump'), this.router))
    const interpreters = limits?.interpreters ?? MAX_INTERPRETERS
    this.contexts = new Contexts({ home: this.home, clock, reach: reachTarget, shared: { book, jumps: this.jumps, pace }, prompt, interpreters })
    this.refusals = new Refusals(this.contexts, this.router, book)
    this.unwatch = watchSignal(() => this.describe())
  }

  /**
   * Opens a context, or another handle on an equal one that is open. What comes back is a promise of it on which work can
   * be started at once: such work leaves together with the bytes that open the connection. Every failure comes through it.
   */
  connect(target: string, options: ConnectOptions = {}): Connecting {
    let core: ContextCore
    try {
      if (this.state === 'closed') throw new RametError('closed', 'this controller was closed', { outcome: 'not-sent', hint: 'Make a new one.' })
      checkConnect(target, options)
      core = this.contexts.open(target, options)
    } catch (error) {
      return refusedConnecting(error as Error)
    }
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
    return { links: [...this.contexts.cores.values()].map((core) => core.stats()) }
  }

  /** The state of every context, link and channel, for diagnosis. */
  describe(): Record<string, unknown> {
    return { state: this.state, contexts: [...this.contexts.cores.values()].map((core) => core.describe()), jumpHosts: this.jumps.describe(), channels: this.router.describe() }
  }

  /** Closes every context. When it resolves nothing of the tree is left here or on any machine that could be reached. */
  close(): Promise<void> {
    return (this.closing ??= this.end())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** What logs, JSON and the console show of it: a password may be among all that it holds. */
  toJSON(): { state: string; contexts: string[] } {
    return { state: this.state, contexts: [...this.contexts.cores.values()].map(({ path }) => path.join(' > ')) }
  }

  [inspect.custom](_depth: number, options: InspectOptions): string {
    return `Controller ${inspect(this.toJSON(), options)}`
  }

  private async end(): Promise<void> {
    this.state = 'closed'
    this.unwatch?.()
    this.unwatch = undefined
    await this.contexts.close()
    this.router.close()
    await (await this.bundler_)?.close()
  }

  private bundler(): Promise<Bundler> {
    this.bundler_ ??= import('./bundler.ts').then(({ Bundler }) => new Bundler({ limit: this.options.limits?.code }))
    return this.bundler_
  }
}
