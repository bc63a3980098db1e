import { abortController } from '../base/abort.ts'
import { type Clock, systemClock } from '../base/clock.ts'
import { deferred } from '../base/deferred.ts'
import { withinTime } from '../base/within-time.ts'
import { RametError, isRametError, type Stage } from '../router/errors.ts'
import type { Pipe } from '../router/pipe.ts'
import { ConnectTimer } from './connect-timer.ts'
import { failedProcess } from './failed-process.ts'
import { NO_RULES } from './login-rules.ts'
import { commandChannel } from './ssh2-channel-kind.ts'
import { type ChannelOwner, SshChannel } from './ssh2-channel.ts'
import { cancelled, closedHere, silent, timedOut, unreached } from './ssh2-errors.ts'
import { forwardChannel } from './ssh2-forward.ts'
import { HostKeyGate } from './ssh2-host-key.ts'
import type { Ssh2Options } from './ssh2-options.ts'
import { type SshAlgorithms, cryptoReady, offeredAlgorithms } from './ssh2-protocol.ts'
import { losesChannels, SshSession } from './ssh2-session.ts'
import { dialLater, MAX_DIALS } from './ssh2-retry.ts'
import { watchServer } from './ssh2-watch.ts'
import { dialTcp } from './tcp.ts'
import type { Connection, RemoteProcess } from './transport.ts'

export type { Ssh2Options } from './ssh2-options.ts'

/** ms for the server to say how a process ended that has closed its output. */
const ENDING = 500
/** ms for what serves a login to say its first word. Others wait for their turn meanwhile. */
const FIRST_WORD = 1000

/** Connects by ssh2. Errors come through `ready` and through the pipes of processes that were opened. */
export function connectSsh2(options: Ssh2Options): Connection {
  return new Ssh2Connection(options)
}

class Ssh2Connection implements Connection, ChannelOwner {
  state: 'connecting' | 'open' | 'closed' = 'connecting'
  readonly name: string
  readonly transport = 'ssh2'
  stage: Stage = 'resolve'
  readonly ready: Promise<void>
  private readonly options: Ssh2Options
  private readonly clock: Clock
  private readonly became = deferred<void>()
  private readonly served = deferred<void>()
  private readonly abort = abortController()
  private readonly algorithms: Required<SshAlgorithms>
  private session: SshSession | undefined
  private pipe: (Pipe & { bytesIn?: number; bytesOut?: number }) | undefined
  private readonly before = { in: 0, out: 0 }
  private flight: 'auto' | 'slow'
  private dials = 0
  /** Everything opened that is not over, in order. */
  private readonly processes = new Set<SshChannel>()
  private cancelRetry: (() => void) | undefined
  private stopWatch: (() => void) | undefined
  private readonly timer: ConnectTimer
  /** Of the try that is under way. */
  private reaching: ConnectTimer | undefined
  private readonly listeners: ((cause?: Error) => void)[] = []
  private failed: RametError | undefined
  private readonly gone_ = deferred<void>()
  private closing: Promise<void> | undefined
  private readonly onAbort = (): void => this.fail(cancelled(this.name, this.stage, this.options.signal?.reason))

  constructor(options: Ssh2Options) {
    this.options = options
    this.name = options.name ?? `${options.user}@${options.host}:${options.port}`
    this.clock = options.clock ?? systemClock
    this.flight = options.flight ?? 'auto'
    this.algorithms = offeredAlgorithms({
      ...options.algorithms, ...(options.hostKeyAlgorithms ? { serverHostKey: options.hostKeyAlgorithms } : {}),
    })
    this.ready = this.became.promise
    this.ready.catch(() => {})
    const { turn } = options
    if (turn !== undefined) void this.ready.then(() => withinTime(this.served.promise, this.clock, FIRST_WORD)).then(turn.done, turn.done)
    this.timer = new ConnectTimer(this.clock, options.timeout ?? 30_000, () => this.fail(timedOut(this.name, this.stage, this.options.timeout ?? 30_000)))
    options.signal?.addEventListener('abort', this.onAbort, { once: true })
    // The caller opens the first process in this same tick; what fails at once is still told later.
    process.nextTick(() => this.begin())
  }

  get waits(): string | undefined {
    return this.options.waits?.()
  }

  open(command: string): RemoteProcess {
    if (this.state === 'closed') return failedProcess(this.failed ?? closedHere(this.name))
    return this.launch(new SshChannel(commandChannel(command, this), this))
  }

  get losesChannels(): boolean {
    return this.session !== undefined && losesChannels(this.session.transport.ident)
  }

  dial(host: string, port: number, signal?: AbortSignal): Promise<Pipe> {
    if (this.state === 'closed') return Promise.reject(this.failed ?? closedHere(this.name))
    const { kind, pipe } = forwardChannel(this.name, host, port, signal)
    return pipe(this.launch(new SshChannel(kind, this)))
  }

  watch(keepalive: { interval: number; count: number }): void {
    if (this.state === 'closed') return
    this.stopWatch = watchServer(this.clock, keepalive, {
      bytesIn: () => this.stats().bytesIn,
      ask: () => this.protocol()?.ping(),
      silent: () => this.fail(silent(this.name)),
    })
  }

  private launch(channel: SshChannel): SshChannel {
    this.processes.add(channel)
    if (this.state === 'open') this.session?.launch(channel)
    return channel
  }

  close(): Promise<void> {
    return (this.closing ??= this.leave())
  }

  /** A process that has closed its output may not be gone yet; whoever waits for us must not find it there. */
  private async leave(): Promise<void> {
    const ending = [...this.processes].filter((channel) => channel.ending)
    if (this.state === 'open' && ending.length > 0) await withinTime(Promise.all(ending.map(({ reported }) => reported.promise)), this.clock, ENDING)
    this.end(closedHere(this.name), undefined)
    await this.gone_.promise
  }

  onClose(listener: (cause?: Error) => void): void {
    if (this.state === 'closed') process.nextTick(() => listener(this.failed))
    else this.listeners.push(listener)
  }

  stats(): { bytesIn: number; bytesOut: number } {
    return { bytesIn: this.before.in + (this.pipe?.bytesIn ?? 0), bytesOut: this.before.out + (this.pipe?.bytesOut ?? 0) }
  }

  // -- for the channels --

  protocol(): ReturnType<SshSession['protocol']> {
    return this.session?.protocol()
  }

  wirePending(): number {
    return this.session?.wirePending() ?? 0
  }

  gone(channel: SshChannel): void {
    this.processes.delete(channel)
    this.session?.gone(channel)
  }

  fail(error: RametError): void {
    this.end(error, error)
  }

  error(code: 'launch-failed' | 'protocol-error', text: string, hint: string): RametError {
    return new RametError(code, `${this.name}: ${text}`, { stage: 'launch', path: [this.name], hint })
  }

  // -- connecting --

  private begin(): void {
    if (this.state === 'closed') return
    if (this.options.signal?.aborted) return this.fail(cancelled(this.name, this.stage, this.options.signal?.reason))
    const empty = (['kex', 'serverHostKey', 'cipher', 'hmac'] as const).find((list) => this.algorithms[list].length === 0)
    if (empty !== undefined) {
      return this.fail(new RametError('algorithm-mismatch', `${this.name}: ssh2 knows none of the ${empty} algorithms asked for`, {
        stage: 'host-key', path: [this.name], outcome: 'not-sent', hint: 'Use transport openssh for this target.' }))
    }
    void this.attempt()
  }

  private async attempt(): Promise<void> {
    this.dials++
    if (this.options.dial !== undefined) this.reach('tcp')
    const { host, port, turn, user, keys = [], password, prompt, verifyHostKey, hostAuthority, rules = NO_RULES } = this.options
    let pipe: Pipe
    try {
      await turn?.begin(this.abort.signal)
      this.limitReaching()
      const onStage = (stage: Stage): void => this.reach(stage)
      const first = this.dials === 1 ? this.options.first?.(onStage) : undefined
      const dialing = first ?? this.options.dial?.(this.abort.signal) ?? dialTcp({ host, port, name: this.name, onStage }, this.abort.signal)
      pipe = (await Promise.all([dialing, cryptoReady]))[0]
    } catch (error) {
      if (this.state === 'closed') return
      return this.fail(isRametError(error) ? error : new RametError('connect-failed', `${this.name}: cannot connect`, {
        stage: 'tcp', path: [this.name], outcome: 'not-sent', cause: error, hint: 'See the cause.' }))
    }
    // Aborted in the moment of success: nobody else would close it.
    if (this.isClosed()) return pipe.close()
    this.reach('host-key')
    this.pipe = pipe
    this.session = new SshSession({
      pipe, algorithms: this.algorithms, flight: this.flight,
      gate: new HostKeyGate(host, port, this.name, { verify: verifyHostKey, authority: hostAuthority }),
      auth: { name: this.name, user, keys, password, prompt, rules, problems: this.options.keyProblems },
      first: () => [...this.processes][0],
    }, {
      stage: (stage) => this.reach(stage),
      asking: () => this.asking(),
      authenticated: () => this.authenticated(),
      served: () => this.served.resolve(),
      lost: (error, ahead) => this.lost(error, ahead),
    })
    this.session.start()
  }

  private reach(stage: Stage): void {
    this.stage = stage
    if (stage === 'auth') this.reaching?.close()
    this.options.onStage?.(stage)
  }

  private isClosed(): boolean {
    return this.state === 'closed'
  }

  private authenticated(): void {
    if (this.state !== 'connecting') return
    this.state = 'open'
    this.reach('launch')
    this.stopWaiting()
    for (const channel of [...this.processes]) if (!this.session?.has(channel)) this.session?.launch(channel)
    this.became.resolve()
  }

  private lost(error: RametError, ahead: boolean): void {
    if (this.state !== 'connecting') return this.fail(error)
    // dropbear ends the connection when what followed a refused key arrives; nothing ran, so it is tried without hurry.
    const again = ahead && this.flight === 'auto' && this.session?.transport.ident.startsWith('dropbear')
    // A server that says it is shutting us out means it; one that just closed had too many logins under way.
    const busy = this.session?.transport.ident === '' && error.code === 'connect-failed'
      && !/not allowed|no SSH server/i.test(error.message) && !isRametError(error.cause) && this.dials < MAX_DIALS
    if (!again && !busy) return this.fail(error)
    this.reaching?.close()
    this.before.in += this.pipe?.bytesIn ?? 0
    this.before.out += this.pipe?.bytesOut ?? 0
    this.pipe = undefined
    this.session = undefined
    for (const channel of this.processes) channel.takeBack()
    if (again) {
      this.flight = 'slow'
      void this.attempt()
      return
    }
    this.cancelRetry = dialLater(this.clock, this.dials, (this.options.random ?? Math.random)(), () => void this.attempt())
  }

  private end(reason: RametError, cause: RametError | undefined): void {
    if (this.state === 'closed') return
    const wasOpen = this.state === 'open'
    this.state = 'closed'
    this.failed = cause
    this.stopWaiting()
    this.stopWatch?.()
    this.cancelRetry?.()
    this.abort.abort(reason)
    const session = this.session
    session?.close()
    for (const channel of [...this.processes]) channel.finish(reason)
    this.became.reject(reason)
    this.served.resolve()
    if (wasOpen) for (const listener of this.listeners) listener(cause)
    // Two turns of the event loop: a socket that was still being made is closed by then.
    const settle = (): void => void setImmediate(() => setImmediate(() => this.gone_.resolve()))
    if (session === undefined) settle()
    else void session.transport.gone.promise.then(settle)
  }

  // -- time --

  private limitReaching(): void {
    const { reachTime = 0, behind } = this.options
    this.reaching = new ConnectTimer(this.clock, this.isClosed() ? 0 : reachTime, () => this.fail(unreached(this.name, this.stage, reachTime)))
    if (behind !== undefined) this.reaching.pauseUntil(behind)
  }

  private stopWaiting(): void {
    this.timer.close()
    this.reaching?.close()
    this.options.signal?.removeEventListener('abort', this.onAbort)
  }

  private asking(): () => void {
    const tell = (now: boolean): void => {
      this.options.prompting?.(now)
      this.timer.prompting(now)
    }
    tell(true)
    return () => tell(false)
  }
}
