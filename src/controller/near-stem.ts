import { deferred } from '../base/deferred.ts'
import { BootPipe } from '../connect/boot.ts'
import { LatePipe } from '../connect/late-pipe.ts'
import type { Connection } from '../connect/transport.ts'
import { CodeLink, decodeNeed } from '../router/code-link.ts'
import { RametError, type Stage } from '../router/errors.ts'
import type { Frame } from '../router/frame.ts'
import type { Link } from '../router/link.ts'
import { MAX_NEED, TYPE } from '../router/protocol.ts'
import type { Keepalive } from './api.ts'
import type { CoreHome } from './core-options.ts'
import type { ContextLog } from './logs.ts'
import { Pings } from './pings.ts'
import type { Stem, StemOwner } from './stem.ts'
import { stubImage, version } from './stub-image.ts'
import { traced } from './trace.ts'

/** How long a stub may take for its goodbye, in ms: its commands get 2 s after their TERM. */
export const GOODBYE = 5000

export interface NearOptions {
  id: number
  path: readonly string[]
  node: string | string[] | undefined
  /** Asked for when the connection stands: the SSH configuration may have a say. */
  keepalive(): Keepalive
  /** Payload of the HELLO that it gets. */
  hello: Uint8Array
  log: ContextLog
}

/** A context at the end of a connection that this process made. */
export class NearStem implements Stem {
  state: 'waiting' | 'booting' | 'open' | 'closed' = 'waiting'
  readonly link: Link
  readonly code: CodeLink
  private readonly home: CoreHome
  private readonly options: NearOptions
  private readonly owner: StemOwner
  private readonly pipe = new LatePipe()
  private readonly pings = new Pings()
  private readonly unlinked = deferred<void>()
  private connection: Connection | undefined
  private boot: BootPipe | undefined

  /** What is sent on its link from now on leaves as soon as there is a connection. */
  constructor(home: CoreHome, options: NearOptions, owner: StemOwner) {
    this.home = home
    this.options = options
    this.owner = owner
    this.link = home.router.addLink(traced(this.pipe, options.path), 'child', { path: options.path, budget: home.limits.link }, options.id)
    this.code = new CodeLink(this.link)
    this.link.onPong = (rtt) => this.pings.answered(rtt)
    this.link.sendNeighbour(TYPE.HELLO, options.hello)
  }

  get launched(): boolean {
    return this.boot !== undefined
  }

  get stage(): Stage {
    if (this.connection === undefined) return 'resolve'
    if (this.connection.stage !== 'launch' || this.boot === undefined) return this.connection.stage
    return this.boot.state === 'booting' ? 'launch' : 'hello'
  }

  /** The connection is being made: starts the stub over it. */
  attach(connection: Connection): void {
    const { node, path, log } = this.options
    this.state = 'booting'
    this.connection = connection
    // A login that is refused reaches the link through its pipe.
    connection.ready.catch((error: RametError) => this.pipe.state === 'open' && this.link.close(error))
    this.boot = new BootPipe(connection, { version: version(), stub: stubImage(), node, path, stray: (bytes) => log.stray(bytes) })
    this.pipe.attach(this.boot)
  }

  /** There will be no connection. */
  fail(cause: RametError): void {
    this.pipe.fail(cause)
  }

  /** A frame from the stub that concerns the two of us. Throwing costs the link. */
  neighbour(frame: Frame): void {
    if (frame.type === TYPE.HELLO && this.state === 'booting') {
      this.state = 'open'
      this.owner.greeted(frame.payload)
      this.link.watch(this.options.keepalive())
      this.link.ping()
    } else if (frame.type === TYPE.NEED) {
      const message = this.code.join(frame, MAX_NEED)
      if (message === undefined) return
      if (!this.home.modules.resend(this.code, decodeNeed(message))) throw this.error('not-allowed', 'asked for a module that it was never offered')
    } else {
      throw this.error('protocol-error', `sent a frame of type ${frame.type}, which only a parent sends`)
    }
  }

  /** Its link is gone. */
  lost(cause: RametError): void {
    this.unlinked.resolve()
    this.pings.fail(cause)
    this.owner.lost(cause)
  }

  ping(): Promise<number> {
    return this.pings.ping(this.link)
  }

  /** Whoever waits for an answer of it waits in vain. */
  refuse(cause: RametError): void {
    this.pings.fail(cause)
  }

  async goodbye(): Promise<void> {
    // Its side of the link ends with its process, when everything below it has ended.
    this.link.sendNeighbour(TYPE.GOAWAY, new Uint8Array(0))
    this.boot?.wake()
    const cancel = this.home.clock.after(GOODBYE, () => this.link.close())
    await this.unlinked.promise
    cancel()
  }

  drop(cause: RametError): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.pings.fail(cause)
    this.pipe.fail(cause)
    this.link.close(cause)
  }

  stats(): ReturnType<Stem['stats']> {
    const { link, code } = this
    const wire = this.connection?.stats() ?? { bytesIn: 0, bytesOut: 0 }
    const { modulesSent, modulesReused, codeBytes } = code
    const { rtt, framesIn, framesOut } = link
    return {
      transport: this.connection?.transport ?? '', rtt, bytesIn: wire.bytesIn || link.bytesIn, bytesOut: wire.bytesOut || link.bytesOut,
      framesIn, framesOut, modulesSent, modulesReused, codeBytes,
    }
  }

  describe(): Record<string, unknown> {
    const { queued: bytes, down, up } = this.link
    let frames = 0
    this.link.sift(() => (frames++, false))
    return { queued: { frames, bytes }, budget: { down: down.used, up: up.used } }
  }

  private error(code: RametError['code'], text: string): RametError {
    return new RametError(code, `${this.options.path.join(' > ')} ${text}`, { path: this.options.path })
  }
}
