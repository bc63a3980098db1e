import { deferred } from '../base/deferred.ts'
import { withinTime } from '../base/within-time.ts'
import { BootPipe } from '../connect/boot.ts'
import type { CommandLane } from '../connect/command.ts'
import { LatePipe } from '../connect/late-pipe.ts'
import { RawLane } from '../connect/raw.ts'
import type { Connection } from '../connect/transport.ts'
import { type CallOutcome, PendingCall } from '../router/call.ts'
import { CodeLink, decodeNeed } from '../router/code-link.ts'
import { decode } from '../router/codec.ts'
import { RametError, type Stage } from '../router/errors.ts'
import type { Frame } from '../router/frame.ts'
import type { Link } from '../router/link.ts'
import { MAX_CODE, TYPE } from '../router/protocol.ts'
import type { CallOptions, ContextInfo, LinkStats } from './api.ts'
import type { CodeGraph } from './code-graph.ts'
import { asWorkSees, atStage, interpreterNeeded, isNoNode } from './connect-errors.ts'
import { connectTimeout, ConnectTimer } from './connect-timer.ts'
import type { CoreHome, CoreOptions } from './core-options.ts'
import { ExecLane } from './exec-lane.ts'
import { greet, keepaliveOf, readHello } from './greeting.ts'
import { linkStats } from './link-stats.ts'
import { LateLane } from './late-lane.ts'
import { ContextLog } from './logs.ts'
import { pingByCommand, Pings } from './pings.ts'
import { remoteError } from './remote-errors.ts'
import { Shipment } from './shipment.ts'
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
  private readonly unlinked = deferred<void>()
  private closing: Promise<void> | undefined
  private finishing: Promise<void> | undefined
  private readonly abort = new AbortController()
  private readonly remoteError = (wire: unknown): Error => remoteError(wire, this.path, this.home.library)
  /** What was begun on the way here and must not be cut short: a host key that is being saved. */
  private readonly unfinished: Promise<unknown>[] = []
  private readonly log: ContextLog
  private readonly pipe = new LatePipe()
  private link: Link | undefined
  private code: CodeLink | undefined
  private connection: Connection | undefined
  private rawLane: RawLane | undefined
  private readonly execLane: ExecLane
  private readonly shipment: Shipment
  private readonly pings = new Pings()
  private readonly timer: ConnectTimer
  /** Resolves when the connection is there, though it may still be logging in; or with nothing when there will be none. */
  private readonly reaching: Promise<void>
  private readonly lanes = deferred<CommandLane>()
  private stub: BootPipe | undefined
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
    this.shipment = new Shipment(home.library, this.id)
    this.log = new ContextLog(home.book, options.path, home.clock)
    this.execLane = new ExecLane({
      path: options.path,
      open: (message, handler) => home.router.open(this.id, message, handler, false, false),
      execModule: () => this.shipment.ship(this.code, ownModule('exec'), false),
      remoteError: this.remoteError,
    })
    if (this.runtime === 'node') this.openLink()
    this.lanes.promise.catch(() => {})
    this.timer = new ConnectTimer(home.clock, options.timeout, () => this.fail(connectTimeout(this.stage(), this.path, options.timeout)))
    this.reaching = this.reach()
  }

  owns(link: Link): boolean {
    return link === this.link
  }

  /** Commands on this context; while nobody knows yet which way they take, they wait. Throws RametError when it is over. */
  lane(): CommandLane {
    this.check()
    const undecided = this.state === 'connecting' && this.options.runtime === 'auto'
    if (this.runtime === 'node' && !undecided) return this.execLane
    return this.rawLane ?? new LateLane(this.lanes.promise, this.path)
  }

  /** Sends a call of a module's function. Throws RametError for what is wrong at this end. */
  call(graph: CodeGraph, name: string, args: readonly unknown[], options: CallOptions, outcome: CallOutcome): void {
    this.check()
    if (this.runtime === 'raw') throw interpreterNeeded(this.path)
    const user = options.isolate !== 'none'
    const entry = this.shipment.ship(this.code, graph, user)
    this.roundTrips++
    void new PendingCall(
      this.home.router,
      { dst: this.id, entry, name, args, user, timeout: options.timeout, signal: options.signal, remoteError: (wire) => this.remoteError(wire), path: this.path },
      { ...outcome, failed: (error) => outcome.failed(this.options.runtime === 'auto' && isNoNode(error) ? interpreterNeeded(this.path, error) : error) },
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
      this.unlinked.resolve()
      return
    }
    if (this.state === 'connecting' && this.options.runtime === 'auto' && isNoNode(cause) && this.connection !== undefined) {
      this.link = undefined
      this.becomeRaw(this.connection)
      return
    }
    this.fail(this.state === 'connecting' && cause.stage === undefined ? atStage(cause, this.stage()) : cause)
  }

  stats(): LinkStats {
    return linkStats(this.path, this.connection, this.link, this.code, this.roundTrips)
  }

  describe(): Record<string, unknown> {
    const { name, id, state, runtime, link } = this
    return { name, id, state, runtime, queued: link?.queued, budget: link === undefined ? undefined : { down: link.down.used, up: link.up.used } }
  }

  /** Says goodbye, waits for the stub's end (at most GOODBYE) and closes the connection. Twice is harmless. */
  close(): Promise<void> {
    return (this.closing ??= this.state === 'lost' ? this.finish() : this.goodbye())
  }

  private async goodbye(): Promise<void> {
    const connecting = this.state === 'connecting'
    const closed = this.error('closed', 'was closed', 'Connect again, and close it when its work is done.')
    const forWork = asWorkSees(closed, this.state === 'connecting', this.stub !== undefined, this.stage())
    this.state = 'closed'
    this.lanes.reject(closed)
    this.became.reject(closed)
    this.pings.fail(closed)
    this.home.router.removeRoute(this.id, forWork)
    if (this.link !== undefined && !connecting) {
      // Its side of the link ends with its process, when everything below it has ended.
      this.link.sendNeighbour(TYPE.GOAWAY, new Uint8Array(0))
      const cancel = this.home.clock.after(GOODBYE, () => this.link?.close())
      await this.unlinked.promise
      cancel()
    } else {
      if (this.rawLane !== undefined && !connecting) await withinTime(this.rawLane.close(), this.home.clock, GOODBYE)
      this.abort.abort(closed)
      this.link?.close()
    }
    await this.finish()
  }

  /** Nobody waits for it any more. */
  async cancel(error: RametError): Promise<void> {
    this.fail(error)
    await this.finish()
  }

  private async reach(): Promise<void> {
    try {
      const connection = await this.options.reach(this.abort.signal, (now) => this.timer.prompting(now), (work) => this.unfinished.push(work))
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
    this.stub = new BootPipe(connection, { version: version(), stub: stubImage(), node, path: this.path, stray })
    this.pipe.attach(this.stub)
  }

  private becomeRaw(connection: Connection): void {
    this.runtime = 'raw'
    this.rawLane = new RawLane(connection, { clock: this.home.clock })
    this.lanes.resolve(this.rawLane)
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
    this.timer.close()
    this.lanes.resolve(this.lane())
    this.became.resolve()
  }

  /** Where connecting stands. */
  stage(): Stage {
    if (this.connection === undefined) return 'resolve'
    if (this.connection.stage !== 'launch' || this.stub === undefined) return this.connection.stage
    return this.stub.state === 'booting' ? 'launch' : 'hello'
  }

  private fail(cause: RametError): void {
    if (this.state === 'closed' || this.state === 'lost') return
    const connecting = this.state === 'connecting'
    const forWork = asWorkSees(cause, connecting, this.stub !== undefined, this.stage())
    this.state = 'lost'
    this.lostBy = cause
    this.timer.close()
    this.lanes.reject(cause)
    this.became.reject(cause)
    this.pings.fail(cause)
    this.home.router.removeRoute(this.id, forWork)
    this.pipe.fail(cause)
    this.link?.close(cause)
    this.abort.abort(cause)
    if (!connecting) this.home.book.write('warn', { context: this.path.join(' > '), code: cause.code }, cause.message)
    void this.finish()
  }

  /** Lets go of everything; resolves when nothing of it is left here. */
  private finish(): Promise<void> {
    return (this.finishing ??= this.letGo())
  }

  private async letGo(): Promise<void> {
    this.timer.close()
    await this.reaching
    await this.connection?.close()
    await Promise.all(this.unfinished)
    this.log.close()
    this.home.ended(this.id)
  }

  private check(): void {
    if (this.state === 'lost') throw this.error(this.lostBy?.code ?? 'link-lost', 'is lost', 'Connect again.', this.lostBy)
    if (this.state === 'closed') throw this.error('closed', 'was closed', 'Connect again.')
  }

  private error(code: RametError['code'], text: string, hint: string, cause?: unknown): RametError {
    return new RametError(code, `${this.path.join(' > ')} ${text}`, { path: this.path, outcome: 'not-sent', hint, cause })
  }
}
