import { type Deferred, deferred } from '../base/deferred.ts'
import { HOP_DOWN, HOP_UP, type HopStats } from '../connect/hop.ts'
import type { Channel, ChannelHandler, Route } from '../router/channel.ts'
import type { CodeLink } from '../router/code-link.ts'
import { decode, encode } from '../router/codec.ts'
import { Budget } from '../router/credit.ts'
import { isRametError, RametError, type Stage, withOutcome } from '../router/errors.ts'
import type { Link } from '../router/link.ts'
import { MAX_LINK, MIN_LINK, OPEN_KIND, TYPE } from '../router/protocol.ts'
import { isNoNode } from './connect-errors.ts'
import type { CoreHome } from './core-options.ts'
import { HopAnswers, MAX_ASKED, MAX_UNHEARD } from './hop-answers.ts'
import { hopFailure } from './hop-failure.ts'
import { hinted } from './hints.ts'
import { type Hop, hopModule, hopRequest, type HopWay, STAGES, transportOf } from './hop-way.ts'
import type { ContextLog } from './logs.ts'
import { GOODBYE } from './near-stem.ts'
import type { Stem, StemOwner } from './stem.ts'

export interface FarOptions {
  id: number
  path: readonly string[]
  node: string | string[] | undefined
  hello: Uint8Array
  log: ContextLog
}

/** Contexts below a hop share its link; so much of its budget one of them takes at most. */
const SHARE = 4
/** So many contexts on one link have MIN_LINK bytes that no other can take, the next ones less: what all may have under way a link can queue. */
const MANY = 64
const LITTLE = 16 * 1024

/** A context below a hop, held by a channel to that hop for as long as it lives. */
export class FarStem implements Stem, ChannelHandler {
  /** failed: the hop has lost it, and has not said yet that nothing of it is left there. */
  state: 'waiting' | 'opening' | 'open' | 'failed' | 'closed' = 'waiting'
  stage: Stage = 'resolve'
  readonly code: CodeLink
  private readonly home: CoreHome
  private readonly hop: Hop
  private readonly options: FarOptions
  private readonly owner: StemOwner
  private readonly route: FarRoute
  private readonly over_ = deferred<void>()
  private channel: Channel | undefined
  private way: HopWay | undefined
  private failure: RametError | undefined
  private telling = false
  private readonly answers: HopAnswers
  private carried: HopStats = [null, 0, 0, 0, 0, 0, 0, 0]
  private nextPing = 0
  private readonly pings = new Map<number, Deferred<number> & { from: number }>()

  /** What is sent to it from now on waits at the hop until there is a link. */
  constructor(home: CoreHome, hop: Hop, options: FarOptions, owner: StemOwner) {
    const { router, limits } = home
    const way = router.routeTo(hop.id)
    if (way === undefined) throw new RametError('no-route', `${hop.path.join(' > ')} is not connected`, { path: options.path, outcome: 'not-sent', hint: 'Connect it again.' })
    this.home = home
    this.hop = hop
    this.options = options
    this.owner = owner
    this.code = hop.code
    this.answers = new HopAnswers(options.path, {
      down: (...message) => this.down(...message),
      refused: (text) => options.log.event('warn', text),
      guilty: (error) => this.drop(error),
      most: MAX_ASKED,
    })
    this.route = farRoute(way.link, options.path, limits.link ?? MAX_LINK, router.behind(way.link))
    router.addRoute(options.id, this.route)
    way.link.sendNeighbour(TYPE.ROUTE, encode([options.id, hop.id, options.hello]))
  }

  /** Resolves when nothing of it is left at the hop, or nobody can tell any more. */
  get gone(): Promise<void> {
    return this.over_.promise
  }

  get launched(): boolean {
    return this.channel !== undefined
  }

  /** What is to be reached is known: asks the hop for it. Throws RametError. */
  attach(way: HopWay): void {
    const { id, path, node } = this.options
    this.way = way
    this.answers.open(way)
    this.state = 'opening'
    const request = hopRequest(id, path, way, node)
    const entry = this.hop.ship(hopModule(way.target))
    this.channel = this.home.router.open(this.hop.id, encode([OPEN_KIND.SERVICE, entry, 'open', [request]]), this, false, false)
  }

  ping(): Promise<number> {
    const number = this.nextPing++
    const waiter = { ...deferred<number>(), from: this.home.clock.now() }
    this.pings.set(number, waiter)
    this.down(HOP_DOWN.PING, number)
    return waiter.promise
  }

  async goodbye(): Promise<void> {
    this.down(HOP_DOWN.CLOSE)
    const cancel = this.home.clock.after(2 * GOODBYE, () => this.drop(this.error('closed', 'took too long for its goodbye')))
    await this.gone
    cancel()
  }

  drop(cause: RametError): void {
    if (this.telling) return
    this.channel?.reset('cancelled')
    this.over(cause)
  }

  stats(): ReturnType<Stem['stats']> {
    const [rtt, bytesIn, bytesOut, framesIn, framesOut, modulesSent, modulesReused, codeBytes] = this.carried
    return { transport: this.way === undefined ? '' : transportOf(this.way.target), rtt: rtt ?? undefined, bytesIn, bytesOut, framesIn, framesOut, modulesSent, modulesReused, codeBytes }
  }

  describe(): Record<string, unknown> {
    return { below: this.hop.path.join(' > '), budget: { down: this.route.down.used, up: this.route.up.used } }
  }

  // What the hop says. It may be anybody's: each message is looked at before it is believed.

  message(bytes: Uint8Array, credit: number): void {
    this.channel?.consumed(credit)
    try {
      if (!this.heard(decode(bytes))) this.drop(this.error('protocol-error', 'is below a hop that said something that no hop of ours says'))
    } catch (error) {
      // The context's own words come through here, too: they must not cost the hop, nor what else is below it.
      const text = `said something that cannot be read: ${(error as Error).message}`
      this.drop(isRametError(error) && error.path.length > 0 ? withOutcome(error, 'unknown') : this.error('protocol-error', text, error))
    }
  }

  /** Whether it is something that a hop may say now. */
  private heard(message: unknown): boolean {
    const [kind, first, second] = (Array.isArray(message) ? message : []) as unknown[]
    if (kind === HOP_UP.STAGE && STAGES.includes(first)) this.stage = first as Stage
    else if (kind === HOP_UP.ASK && typeof first === 'number') void this.answers.asked(first, second)
    else if (kind === HOP_UP.STRAY && first instanceof Uint8Array) this.options.log.stray(first)
    else if (kind === HOP_UP.HELLO && first instanceof Uint8Array && this.state === 'opening') this.greeted(first)
    else if (kind === HOP_UP.RESPONSIVE && typeof first === 'boolean') this.owner.responsive(first)
    else if (kind === HOP_UP.STATS && isStats(first)) this.carried = first
    else if (kind === HOP_UP.PONG && typeof first === 'number' && this.pings.has(first) && isStats(second)) this.pong(first, second)
    else if (kind === HOP_UP.FAILED) this.failed(hopFailure(first, this.options.path, this.way))
    else return false
    return true
  }

  /** Who waits for it hears so now: a process that cannot be signalled may keep the hop for seconds until nothing of it is left. */
  private failed(cause: RametError): void {
    this.failure = cause
    if (this.state !== 'open') return
    this.state = 'failed'
    this.unanswered(cause)
    const cancel = this.home.clock.after(2 * GOODBYE, () => this.drop(cause))
    void this.gone.then(cancel)
    this.telling = true
    this.owner.lost(cause)
    this.telling = false
  }

  end(bytes: Uint8Array): void {
    const answer: unknown = bytes.length === 0 ? undefined : decode(bytes)
    const thrown = Array.isArray(answer) && answer[0] === 1 ? this.hop.remoteError(answer[1]) : undefined
    this.over(this.failure ?? (thrown === undefined ? this.error('link-lost', 'is not connected any more') : this.error('connect-failed', `could not be opened: ${thrown.message}`, thrown)))
  }

  reset(error: RametError): void {
    const hop = this.hop.path.join(' > ')
    const text = `was lost with its hop ${hop}: ${error.message}`
    // What the hop lacks this context may well have.
    const code = isNoNode(error) ? 'interpreter-needed' : error.code
    this.over(new RametError(code, `${this.options.path.join(' > ')} ${text}`, { path: this.options.path, outcome: error.outcome, hint: hinted(error).hint, cause: error }))
  }

  private greeted(hello: Uint8Array): void {
    // It is connected: from now on nothing is signed for it.
    this.answers.close()
    this.state = 'open'
    this.owner.greeted(hello)
    // The round trip sets the pace of what is granted to it.
    this.ping().catch(() => {})
  }

  private pong(number: number, stats: HopStats): void {
    const waiter = this.pings.get(number)
    this.carried = stats
    if (waiter === undefined) return
    this.pings.delete(number)
    const sample = this.home.clock.now() - waiter.from
    this.route.rtt = this.route.rtt === undefined || sample < this.route.rtt ? sample : this.route.rtt * 0.875 + sample * 0.125
    waiter.resolve(sample)
  }

  private down(...message: unknown[]): void {
    if (this.channel?.send(encode(message)) === false && this.channel.queued > MAX_UNHEARD) {
      this.drop(this.error('overflow', 'is below a hop that takes no answers'))
    }
  }

  private over(cause: RametError): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.channel = undefined
    this.answers.close()
    this.unanswered(cause)
    // Hops on the way forget it, and the last one ends it if that has not happened.
    this.route.link.sendNeighbour(TYPE.ROUTE, encode([this.options.id, 0]))
    this.over_.resolve()
    this.owner.lost(cause)
  }

  private unanswered(cause: RametError): void {
    for (const { reject } of this.pings.values()) reject(cause)
    this.pings.clear()
  }

  private error(code: RametError['code'], text: string, cause?: unknown): RametError {
    const { path } = this.options
    return new RametError(code, `${path.join(' > ')} ${text}`, { path, outcome: 'unknown', hint: 'Connect again.', cause })
  }
}

type FarRoute = { -readonly [K in keyof Route]: Route[K] }

/** The way to a context below a hop, over a link on which so many others have theirs. */
export function farRoute(link: Link, path: readonly string[], limit: number, others: number): FarRoute {
  const share = limit / SHARE
  const own = others < MANY ? MIN_LINK : LITTLE
  return { link, path, down: new Budget(share, link.down, own), up: new Budget(share, link.up, own), rtt: undefined }
}

function isStats(value: unknown): value is HopStats {
  return Array.isArray(value) && value.length === 8 && value.every((item, at) => (at === 0 && item === null) || (typeof item === 'number' && item >= 0))
}
