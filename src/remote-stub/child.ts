import { withinTime } from '../base/within-time.ts'
import { BootPipe } from '../connect/boot.ts'
import { type Ask, HOP_DOWN, HOP_UP, type HopRequest, type HopStats } from '../connect/hop.ts'
import { LatePipe } from '../connect/late-pipe.ts'
import type { Connection, ProcessEnd } from '../connect/transport.ts'
import type { ServiceChannel } from '../modules/service.ts'
import { CodeLink, decodeNeed } from '../router/code-link.ts'
import { decode, encode } from '../router/codec.ts'
import { RametError, type Stage } from '../router/errors.ts'
import type { Frame } from '../router/frame.ts'
import type { Link } from '../router/link.ts'
import { MAX_NEED, MAX_QUEUED, TYPE } from '../router/protocol.ts'
import type { HopHost } from './hop-host.ts'
import { asRamet, failureOf, Questions } from './questions.ts'
import type { Uplink } from './uplink.ts'

/** Makes the connection to a target; what it has to ask goes to the controller. `moved` is told of each stage but the one before `ready`. */
export type Connect = (ask: Ask, request: HopRequest, moved: () => void) => Connection

/** How long a child may take for its goodbye, in ms: its commands get 2 s after their TERM. */
const GOODBYE = 5000
/** How long it may take, in ms, until it is known how a process has ended whose pipe has. */
const ENDED = 100

/** What a parent needs for one child. */
export interface ChildHome {
  readonly host: HopHost
  readonly uplink: Uplink
  /** Texts that are here, as one pack; `again`: it has had them before. */
  pack(hashes: readonly string[], again: boolean): Uint8Array
  gone(child: Child): void
}

/** A context below this one: its link, and the channel over which the controller holds it. */
export class Child {
  state: 'announced' | 'connecting' | 'open' | 'closing' | 'closed' = 'announced'
  readonly id: number
  readonly link: Link
  readonly code: CodeLink
  private readonly home: ChildHome
  private readonly path: readonly string[]
  private keepalive: { interval: number; count: number }
  private readonly pipe = new LatePipe()
  private channel: ServiceChannel | undefined
  private connection: Connection | undefined
  private boot: BootPipe | undefined
  /** What the controller knows. */
  private told_: Stage = 'resolve'
  private readonly questions: Questions
  private readonly pings: number[] = []
  /** Texts that it was offered and that are not here yet. */
  private readonly wants = new Set<string>()
  private reporting = false
  /** Frames of its own that were refused. */
  refusals = 0
  /** Printed bytes that were dropped since the channel last took any; undefined while it does. */
  private unprinted: number | undefined

  /** `hello` is what the controller has the child told. Frames to it may come from now on. */
  constructor(id: number, hello: Uint8Array, home: ChildHome) {
    const { path, keepalive } = decode(hello) as { path: string[]; keepalive: [number, number] }
    const { router } = home.host
    this.id = id
    this.home = home
    this.path = path
    this.questions = new Questions(path, (...message) => this.up(...message))
    this.keepalive = { interval: keepalive[0], count: keepalive[1] }
    this.link = router.addLink(this.pipe, 'child', { path }, id)
    this.code = new CodeLink(this.link)
    this.link.onPong = () => this.answerPings()
    this.link.sendNeighbour(TYPE.HELLO, hello)
  }

  /** Reaches the target. The channel ends when nothing of the child is left here. */
  open(channel: ServiceChannel, request: HopRequest, connect: Connect): void {
    const { host } = this.home
    this.state = 'connecting'
    this.channel = channel
    this.keepalive = request.keepalive ?? this.keepalive
    channel.onMessage = (bytes) => {
      channel.consumed(bytes.length)
      this.told(decode(bytes))
    }
    // Nobody holds it any more. Killed at once it could not end what runs on it; a controller that wants that says so by ROUTE.
    channel.onReset = () => this.goodbye()
    channel.onWritable = () => this.writable()
    try {
      const moved = (): void => this.tellStage()
      const connection = connect((question) => this.questions.ask(question), request, moved)
      const { version, owner, target } = request
      const node = target.kind === 'process' ? process.execPath : request.node
      this.connection = connection
      connection.ready.then(moved, (error: Error) => this.link.close(asRamet(error)))
      const over = target.kind === 'process' ? (exited: Promise<ProcessEnd>) => this.ownEnd(exited) : undefined
      this.boot = new BootPipe(connection, { version, owner, stub: host.image, node, path: this.path, stray: (bytes) => this.stray(bytes), ran: moved, over })
      this.pipe.attach(this.home.uplink.metered(this.boot))
      moved()
    } catch (error) {
      this.link.close(asRamet(error as Error))
    }
  }

  /** A frame of the child's that concerns the two of us. Throwing costs its link. */
  neighbour(frame: Frame): void {
    if (frame.type === TYPE.HELLO && this.state === 'connecting') {
      this.state = 'open'
      this.link.watch(this.keepalive)
      this.up(HOP_UP.HELLO, frame.payload)
    } else if (frame.type === TYPE.NEED) {
      const message = this.code.join(frame, MAX_NEED)
      if (message !== undefined) this.need(decodeNeed(message))
    } else {
      throw new RametError('protocol-error', `${this.path.join(' > ')} sent a frame of type ${frame.type}, which only a parent sends`, { path: this.path })
    }
  }

  /** Sends on what it was offered and lacks; what is not here yet follows when it has come in. */
  ship(hashes: readonly string[], again = false): void {
    const { texts } = this.home.host
    const here = hashes.filter((hash) => texts.has(hash))
    const missing = hashes.filter((hash) => !texts.has(hash))
    for (const hash of missing) this.wants.add(hash)
    if (here.length > 0) this.code.push(here, this.home.pack(here, again))
    if (missing.length > 0) this.home.host.need(missing)
    this.report()
  }

  /** Texts have come in. */
  arrived(): void {
    if (this.wants.size === 0) return
    const here = [...this.wants].filter((hash) => this.home.host.texts.has(hash))
    for (const hash of here) this.wants.delete(hash)
    if (here.length > 0) this.ship(here)
  }

  responsive(responsive: boolean): void {
    this.up(HOP_UP.RESPONSIVE, responsive)
  }

  /** Its link is gone. */
  lost(cause: RametError): void {
    if (this.state === 'closed') return
    const asked = this.state === 'closing'
    if (!asked) this.up(HOP_UP.FAILED, failureOf(cause, cause.stage ?? (this.state === 'open' ? undefined : this.stage())))
    this.finish()
  }

  /** This hop ends: so does the child, by itself if it can. What has not become a stub yet may not even read its input. */
  leave(): void {
    if (this.state === 'open' || this.state === 'closing') this.bye()
    else this.close()
  }

  /** Gives it up at once. */
  close(): void {
    if (this.state === 'closed') return
    this.state = 'closing'
    this.link.close()
  }

  private told(message: unknown): void {
    const [kind, number, value] = (Array.isArray(message) ? message : []) as [number?, number?, unknown?]
    if (this.questions.answered(kind, number, value)) return
    if (kind === HOP_DOWN.PING && number !== undefined) {
      this.pings.push(number)
      this.link.ping()
    } else if (kind === HOP_DOWN.CLOSE) {
      this.goodbye()
    }
  }

  /** Why a process of our own has ended that nobody told to: its user's code decides on that. */
  private async ownEnd(exited: Promise<ProcessEnd>): Promise<RametError | undefined> {
    if (this.state !== 'open') return undefined
    const ends: ProcessEnd[] = []
    await withinTime(exited.then((end) => void ends.push(end)), this.home.host.clock, ENDED)
    const [{ exitCode, signal } = { exitCode: null, signal: null }] = ends
    const how = exitCode !== null ? `the code in the process ended it (exit code ${exitCode})` : signal !== null ? `its process was ended by ${signal}` : undefined
    return how === undefined ? undefined : new RametError('worker-exited', `${this.path.join(' > ')}: ${how}`, {
      path: this.path, outcome: 'unknown', hint: 'The log of the context says why. The next call gets another process.' })
  }

  private goodbye(): void {
    if (this.state !== 'open') {
      this.close()
      return
    }
    this.state = 'closing'
    this.bye()
    this.home.host.clock.after(GOODBYE, () => this.link.close())
  }

  private bye(): void {
    this.link.sendNeighbour(TYPE.GOAWAY, new Uint8Array(0))
    this.boot?.wake()
  }

  private need(hashes: readonly string[]): void {
    if (!hashes.every((hash) => this.code.wasSent(hash) || this.wants.has(hash))) {
      throw new RametError('not-allowed', `${this.path.join(' > ')} asked for a module that it was never offered`, { path: this.path })
    }
    if (this.link.queued > MAX_QUEUED) {
      throw new RametError('overflow', `${this.path.join(' > ')} asks for code and takes none`, { path: this.path })
    }
    this.ship(hashes, true)
  }

  private stage(): Stage {
    if (this.connection === undefined) return 'resolve'
    if (this.connection.stage !== 'launch' || this.boot === undefined) return this.connection.stage
    return this.boot.state === 'booting' ? 'launch' : 'hello'
  }

  /** At once: when this hop is lost, what the controller has heard by then is all that it can say. */
  private tellStage(): void {
    const stage = this.stage()
    if (this.state !== 'connecting' || stage === this.told_) return
    this.told_ = stage
    this.up(HOP_UP.STAGE, stage)
  }

  private answerPings(): void {
    const number = this.pings.shift()
    if (number !== undefined) this.up(HOP_UP.PONG, number, this.stats())
  }

  /** What its link carried goes up when that has changed by code. */
  private report(): void {
    if (this.reporting) return
    this.reporting = true
    process.nextTick(() => {
      this.reporting = false
      this.up(HOP_UP.STATS, this.stats())
    })
  }

  private stats(): HopStats {
    const { link, code } = this
    const wire = this.connection?.stats() ?? { bytesIn: 0, bytesOut: 0 }
    return [link.rtt ?? null, wire.bytesIn || link.bytesIn, wire.bytesOut || link.bytesOut, link.framesIn, link.framesOut, code.modulesSent, code.modulesReused, code.codeBytes]
  }

  private up(...message: unknown[]): boolean {
    return this.state !== 'closed' && this.channel?.send(encode(message)) === true
  }

  /** What it prints goes up as long as there is credit for it; it may print faster than anybody reads. */
  private stray(bytes: Uint8Array): void {
    if (this.unprinted !== undefined) this.unprinted += bytes.length
    else if (!this.up(HOP_UP.STRAY, bytes)) this.unprinted = 0
  }

  private writable(): void {
    const { unprinted = 0 } = this
    this.unprinted = undefined
    if (unprinted > 0) this.stray(Buffer.from(`\n(${unprinted} bytes of its output were dropped)\n`))
  }

  private finish(): void {
    this.questions.close()
    const { channel } = this
    void (this.connection?.close() ?? Promise.resolve()).then(() => {
      this.state = 'closed'
      channel?.end(undefined)
      this.home.gone(this)
    })
  }
}
