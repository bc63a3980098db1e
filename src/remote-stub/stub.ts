import { hostname } from 'node:os'
import type { Clock } from '../base/clock.ts'
import type { ServiceHost } from '../modules/service.ts'
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
import { Lane } from './lane.ts'
import { Loader } from './loader.ts'
import { LogSender } from './log-sender.ts'
import { Processes } from './processes.ts'
import { currentOf, Scopes } from './scope.ts'

export interface StubOptions {
  clock: Clock
  /** The text of this program, for the Worker and for children. */
  text: () => string
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

/** A context: the engine with a parent, a loader and a Worker beside it. The main thread does I/O only. */
export class Stub implements RouterOwner {
  state: 'greeting' | 'open' | 'ending' = 'greeting'
  readonly processes = new Processes()
  private readonly options: StubOptions
  private readonly router: Router
  private readonly parentCode: CodeLink
  readonly log: LogSender
  private readonly scopes = new Scopes()
  private texts = new CodeCache()
  private loader: Loader | undefined
  private dispatcher: Dispatcher | undefined
  private worker: Lane | undefined
  private readonly expected = new Set<string>()

  constructor(pipe: Pipe, options: StubOptions) {
    this.options = options
    this.log = new LogSender(options.clock)
    this.router = new Router(this, { id: 0, clock: options.clock })
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
      // A lane's messages: it asks for nothing, it has been sent all that it was offered.
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
    const message = this.parentCode.join(frame)
    if (message === undefined) return
    if (frame.type === TYPE.OFFER) this.offer(message)
    else if (frame.type === TYPE.PUSH) this.push(message)
  }

  lost(link: Link): void {
    if (link === this.router.parent || this.router.parent === undefined) this.end(0)
  }

  refused(message: string): void {
    this.log.write('warn', 'ramet', message)
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
    this.processes.end(this.options.clock, GRACE, () => this.options.exit(code))
  }

  private greet(content: unknown): void {
    const { id, path, maxMessage, codeLimit, keepalive } = content as ParentHello
    const { text, environment } = this.options
    this.state = 'open'
    this.router.id = id
    this.router.maxMessage = maxMessage
    this.texts = new CodeCache(codeLimit)
    const current = currentOf(this.scopes, path, (level, line, fields) => this.log.write(level, 'log', line, fields))
    const need = (hashes: string[]): void => this.need(hashes)
    const scopes = this.scopes
    this.loader = new Loader(this.texts, {
      get 'ramet/remote'() {
        scopes.tracking = true
        return { current }
      },
    }, need)
    const host: ServiceHost = { processes: this.processes, environment }
    this.dispatcher = new Dispatcher({ loader: this.loader, scopes, host, log: (channel) => this.log.attach(channel) })
    this.worker = new Lane({
      router: this.router,
      texts: this.texts,
      stub: text,
      path,
      env: environment,
      need,
      log: (...record) => this.log.write(...record),
    })
    this.router.parent?.watch({ interval: keepalive[0], count: keepalive[1] })
  }

  private offer(message: Uint8Array): void {
    const { offers, pushed, user } = decodeOffer(message)
    for (const hash of pushed) if (!this.texts.has(hash)) this.expected.add(hash)
    if (user) this.worker?.offer(offers)
    else this.loader?.offer(offers)
  }

  /** Asks for texts that the parent believes we have: our cache is bounded, and has let go of them. */
  private need(hashes: string[]): void {
    const missing = hashes.filter((hash) => !this.expected.has(hash))
    if (missing.length === 0) return
    for (const hash of missing) this.expected.add(hash)
    this.parentCode.need(missing)
  }

  private push(message: Uint8Array): void {
    for (const text of unpackTexts(message)) this.expected.delete(this.texts.add(text))
    this.loader?.arrived()
    this.worker?.arrived()
    this.texts.trim()
  }
}
