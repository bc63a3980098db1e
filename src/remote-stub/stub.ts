import { hostname } from 'node:os'
import { brotliDecompressSync } from 'node:zlib'
import type { Clock } from '../base/clock.ts'
import { CodeCache } from '../router/code-cache.ts'
import { CodeLink, decodeOffer, unpackTexts } from '../router/code-link.ts'
import { decode, encode } from '../router/codec.ts'
import { RametError } from '../router/errors.ts'
import type { Frame } from '../router/frame.ts'
import type { Link } from '../router/link.ts'
import type { Pipe } from '../router/pipe.ts'
import { TYPE } from '../router/protocol.ts'
import { Router, type RouterOwner } from '../router/router.ts'
import { Dispatcher } from './dispatcher.ts'
import type { Below, HopHost, Pack } from './hop-host.ts'
import { Lane } from './lane.ts'
import { Loader } from './loader.ts'
import { LogSender } from './log-sender.ts'
import { Processes } from './processes.ts'
import { currentOf, Scopes } from './scope.ts'

export interface StubOptions {
  clock: Clock
  /** This program, compressed, for the Worker and for children. */
  image: Uint8Array
  /** The environment as the login shell gave it. */
  environment: Record<string, string | undefined>
  /** Ends the process; called once everything of ours has ended. */
  exit(code: number): void
}

/** What a parent tells its child first. */
export interface ParentHello {
  id: number
  path: string[]
  maxMessage: number
  codeLimit: number
  keepalive: [interval: number, count: number]
}

/** How long commands that we started get after their TERM when we end, in ms. */
const GRACE = 2000
/** How long a record of why we end may take to leave, in ms. */
const LAST_WORDS = 100
/** How long what was printed may take to leave when we end, in ms, and how often we look whether it has. */
const FAREWELL = 1000
const LOOK = 5

/** A context: the engine with a parent, a loader and a Worker beside it. The main thread does I/O only. */
export class Stub implements RouterOwner, HopHost {
  state: 'greeting' | 'open' | 'ending' = 'greeting'
  readonly processes = new Processes()
  readonly environment: Record<string, string | undefined>
  readonly clock: Clock
  readonly router: Router
  readonly image: Uint8Array
  readonly log: LogSender
  texts = new CodeCache()
  below: Below | undefined
  readonly early: Frame[] = []
  pushed: Pack | undefined
  private readonly options: StubOptions
  private readonly parentCode: CodeLink
  private readonly scopes = new Scopes()
  private loader: Loader | undefined
  private dispatcher: Dispatcher | undefined
  private worker: Lane | undefined
  private readonly expected = new Set<string>()

  constructor(pipe: Pipe, options: StubOptions) {
    const { clock, environment, image } = options
    this.options = options
    this.clock = clock
    this.environment = environment
    this.image = image
    this.log = new LogSender(clock)
    this.router = new Router(this, { id: 0, clock })
    const link = this.router.addLink(pipe, 'parent', { path: ['parent'] })
    this.parentCode = new CodeLink(link)
    link.sendNeighbour(TYPE.HELLO, encode([process.pid, process.version, process.platform, process.arch, hostname()]))
  }

  opened(channel: Parameters<NonNullable<RouterOwner['opened']>>[0], message: Uint8Array): void {
    this.dispatcher?.opened(channel, message)
  }

  lane(frame: Frame): void {
    this.worker?.frame(frame)
  }

  passed(frame: Frame): void {
    this.worker?.ended(frame)
  }

  neighbour(frame: Frame, link: Link): void {
    if (link !== this.router.parent) {
      // Of a child, since a lane asks for nothing.
      this.below?.neighbour(frame, link)
      return
    }
    if (frame.type === TYPE.HELLO && this.state === 'greeting') {
      this.greet(decode(frame.payload))
      return
    }
    if (this.state === 'greeting') throw new RametError('protocol-error', 'the parent did not say HELLO first')
    if (frame.type === TYPE.GOAWAY) {
      this.end(0)
      return
    }
    if (frame.type === TYPE.ROUTE || frame.type === TYPE.OPEN) {
      this.under(frame)
      return
    }
    const message = this.parentCode.join(frame)
    if (message === undefined) return
    if (frame.type === TYPE.OFFER) this.offer({ ...frame, payload: message })
    else if (frame.type === TYPE.PUSH) this.push(message)
  }

  lost(link: Link, cause: RametError): void {
    if (this.router.parent === undefined) this.end(0)
    else this.below?.lost(link, cause)
  }

  responsive(link: Link, responsive: boolean): void {
    this.below?.responsive(link, responsive)
  }

  unrouted(frame: Frame): boolean {
    if (this.early.length > 0) this.early.push(frame)
    return this.early.length > 0
  }

  refused(message: string, link: Link, src: number): void {
    this.below?.refused(message, link, src)
  }

  /** An error that no code of ours or of a user's caught, on the main thread. */
  uncaught(error: unknown, promise: unknown): void {
    this.scopes.uncaught(error, promise, (text) => this.log.write('error', 'log', text))
  }

  /** Ends everything below us, then the process. Called twice it does nothing more. */
  end(code: number): void {
    if (this.state === 'ending') return
    this.state = 'ending'
    this.worker?.close()
    const below = this.below?.close()
    this.processes.end(this.clock, GRACE, async () => {
      await below
      this.log.leave()
      this.leave(code)
    })
  }

  /** Ends the process when what was printed has left, or whoever takes it is too slow or gone. */
  private leave(code: number, looks = FAREWELL / LOOK): void {
    if (looks > 0 && (this.log.waiting > 0 || (this.router.parent?.queued ?? 0) > 0)) this.clock.after(LOOK, () => this.leave(code, looks - 1))
    else this.options.exit(code)
  }

  private greet(content: unknown): void {
    const { id, path, maxMessage, codeLimit, keepalive } = content as ParentHello
    this.state = 'open'
    this.router.id = id
    this.router.maxMessage = maxMessage
    this.texts = new CodeCache(codeLimit)
    const current = currentOf(this.scopes, path, (level, line, fields) => this.log.write(level, 'log', line, fields))
    const need = (hashes: string[]): void => this.need(hashes)
    const stub = (): string => brotliDecompressSync(this.image).toString('utf8')
    const scopes = this.scopes
    this.loader = new Loader(this.texts, {
      get 'ramet/remote'() {
        scopes.tracking = true
        return { current }
      },
    }, need)
    this.dispatcher = new Dispatcher({ loader: this.loader, scopes, host: this, log: (channel) => this.log.attach(channel) })
    this.worker = new Lane({
      router: this.router,
      texts: this.texts,
      stub,
      path,
      env: this.environment,
      need,
      log: (...record) => this.log.write(...record),
    })
    this.router.parent?.watch({ interval: keepalive[0], count: keepalive[1] })
  }

  /** What concerns contexts below us; until the code for them is here it is kept. */
  private under(frame: Frame): void {
    if (this.below === undefined) this.early.push(frame)
    else this.below.frame(frame)
  }

  private offer(frame: Frame): void {
    const { dsts, offers, pushed, user } = decodeOffer(frame.payload)
    for (const hash of pushed) if (!this.texts.has(hash)) this.expected.add(hash)
    const mine = dsts.includes(this.router.id)
    if (dsts.length > (mine ? 1 : 0)) this.under(frame)
    if (!mine) return
    if (user) this.worker?.offer(offers)
    else this.loader?.offer(offers)
  }

  /** Asks for texts that the parent believes we have: our cache is bounded, and has let go of them. */
  need(hashes: string[]): void {
    const missing = hashes.filter((hash) => !this.expected.has(hash))
    if (missing.length === 0) return
    for (const hash of missing) this.expected.add(hash)
    this.parentCode.need(missing)
  }

  private push(message: Uint8Array): void {
    const hashes = unpackTexts(message).map((text) => this.texts.add(text))
    for (const hash of hashes) if (!this.expected.delete(hash)) this.altered()
    this.pushed = { key: hashes.join(), pack: message }
    this.loader?.arrived()
    this.worker?.arrived()
    this.below?.arrived()
    this.texts.trim()
  }

  /** A text came that nobody announced, so one that was announced never will: whoever waits for it is to hear so, and why. */
  private altered(): void {
    this.log.write('error', 'ramet', 'code was altered on its way here')
    this.clock.after(LAST_WORDS, () => this.end(1))
  }
}
