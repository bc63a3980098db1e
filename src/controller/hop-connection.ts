import type { Clock } from '../base/clock.ts'
import { deferred } from '../base/deferred.ts'
import { failedProcess } from '../connect/failed-process.ts'
import { HOP_DOWN, HOP_UP } from '../connect/hop.ts'
import type { Connection, RemoteProcess } from '../connect/transport.ts'
import type { Channel, ChannelHandler } from '../router/channel.ts'
import { decode, encode } from '../router/codec.ts'
import { isRametError, RametError, type Stage } from '../router/errors.ts'
import { OPEN_KIND } from '../router/protocol.ts'
import type { Router } from '../router/router.ts'
import { hinted } from './hints.ts'
import { HopAnswers, MAX_ASKED, MAX_UNHEARD } from './hop-answers.ts'
import { hopFailure } from './hop-failure.ts'
import { HopProcess } from './hop-process.ts'
import { GOODBYE } from './near-stem.ts'
import { type Hop, hopModule, hopRequest, type HopWay, STAGES, transportOf } from './hop-way.ts'

export interface HopConnectionHome {
  router: Router
  clock: Clock
  /** Hears of questions that nobody expects. */
  refused(text: string): void
}

/** A connection that a hop made, for commands on a target without an interpreter. */
export class HopConnection implements Connection, ChannelHandler {
  state: 'connecting' | 'open' | 'closed' = 'connecting'
  readonly name: string
  readonly transport: Connection['transport']
  stage: Stage = 'resolve'
  losesChannels = false
  readonly ready: Promise<void>
  private readonly hop: Hop
  private readonly home: HopConnectionHome
  private readonly id: number
  private readonly path: readonly string[]
  private readonly entry: number
  private readonly way: HopWay
  private readonly answers: HopAnswers
  private readonly became = deferred<void>()
  private readonly gone = deferred<void>()
  private readonly channel: Channel
  private readonly processes = new Set<HopProcess>()
  private readonly listeners: ((cause?: Error) => void)[] = []
  private failure: RametError | undefined

  /** `id`: a context id that nobody else has. Throws RametError when the hop is gone. */
  constructor(hop: Hop, home: HopConnectionHome, id: number, path: readonly string[], way: HopWay) {
    this.hop = hop
    this.home = home
    this.id = id
    this.path = path
    this.name = path.join(' > ')
    this.transport = transportOf(way.target)
    this.ready = this.became.promise
    this.ready.catch(() => {})
    this.answers = new HopAnswers(path, {
      down: (...message) => this.down(...message),
      refused: home.refused,
      guilty: (error) => this.drop(error),
      // What becomes another user may ask for each command.
      ...(this.transport === 'ssh2' ? { most: MAX_ASKED } : {}),
    })
    this.answers.open(way)
    this.way = way
    this.entry = hop.ship(hopModule(way.target))
    const request = { ...hopRequest(id, path, way), commands: true }
    this.channel = home.router.open(hop.id, encode([OPEN_KIND.SERVICE, this.entry, 'openRaw', [request]]), this, false, false)
  }

  open(command: string): RemoteProcess {
    if (this.state === 'closed') return failedProcess(this.failure ?? this.error('closed', 'is closed'))
    const process = new HopProcess((wire) => this.thrown(wire), (failure) => hopFailure(failure, this.path))
    this.processes.add(process)
    void process.exited.then(() => this.processes.delete(process))
    try {
      process.attach(this.home.router.open(this.hop.id, encode([OPEN_KIND.SERVICE, this.entry, 'start', [this.id, command]]), process.handler, false, false))
    } catch (error) {
      process.fail(error as Error)
    }
    return process
  }

  async close(): Promise<void> {
    if (this.state !== 'closed') {
      this.down(HOP_DOWN.CLOSE)
      this.over(undefined)
      // A hop that is no hop of ours may never say that it is done.
      const cancel = this.home.clock.after(2 * GOODBYE, () => this.drop(undefined))
      void this.gone.promise.then(cancel)
    }
    await this.gone.promise
  }

  onClose(listener: (cause?: Error) => void): void {
    if (this.state === 'closed') process.nextTick(() => listener(this.failure))
    else this.listeners.push(listener)
  }

  stats(): { bytesIn: number; bytesOut: number } {
    return { bytesIn: 0, bytesOut: 0 }
  }

  // What the hop says. It may be anybody's: each message is looked at before it is believed.

  message(bytes: Uint8Array, credit: number): void {
    this.channel.consumed(credit)
    const message = readable(bytes)
    const [kind, first, second] = (Array.isArray(message) ? message : []) as unknown[]
    if (kind === HOP_UP.STAGE && STAGES.includes(first)) this.stage = first as Stage
    else if (kind === HOP_UP.ASK && typeof first === 'number') this.asked(first, second)
    else if (kind === HOP_UP.HELLO && this.state === 'connecting') this.opened(second === true)
    else if (kind === HOP_UP.FAILED) this.failure = hopFailure(first, this.path, this.way)
    else this.drop(this.error('protocol-error', 'is below a hop that said something of an unknown form'))
  }

  end(bytes: Uint8Array): void {
    const answer = bytes.length === 0 ? undefined : readable(bytes)
    const thrown = Array.isArray(answer) && answer[0] === 1 ? this.thrown(answer[1]) : undefined
    this.over(this.failure ?? thrown ?? this.error('link-lost', 'is not connected any more'))
    this.gone.resolve()
  }

  reset(error: RametError): void {
    this.over(new RametError(error.code, `${this.name} was lost with its hop: ${error.message}`, { path: this.path, outcome: error.outcome, hint: hinted(error).hint, cause: error }))
    this.gone.resolve()
  }

  /** Once this is closed a question is no surprise: it crossed our CLOSE on the way. */
  private asked(number: number, question: unknown): void {
    if (this.state !== 'closed') void this.answers.asked(number, question)
  }

  private opened(losesChannels: boolean): void {
    this.state = 'open'
    this.losesChannels = losesChannels
    this.stage = 'launch'
    // Logged in: from now on nothing is signed for it. What becomes another user asks for each command.
    if (this.transport === 'ssh2') this.answers.close()
    this.became.resolve()
  }

  /** The hop does not keep to what was agreed: nothing more is waited for. */
  private drop(cause: RametError | undefined): void {
    this.channel.reset('cancelled')
    this.over(cause)
    this.gone.resolve()
  }

  private over(cause: RametError | undefined): void {
    if (this.state === 'closed') return
    const wasOpen = this.state === 'open'
    this.state = 'closed'
    this.failure = cause
    this.answers.close()
    const why = cause ?? this.error('closed', 'was closed')
    for (const process of this.processes) process.fail(why)
    this.became.reject(why)
    if (wasOpen) for (const listener of this.listeners) listener(cause)
  }

  private thrown(wire: unknown): RametError {
    const error = this.hop.remoteError(wire)
    return isRametError(error) ? error : this.error('link-lost', error.message)
  }

  private down(...message: unknown[]): void {
    if (!this.channel.send(encode(message)) && this.channel.queued > MAX_UNHEARD) this.drop(this.error('overflow', 'is below a hop that takes no answers'))
  }

  private error(code: RametError['code'], text: string): RametError {
    return new RametError(code, `${this.name} ${text}`, { path: this.path, outcome: 'unknown', hint: 'Connect again.' })
  }
}

/** Undefined where it cannot be read: that must not cost what else is behind the hop. */
function readable(bytes: Uint8Array): unknown {
  try {
    return decode(bytes)
  } catch {
    return undefined
  }
}
