import { deferred } from '../base/deferred.ts'
import { BootPipe } from '../connect/boot.ts'
import type { CommandLane } from '../connect/command.ts'
import { LatePipe } from '../connect/late-pipe.ts'
import { RawLane } from '../connect/raw.ts'
import type { Connection } from '../connect/transport.ts'
import { type CallOutcome, PendingCall } from '../router/call.ts'
import { CodeLink, decodeNeed } from '../router/code-link.ts'
import { decode } from '../router/codec.ts'
import { RametError } from '../router/errors.ts'
import type { Frame } from '../router/frame.ts'
import type { Link } from '../router/link.ts'
import { MAX_CODE, TYPE } from '../router/protocol.ts'
import type { CallOptions, ContextInfo, LinkStats } from './api.ts'
import type { CodeGraph } from './code-graph.ts'
import type { CoreHome, CoreOptions } from './core-options.ts'
import { ExecLane } from './exec-lane.ts'
import { greet, keepaliveOf, readHello } from './greeting.ts'
import { linkStats } from './link-stats.ts'
import { ContextLog } from './logs.ts'
import { pingByCommand, Pings } from './pings.ts'
import { remoteError } from './remote-errors.ts'
import { ownModule, stubImage, version } from './stub-image.ts'

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
  private readonly pings = new Pings()
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

  /** Milliseconds of one round trip. */
  async ping(): Promise<number> {
    await this.ready
    this.check()
    const { link } = this
    if (link === undefined) return pingByCommand(this.lane(), this.home.clock)
    return this.pings.ping(link)
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
    return linkStats(this.path, this.connection, this.link, this.code, this.roundTrips)
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
    const link = router.addLink(this.pipe, 'child', { path: this.path, budget: limits.link }, this.id)
    this.link = link
    this.code = new CodeLink(link)
    link.onPong = (rtt) => this.pings.answered(rtt)
    const { interval, count } = keepaliveOf(this.options.keepalive)
    greet(router, link, { id: this.id, path: this.path, codeLimit: limits.code ?? MAX_CODE, keepalive: [interval, count] }, this.log)
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
    const info = readHello(content)
    if (info === undefined) throw this.error('protocol-error', 'said HELLO in an unknown form', '')
    this.info = info
    this.link?.watch(keepaliveOf(this.options.keepalive))
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
    this.pings.fail(this.lostBy ?? this.error('closed', 'was closed', ''))
    await this.connection?.close()
    this.log.close()
    this.gone.resolve()
    this.home.ended(this.id)
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
