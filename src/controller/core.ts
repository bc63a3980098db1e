import type { Clock } from '../base/clock.ts'
import { deferred } from '../base/deferred.ts'
import { BootPipe } from '../connect/boot.ts'
import type { CommandLane } from '../connect/command.ts'
import { LatePipe } from '../connect/late-pipe.ts'
import { RawLane } from '../connect/raw.ts'
import type { Connection } from '../connect/transport.ts'
import { type CallOutcome, PendingCall } from '../router/call.ts'
import { CodeLink, decodeNeed } from '../router/code-link.ts'
import { decode, encode } from '../router/codec.ts'
import { RametError } from '../router/errors.ts'
import type { Frame } from '../router/frame.ts'
import type { Link } from '../router/link.ts'
import { KEEPALIVE, MAX_CODE, OPEN_KIND, TYPE } from '../router/protocol.ts'
import type { Router } from '../router/router.ts'
import type { CallOptions, ContextInfo, Keepalive, LinkStats } from './api.ts'
import type { CodeGraph } from './code-graph.ts'
import { ExecLane } from './exec-lane.ts'
import type { Library } from './library.ts'
import { ContextLog, type LogBook } from './logs.ts'
import { remoteError } from './remote-errors.ts'
import { ownModule, stubImage, version } from './stub-image.ts'

/** What a context needs of its controller. */
export interface CoreHome {
  readonly router: Router
  readonly library: Library
  readonly clock: Clock
  readonly book: LogBook
  readonly limits: { link?: number | undefined; code?: number | undefined; message?: number | undefined }
  /** The context is gone for good. */
  ended(core: ContextCore): void
}

export interface CoreOptions {
  id: number
  name: string
  path: readonly string[]
  runtime: 'auto' | 'node' | 'raw'
  node?: string | string[] | undefined
  keepalive?: Partial<Keepalive> | undefined
  /** ms for all stages; time spent at prompts is not counted. */
  timeout: number
  signal?: AbortSignal | undefined
  /** Reaches the target. Its `waiting` reports a prompt's begin and end. */
  reach(signal: AbortSignal, prompting: (now: boolean) => void): Promise<Connection>
}

/** How long a stub may take for its goodbye, in ms: its commands get 2 s after their TERM. */
const GOODBYE = 5000

/** A context, seen from its controller: one connection, one link, whatever number of handles. */
export class ContextCore {
  state: 'connecting' | 'connected' | 'unresponsive' | 'lost' | 'closed' = 'connecting'
  runtime: 'node' | 'raw'
  info: ContextInfo | undefined
  readonly id: number
  readonly name: string
  readonly path: readonly string[]
  /** Resolves when calls can be answered; rejects with the RametError that ended the attempt. */
  readonly ready: Promise<void>
  /** Handles on it that are open. */
  handles = 0
  private readonly home: CoreHome
  private readonly options: CoreOptions
  private readonly became = deferred<void>()
  private readonly gone = deferred<void>()
  private readonly abort = new AbortController()
  private readonly log: ContextLog
  private readonly pipe = new LatePipe()
  private link: Link | undefined
  private code: CodeLink | undefined
  private connection: Connection | undefined
  private rawLane: RawLane | undefined
  private readonly execLane: ExecLane
  private readonly offered = { main: new Set<number>(), user: new Set<number>() }
  private readonly pings: ((rtt: number) => void)[] = []
  private cancelTimer: (() => void) | undefined
  private prompts = 0
  private lostBy: RametError | undefined
  private roundTrips = 0

  constructor(home: CoreHome, options: CoreOptions) {
    this.home = home
    this.options = options
    this.id = options.id
    this.name = options.name
    this.path = options.path
    this.ready = this.became.promise
    // Whoever waits for it hears of a failure; a call made on a connecting context hears of it by itself.
    this.ready.catch(() => {})
    this.runtime = options.runtime === 'raw' ? 'raw' : 'node'
    this.log = new ContextLog(home.book, options.path, () => home.clock.now())
    this.execLane = new ExecLane({
      path: options.path,
      open: (message, handler) => home.router.open(this.id, message, handler, false, false),
      execModule: () => this.ship(ownModule('exec'), false),
      remoteError: (wire) => this.remoteError(wire),
    })
    if (this.runtime === 'node') this.openLink()
    this.armTimer(options.timeout)
    options.signal?.addEventListener('abort', this.aborted)
    if (options.signal?.aborted === true) this.aborted()
    void this.reach()
  }

  owns(link: Link): boolean {
    return link === this.link
  }

  /** Commands on this context. Throws RametError while it is not connected and has no interpreter. */
  lane(): CommandLane {
    this.check()
    if (this.runtime === 'node') return this.execLane
    if (this.rawLane === undefined) throw this.error('no-route', 'is not connected yet', 'Await connect() first.')
    return this.rawLane
  }

  /** Whether commands have to wait until it is known which lane they take. */
  get undecided(): boolean {
    return this.state === 'connecting' && this.options.runtime !== 'node'
  }

  /** Sends a call of a module's function. Throws RametError for what is wrong at this end. */
  call(graph: CodeGraph, name: string, args: readonly unknown[], options: CallOptions, outcome: CallOutcome): void {
    this.check()
    if (this.runtime === 'raw') {
      throw this.error('interpreter-needed', 'has no interpreter: functions cannot run there, commands can', 'Install Node 12 or later on it, or use exec().')
    }
    const user = options.isolate !== 'none'
    const entry = this.ship(graph, user)
    this.roundTrips++
    void new PendingCall(
      this.home.router,
      { dst: this.id, entry, name, args, user, timeout: options.timeout, signal: options.signal, remoteError: (wire) => this.remoteError(wire), path: this.path },
      outcome,
    )
  }

  /** Milliseconds of one round trip on the link. */
  async ping(): Promise<number> {
    await this.ready
    this.check()
    if (this.link === undefined) {
      const start = this.home.clock.now()
      const command = this.lane().start({ command: ['true'] })
      command.endStdin()
      await command.ended
      return this.home.clock.now() - start
    }
    const link = this.link
    return new Promise((resolve, reject) => {
      this.pings.push(resolve)
      void this.gone.promise.then(() => reject(this.lostBy ?? this.error('closed', 'was closed', '')))
      link.ping()
    })
  }

  /** A frame from the stub that concerns the two of us. Throwing costs the link. */
  neighbour(frame: Frame): void {
    if (frame.type === TYPE.HELLO && this.state === 'connecting') {
      this.greeted(decode(frame.payload))
    } else if (frame.type === TYPE.NEED) {
      const message = this.code?.join(frame)
      if (message === undefined || this.code === undefined) return
      if (!this.home.library.resend(this.code, decodeNeed(message))) throw this.error('not-allowed', 'asked for a module that it was never offered', '')
    } else {
      throw this.error('protocol-error', `sent a frame of type ${frame.type}, which only a parent sends`, '')
    }
  }

  responsive(responsive: boolean): void {
    if (this.state !== 'connected' && this.state !== 'unresponsive') return
    this.state = responsive ? 'connected' : 'unresponsive'
    this.home.book.write(responsive ? 'info' : 'warn', { context: this.path.join(' > ') }, responsive ? 'answers again' : 'does not answer')
  }

  /** Its link is gone. */
  lost(cause: RametError): void {
    if (this.state === 'closed' || this.state === 'lost') {
      this.gone.resolve()
      return
    }
    const noNode = cause.code === 'no-interpreter' || cause.code === 'interpreter-too-old'
    if (this.state === 'connecting' && this.options.runtime === 'auto' && noNode && this.connection !== undefined) {
      this.link = undefined
      this.becomeRaw(this.connection)
      return
    }
    this.fail(cause)
  }

  stats(): LinkStats {
    const { link, code } = this
    const wire = this.connection?.stats()
    return {
      from: this.path.at(-2) ?? 'controller',
      to: this.name,
      transport: this.connection?.name ?? '',
      rtt: link?.rtt,
      bytesIn: wire?.bytesIn || (link?.bytesIn ?? 0),
      bytesOut: wire?.bytesOut || (link?.bytesOut ?? 0),
      framesIn: link?.framesIn ?? 0,
      framesOut: link?.framesOut ?? 0,
      roundTrips: this.roundTrips,
      modulesSent: code?.modulesSent ?? 0,
      modulesReused: code?.modulesReused ?? 0,
      codeBytes: code?.codeBytes ?? 0,
    }
  }

  describe(): Record<string, unknown> {
    const { name, id, state, runtime, link } = this
    return { name, id, state, runtime, queued: link?.queued, budget: link === undefined ? undefined : { down: link.down.used, up: link.up.used } }
  }

  /** Says goodbye, waits for the stub's end (at most GOODBYE) and closes the connection. Twice is harmless. */
  async close(): Promise<void> {
    if (this.state === 'closed' || this.state === 'lost') {
      await this.gone.promise
      return
    }
    const connecting = this.state === 'connecting'
    this.state = 'closed'
    const closed = this.error('closed', 'was closed', '')
    this.became.reject(closed)
    this.home.router.removeRoute(this.id, closed)
    if (this.link !== undefined && !connecting) {
      this.link.sendNeighbour(TYPE.GOAWAY, new Uint8Array(0))
      this.link.end()
      const cancel = this.home.clock.after(GOODBYE, () => this.link?.close())
      await this.gone.promise
      cancel()
    } else {
      this.abort.abort(closed)
      this.link?.close()
    }
    await this.finish()
  }

  private readonly aborted = (): void => {
    this.abort.abort(this.options.signal?.reason)
    this.fail(this.error('cancelled', 'was being connected when that was aborted', '', this.options.signal?.reason))
  }

  private async reach(): Promise<void> {
    try {
      const connection = await this.options.reach(this.abort.signal, (now) => (this.prompts += now ? 1 : -1))
      this.connection = connection
      if (this.state !== 'connecting') {
        await connection.close()
        return
      }
      if (this.runtime === 'raw') this.becomeRaw(connection)
      else this.boot(connection)
    } catch (error) {
      const cause = error instanceof RametError ? error : this.error('connect-failed', `could not be reached: ${(error as Error).message}`, '', error)
      if (this.runtime === 'raw') this.fail(cause)
      else this.pipe.fail(cause)
    }
  }

  private openLink(): void {
    const { router, limits } = this.home
    const { interval = KEEPALIVE.interval, count = KEEPALIVE.count } = this.options.keepalive ?? {}
    const link = router.addLink(this.pipe, 'child', { path: this.path, budget: limits.link }, this.id)
    this.link = link
    this.code = new CodeLink(link)
    link.onPong = (rtt) => this.pings.shift()?.(rtt)
    const hello = { id: this.id, path: this.path, maxMessage: router.maxMessage, codeLimit: limits.code ?? MAX_CODE, keepalive: [interval, count] }
    link.sendNeighbour(TYPE.HELLO, encode(hello))
    const channel = router.open(
      this.id,
      encode([OPEN_KIND.LOG]),
      {
        message: (bytes, credit) => {
          this.log.record(bytes)
          channel.consumed(credit)
        },
        end: () => {},
        reset: () => {},
      },
      true,
      false,
    )
  }

  private boot(connection: Connection): void {
    const { node } = this.options
    const stray = (bytes: Uint8Array): void => this.log.stray(bytes)
    // A login that is refused reaches the link through its pipe.
    connection.ready.catch((error: RametError) => this.pipe.state === 'open' && this.link?.close(error))
    this.pipe.attach(new BootPipe(connection, { version: version(), stub: stubImage(), node, path: this.path, stray }))
  }

  private becomeRaw(connection: Connection): void {
    this.runtime = 'raw'
    this.rawLane = new RawLane(connection, { clock: this.home.clock })
    connection.ready.then(
      () => {
        if (this.state !== 'connecting') return
        connection.onClose((cause) => this.fail(this.error('link-lost', 'lost its connection', '', cause)))
        this.connected()
      },
      (error: RametError) => this.fail(error),
    )
  }

  private greeted(content: unknown): void {
    const [pid, nodeVersion, platform, arch, hostname] = (Array.isArray(content) ? content : []) as unknown[]
    if (typeof pid !== 'number' || [nodeVersion, platform, arch, hostname].some((word) => typeof word !== 'string' || word.length > 256)) {
      throw this.error('protocol-error', 'said HELLO in an unknown form', '')
    }
    this.info = { pid, nodeVersion, platform, arch, hostname } as ContextInfo
    const { interval = KEEPALIVE.interval, count = KEEPALIVE.count } = this.options.keepalive ?? {}
    this.link?.watch({ interval, count })
    this.link?.ping()
    this.connected()
  }

  private connected(): void {
    this.state = 'connected'
    this.settled()
    this.became.resolve()
  }

  private settled(): void {
    this.cancelTimer?.()
    this.options.signal?.removeEventListener('abort', this.aborted)
  }

  private armTimer(ms: number): void {
    this.cancelTimer = this.home.clock.after(ms, () => {
      // A person who types a password is no timeout.
      if (this.prompts > 0) {
        this.armTimer(ms)
        return
      }
      this.abort.abort()
      const stage = this.connection === undefined || this.runtime === 'raw' ? 'tcp' : 'hello'
      const hint = 'The machine is slow or silent; raise the timeout (--connect-timeout), or look at what its login scripts do.'
      this.fail(new RametError('connect-timeout', `${this.path.join(' > ')} was not connected within ${ms} ms`, { stage, path: this.path, outcome: 'not-sent', hint }))
    })
  }

  private fail(cause: RametError): void {
    if (this.state === 'closed' || this.state === 'lost') return
    const connecting = this.state === 'connecting'
    this.state = 'lost'
    this.lostBy = cause
    this.settled()
    this.became.reject(cause)
    this.home.router.removeRoute(this.id, cause)
    this.pipe.fail(cause)
    this.link?.close(cause)
    if (!connecting) this.home.book.write('warn', { context: this.path.join(' > '), code: cause.code }, cause.message)
    void this.finish()
  }

  private async finish(): Promise<void> {
    this.settled()
    await this.connection?.close()
    this.log.close()
    this.gone.resolve()
    this.home.ended(this)
  }

  private ship(graph: CodeGraph, user: boolean): number {
    const { entry, offers } = this.home.library.number(graph)
    const offered = user ? this.offered.user : this.offered.main
    if (!offered.has(entry) && this.code !== undefined) {
      const fresh = offers.filter(({ number }) => !offered.has(number))
      for (const { number } of fresh) offered.add(number)
      this.home.library.ship(this.code, this.id, user, fresh)
    }
    return entry
  }

  private remoteError(wire: unknown): Error {
    return remoteError(wire, this.path, this.home.library)
  }

  private check(): void {
    if (this.state === 'lost') throw this.lostBy ?? this.error('link-lost', 'is lost', 'Connect again.')
    if (this.state === 'closed') throw this.error('closed', 'was closed', 'Connect again.')
  }

  private error(code: RametError['code'], text: string, hint: string, cause?: unknown): RametError {
    return new RametError(code, `${this.path.join(' > ')} ${text}`, { path: this.path, outcome: 'not-sent', hint, cause })
  }
}
