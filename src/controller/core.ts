import { deferred } from '../base/deferred.ts'
import type { CommandLane } from '../connect/command.ts'
import type { Connection } from '../connect/transport.ts'
import { type CallOutcome, PendingCall } from '../router/call.ts'
import { decode } from '../router/codec.ts'
import { isRametError, RametError, type Stage } from '../router/errors.ts'
import { MAX_CODE } from '../router/protocol.ts'
import type { ContextInfo, Keepalive, LinkStats } from './api.ts'
import type { CodeGraph } from './code-graph.ts'
import { CommandLanes } from './command-lanes.ts'
import { asContextSees, asWorkSees, atStage, interpreterNeeded, isNoNode } from './connect-errors.ts'
import { connectTimeout, ConnectTimer } from './connect-timer.ts'
import { Below, type CoreHome, type CoreOptions, type ParentCore, type ProcessCalls, type WorkOptions } from './core-options.ts'
import { FarStem } from './far-stem.ts'
import { helloTo, keepaliveOf, openLog, readHello } from './greeting.ts'
import type { Heeded } from './heeded.ts'
import { hinted } from './hints.ts'
import type { Hop } from './hop-way.ts'
import { ContextLog } from './logs.ts'
import { GOODBYE, NearStem } from './near-stem.ts'
import { pingByCommand } from './pings.ts'
import { remoteError } from './remote-errors.ts'
import { Shipment } from './shipment.ts'
import { NOTHING, type StemOwner } from './stem.ts'
import { ownModule } from './stub-image.ts'

/** A context, seen from its controller: one connection, one link, whatever number of handles. */
export class ContextCore implements StemOwner, ParentCore {
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
  /** When work was last begun on it, as its clock counts. */
  used: number
  processes: ProcessCalls | undefined
  /** It was lost, or could not be reached (`connecting`). */
  onLost: ((cause: RametError, connecting: boolean) => void) | undefined
  /** Its last handle is gone; it may have been lost before. */
  onClosed: (() => void) | undefined
  /** Contexts that it opened. They end before it does. */
  readonly children = new Below()
  private readonly home: CoreHome
  private readonly options: CoreOptions
  private readonly became = deferred<void>()
  private closing: Promise<void> | undefined
  private finishing: Promise<void> | undefined
  private readonly abort = new AbortController()
  private readonly remoteError = (wire: unknown): Error => remoteError(wire, this.path, this.home.modules)
  /** What was begun on the way here and must not be cut short: a host key that is being saved. */
  private readonly unfinished: Promise<unknown>[] = []
  private readonly log: ContextLog
  /** Where this process is its neighbour. */
  near: NearStem | undefined
  private far: FarStem | undefined
  /** Made by this process; undefined below a hop, and before there is one. */
  connection: Connection | undefined
  private readonly lanes: CommandLanes
  private readonly shipment: Shipment
  private readonly timer: ConnectTimer
  /** Resolves when the connection is there, though it may still be logging in; or with nothing when there will be none. */
  private reaching: Promise<void>
  private lostBy: RametError | undefined
  private roundTrips = 0
  private heeded: Heeded | undefined

  constructor(home: CoreHome, options: CoreOptions) {
    this.home = home
    this.options = options
    this.id = options.id
    this.name = options.name
    this.path = options.path
    this.used = home.clock.now()
    this.ready = this.became.promise
    // Whoever waits for it hears of a failure; a call made on a connecting context hears of it by itself.
    this.ready.catch(() => {})
    this.runtime = options.runtime === 'raw' ? 'raw' : 'node'
    this.shipment = new Shipment(home.modules, this.id)
    this.log = new ContextLog(home.book, options.path, home.clock, home.modules.sources)
    const { id, path, remoteError } = this
    this.lanes = new CommandLanes(home, { id, path, remoteError, ship: (together) => this.shipment.ship(this.stem?.code, ownModule('exec'), false, together) })
    if (this.runtime === 'node') this.openStem()
    options.parent?.children.add(this)
    this.timer = new ConnectTimer(home.clock, options.timeout, () => this.fail(connectTimeout(this.stage(), this.path, this.timer.total, this.connection?.waits)))
    // Its own time begins when its hop is there, which has a timer for itself.
    if (options.parent !== undefined) this.timer.pauseUntil(options.parent.ready)
    this.reaching = this.reach()
  }

  private get stem(): NearStem | FarStem | undefined {
    return this.near ?? this.far
  }

  /** What contexts below it need of it. Throws RametError when it cannot be a hop. */
  hop(): Hop {
    this.check()
    const { id, path, stem } = this
    if (this.runtime === 'raw' || stem === undefined) throw interpreterNeeded(path)
    return { id, path, code: stem.code, ship: (graph) => this.shipment.ship(stem.code, graph, false), remoteError: this.remoteError }
  }

  /** Commands on this context; while nobody knows yet which way they take, they wait. Throws RametError when it is over. */
  lane(together = false): CommandLane {
    this.check()
    this.used = this.home.clock.now()
    const undecided = this.state === 'connecting' && (this.runtime === 'raw' || this.options.runtime === 'auto')
    return this.lanes.lane(undecided, together)
  }

  /** Sends a call of a module's function. Throws RametError for what is wrong at this end. */
  call(graph: CodeGraph, name: string, args: readonly unknown[], options: WorkOptions, outcome: CallOutcome): void {
    this.check()
    if (this.runtime === 'raw') throw interpreterNeeded(this.path)
    this.used = this.home.clock.now()
    if (options.isolate === 'process' && this.processes !== undefined) return this.processes.call(graph, name, args, options, outcome)
    const user = options.isolate !== 'none'
    if (!user && (this.connection?.dial === undefined ? this.children.all : this.children.size) > 0) throw this.error('not-allowed', 'leads to other contexts, which code on its main thread could hold up', "Leave isolate: 'none' to contexts that no other is reached through.")
    const together = options.together === true ? this.home.together : undefined
    const entry = this.shipment.ship(this.stem?.code, graph, user, together)
    const { timeout, signal } = options
    const seen = (error: Error): Error => this.options.runtime === 'auto' && isNoNode(error) ? interpreterNeeded(this.path, error) : isRametError(error) ? hinted(error) : error
    this.roundTrips++
    void new PendingCall(together ?? this.home.together.alone(), { dst: this.id, entry, name, args, user, timeout, signal, remoteError: this.remoteError, path: this.path, seen }, outcome)
  }

  /** Milliseconds of one round trip. */
  async ping(): Promise<number> {
    await this.ready
    this.check()
    return this.stem?.ping() ?? pingByCommand(this.lane(), { name: this.name, path: this.path, clock: this.home.clock })
  }

  responsive(responsive: boolean): void {
    if (this.state !== (responsive ? 'unresponsive' : 'connected')) return
    this.state = responsive ? 'connected' : 'unresponsive'
    // Nothing that is behind it can be heard of either.
    for (const child of this.children) child.responsive(responsive)
    this.log.event(responsive ? 'info' : 'warn', responsive ? 'answers again' : 'does not answer')
  }

  lost(cause: RametError): void {
    if (this.state === 'closed' || this.state === 'lost') return
    if (this.state === 'connecting' && this.options.runtime === 'auto' && isNoNode(cause) && this.withoutNode()) return
    this.fail(this.state === 'connecting' && cause.stage === undefined ? atStage(cause, this.stage()) : cause)
  }

  stats(): LinkStats {
    const { path, roundTrips, state, connection } = this
    const carried = this.stem?.stats() ?? { ...NOTHING, ...connection?.stats(), transport: connection?.transport ?? '' }
    return { path: [...path], from: path.at(-2) ?? 'controller', to: path.at(-1) ?? '', state, roundTrips, ...carried }
  }

  describe(): Record<string, unknown> {
    return { name: this.name, id: this.id, path: this.path.join(' > '), state: this.state, runtime: this.runtime, ...this.stem?.describe() }
  }

  /** Says goodbye, waits for the stub's end (at most GOODBYE) and closes the connection. Twice is harmless. */
  close(): Promise<void> {
    this.onClosed?.()
    return (this.closing ??= this.state === 'lost' ? this.finish() : this.goodbye())
  }

  private async goodbye(): Promise<void> {
    const connecting = this.state === 'connecting'
    const closed = this.error('closed', 'was closed', 'Connect again, and close it when its work is done.')
    const forWork = asWorkSees(closed, connecting, this.stem?.launched === true, this.stage())
    this.state = 'closed'
    this.lanes.fail(closed)
    this.became.reject(closed)
    this.near?.refuse(closed)
    if (this.children.all > 0) await this.children.close()
    this.home.router.endChannels(this.id, forWork, connecting ? undefined : this.log.channel)
    if (this.stem !== undefined && !connecting) {
      await this.stem.goodbye()
    } else {
      if (!connecting) await this.lanes.close(this.home.clock, GOODBYE)
      this.abort.abort(closed)
      this.stem?.drop(closed)
    }
    await this.finish()
  }

  /** Nobody waits for it any more. */
  async cancel(error: RametError): Promise<void> {
    this.fail(error, true)
    await this.finish()
  }

  private async reach(): Promise<void> {
    const { hopWay, reach } = this.options
    const prompting = (now: boolean): void => this.timer.prompting(now)
    const unfinished = (work: Promise<unknown>): void => void this.unfinished.push(work)
    try {
      if (this.far !== undefined || reach === undefined) {
        const way = await hopWay?.(this.abort.signal, prompting, unfinished, this.heed)
        return this.state === 'connecting' && way !== undefined ? this.far?.attach(way) : way?.close()
      }
      const connection = await reach(this.abort.signal, prompting, unfinished, this.heed)
      this.connection = connection
      if (this.state !== 'connecting') await connection.close()
      else if (this.near === undefined) this.becomeRaw(connection)
      else this.near.attach(connection)
    } catch (error) {
      const cause = isRametError(error) ? (asContextSees(error, this.path) as RametError) : this.error('connect-failed', `could not be reached: ${(error as Error).message}`, '', error)
      if (this.near !== undefined) this.near.fail(cause)
      else this.fail(cause)
    }
  }

  /** The configuration has been read. */
  private readonly heed = (heeded: Heeded): void => {
    if (this.heeded === undefined) this.timer.extend(heeded.reachTime)
    this.heeded = heeded
  }

  private readonly keepalive = (): Keepalive => keepaliveOf({ ...this.heeded?.keepalive, ...this.options.keepalive })

  private openStem(): void {
    const { router, limits } = this.home
    const { id, path, log, keepalive } = this
    // Sent before the configuration is read: how the context looks after us is the caller's to say alone.
    const { interval, count } = keepaliveOf(this.options.keepalive)
    const hello = helloTo(router, { id, path, codeLimit: limits.code ?? MAX_CODE, keepalive: [interval, count] })
    const options = { id, path, node: this.options.node, keepalive, hello, log }
    const { parent } = this.options
    if (parent === undefined) this.near = new NearStem(this.home, options, this)
    else this.far = new FarStem(this.home, parent.hop(), options, this)
    openLog(router, id, log)
  }

  /** There is no interpreter: commands are what is left. */
  private withoutNode(): boolean {
    const { connection, far } = this
    if (far === undefined && connection === undefined) return false
    this.runtime = 'raw'
    this.near = this.far = undefined
    if (connection !== undefined) this.becomeRaw(connection)
    else this.reaching = this.reach()
    return true
  }

  private becomeRaw(connection: Connection): void {
    this.runtime = 'raw'
    this.lanes.becomeRaw(connection, this.home.clock, this.keepalive())
    connection.ready.then(
      () => {
        if (this.state !== 'connecting') return
        connection.onClose((cause) => this.fail(this.error('link-lost', 'lost its connection', '', cause)))
        this.connected()
      },
      (error: RametError) => this.fail(error),
    )
  }

  greeted(hello: Uint8Array): void {
    const info = readHello(decode(hello))
    if (info === undefined) throw this.error('protocol-error', 'said HELLO in an unknown form', '')
    this.info = info
    if (this.state === 'connecting') this.connected()
  }

  private connected(): void {
    this.state = 'connected'
    this.timer.close()
    this.lanes.decide()
    this.became.resolve()
  }

  /** Where connecting stands. */
  stage(): Stage {
    return this.stem?.stage ?? this.connection?.stage ?? 'resolve'
  }

  private fail(cause: RametError, asked = false): void {
    if (this.state === 'closed' || this.state === 'lost') return
    const connecting = this.state === 'connecting'
    const forWork = asWorkSees(cause, connecting, this.stem?.launched === true, this.stage())
    this.state = 'lost'
    this.lostBy = cause
    this.timer.close()
    this.lanes.fail(cause)
    this.became.reject(cause)
    this.home.router.removeRoute(this.id, forWork)
    this.stem?.drop(cause)
    this.abort.abort(cause)
    if (!connecting && !asked) this.home.book.write('warn', { context: this.path.join(' > '), code: cause.code }, cause.message)
    void this.finish()
    this.onLost?.(cause, connecting)
  }

  /** Lets go of everything; resolves when nothing of it is left here. */
  private finish(): Promise<void> {
    return (this.finishing ??= this.letGo())
  }

  private async letGo(): Promise<void> {
    this.timer.close()
    await this.reaching
    await this.connection?.close()
    if (this.far !== undefined) await this.far.gone
    await Promise.all(this.unfinished)
    this.log.close()
    this.options.parent?.children.delete(this)
    this.home.ended(this.id)
  }

  private check(): void {
    if (this.state === 'lost') throw this.error(this.lostBy?.code ?? 'link-lost', `is lost: ${this.lostBy?.message}`, this.lostBy?.hint || 'Connect again.', this.lostBy)
    if (this.state === 'closed') throw this.error('closed', 'was closed', 'Connect again.')
  }

  private error(code: RametError['code'], text: string, hint: string, cause?: unknown): RametError {
    return new RametError(code, `${this.path.join(' > ')} ${text}`, { path: this.path, outcome: 'not-sent', hint, cause })
  }
}
