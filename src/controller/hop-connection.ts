import { deferred } from '../base/deferred.ts'
import { failedProcess } from '../connect/failed-process.ts'
import { HOP_DOWN, HOP_UP } from '../connect/hop.ts'
import type { Connection, RemoteProcess } from '../connect/transport.ts'
import type { Channel, ChannelHandler } from '../router/channel.ts'
import { decode, encode } from '../router/codec.ts'
import { isRametError, RametError, type Stage } from '../router/errors.ts'
import { OPEN_KIND } from '../router/protocol.ts'
import type { Router } from '../router/router.ts'
import { HopAnswers, MAX_UNHEARD } from './hop-answers.ts'
import { hopFailure } from './hop-failure.ts'
import { HopProcess } from './hop-process.ts'
import { type Hop, hopModule, hopRequest, type HopWay, STAGES, transportOf } from './hop-way.ts'

/** A connection that a hop made, for commands on a target without an interpreter. */
export class HopConnection implements Connection, ChannelHandler {
  state: 'connecting' | 'open' | 'closed' = 'connecting'
  readonly name: string
  readonly transport: Connection['transport']
  stage: Stage = 'resolve'
  readonly ready: Promise<void>
  private readonly hop: Hop
  private readonly router: Router
  private readonly id: number
  private readonly path: readonly string[]
  private readonly entry: number
  private readonly answers: HopAnswers
  private readonly became = deferred<void>()
  private readonly gone = deferred<void>()
  private readonly channel: Channel
  private readonly processes = new Set<HopProcess>()
  private readonly listeners: ((cause?: Error) => void)[] = []
  private failure: RametError | undefined

  /** `id`: a context id that nobody else has. Throws RametError when the hop is gone. */
  constructor(hop: Hop, router: Router, id: number, path: readonly string[], way: HopWay) {
    this.hop = hop
    this.router = router
    this.id = id
    this.path = path
    this.name = path.join(' > ')
    this.transport = transportOf(way.target)
    this.ready = this.became.promise
    this.ready.catch(() => {})
    this.answers = new HopAnswers(path, { down: (...message) => this.down(...message), guilty: (error) => this.over(error) })
    this.answers.open(way)
    this.entry = hop.ship(hopModule(way.target))
    const request = { ...hopRequest(id, path, way.target), commands: true }
    this.channel = router.open(hop.id, encode([OPEN_KIND.SERVICE, this.entry, 'openRaw', [request]]), this, false, false)
  }

  open(command: string): RemoteProcess {
    if (this.state === 'closed') return failedProcess(this.failure ?? this.error('closed', 'is closed'))
    const process = new HopProcess((wire) => this.thrown(wire))
    this.processes.add(process)
    void process.exited.then(() => this.processes.delete(process))
    try {
      process.attach(this.router.open(this.hop.id, encode([OPEN_KIND.SERVICE, this.entry, 'start', [this.id, command]]), process.handler, false, false))
    } catch (error) {
      process.fail(error as Error)
    }
    return process
  }

  async close(): Promise<void> {
    if (this.state !== 'closed') {
      this.down(HOP_DOWN.CLOSE)
      this.over(undefined)
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

  // What the hop says.

  message(bytes: Uint8Array, credit: number): void {
    this.channel.consumed(credit)
    const message: unknown = decode(bytes)
    const [kind, first, second] = (Array.isArray(message) ? message : []) as unknown[]
    if (kind === HOP_UP.STAGE && STAGES.includes(first)) this.stage = first as Stage
    else if (kind === HOP_UP.ASK && typeof first === 'number') void this.answers.asked(first, second)
    else if (kind === HOP_UP.HELLO) this.opened()
    else if (kind === HOP_UP.FAILED) this.failure = hopFailure(first, this.path)
    else this.over(this.error('protocol-error', 'is below a hop that said something of an unknown form'))
  }

  end(bytes: Uint8Array): void {
    const answer: unknown = bytes.length === 0 ? undefined : decode(bytes)
    const thrown = Array.isArray(answer) && answer[0] === 1 ? this.thrown(answer[1]) : undefined
    this.over(this.failure ?? thrown ?? this.error('link-lost', 'is not connected any more'))
    this.gone.resolve()
  }

  reset(error: RametError): void {
    this.over(new RametError(error.code, `${this.name} was lost with its hop: ${error.message}`, { path: this.path, outcome: error.outcome, hint: error.hint, cause: error }))
    this.gone.resolve()
  }

  private opened(): void {
    if (this.state !== 'connecting') return
    this.state = 'open'
    this.stage = 'launch'
    // Logged in: from now on nothing is signed for it. What becomes another user asks for each command.
    if (this.transport === 'ssh2') this.answers.close()
    this.became.resolve()
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
    if (!this.channel.send(encode(message)) && this.channel.queued > MAX_UNHEARD) this.over(this.error('overflow', 'is below a hop that takes no answers'))
  }

  private error(code: RametError['code'], text: string): RametError {
    return new RametError(code, `${this.name} ${text}`, { path: this.path, outcome: 'unknown', hint: 'Connect again.' })
  }
}
