import { sameBytes } from '../connect/key-blob.ts'
import type { Channel, ChannelHandler } from '../router/channel.ts'
import type { CodeLink, Offer } from '../router/code-link.ts'
import { sendSeveral } from '../router/fan-out.ts'
import type { Link } from '../router/link.ts'
import { FLAG, MAX_INLINE } from '../router/protocol.ts'
import type { Router } from '../router/router.ts'
import type { Library } from './library.ts'

/** Contexts named in one OPEN at most: with their channels they fit a frame beside the largest message. */
const MOST = 2000

interface Opening {
  channel: Channel
  message: Uint8Array
  fin: boolean
  user: boolean
}

interface Offering {
  code: CodeLink
  dsts: number[]
  user: boolean
  offers: readonly Offer[]
}

/**
 * The same work for many contexts. Whatever is asked for within one tick leaves at its end, and what is equal for contexts
 * behind one link crosses that link once: the offer of the code, and the first message of the channels.
 */
export class Together {
  private readonly router: Router
  private readonly modules: Library
  private openings: Opening[] = []
  private offerings: Offering[] = []
  private scheduled = false

  constructor(router: Router, modules: Library) {
    this.router = router
    this.modules = modules
  }

  get clock(): Router['clock'] {
    return this.router.clock
  }

  get maxMessage(): number {
    return this.router.maxMessage
  }

  /** For work that leaves at once: what was asked for before it leaves first. */
  alone(): Router {
    this.flush()
    return this.router
  }

  /** As Router.open(). Before anything is sent on the channel in the same tick, flush() has to be called. */
  open(dst: number, message: Uint8Array, handler: ChannelHandler, fin: boolean, user: boolean): Channel {
    const channel = this.router.prepare(dst, message.length, handler, user)
    channel.state = 'new'
    this.openings.push({ channel, message, fin, user })
    this.schedule()
    return channel
  }

  /** As Library.ship() for one context. */
  ship(code: CodeLink, dst: number, user: boolean, offers: readonly Offer[]): void {
    const same = this.offerings.find((other) => other.code === code && other.user === user && equalOffers(other.offers, offers))
    if (same !== undefined) same.dsts.push(dst)
    else this.offerings.push({ code, dsts: [dst], user, offers })
    this.schedule()
  }

  private schedule(): void {
    if (this.scheduled) return
    this.scheduled = true
    process.nextTick(() => this.flush())
  }

  /** Sends what was asked for without waiting for the end of the tick. */
  flush(): void {
    if (!this.scheduled) return
    this.scheduled = false
    for (const { code, dsts, user, offers } of this.offerings.splice(0)) this.modules.ship(code, dsts, user, offers)
    const byLink = new Map<Link, Opening[][]>()
    for (const opening of this.openings.splice(0)) {
      // Given up before it began.
      if (opening.channel.state === 'closed') continue
      const { link } = opening.channel
      const sets = byLink.get(link) ?? []
      byLink.set(link, sets)
      const set = sets.find((other) => other.length < MOST && fits(other[0] as Opening, opening))
      if (set === undefined) sets.push([opening])
      else set.push(opening)
    }
    for (const [link, sets] of byLink) for (const set of sets) this.send(link, set)
  }

  private send(link: Link, set: Opening[]): void {
    const { message, fin, user, channel } = set[0] as Opening
    // One context alone may be a leaf, which knows nothing of this.
    const several = message.length <= MAX_INLINE && set.some((opening) => opening.channel.peer !== channel.peer)
    const targets = set.map(({ channel: { peer, id } }): [number, number] => [peer, id])
    const flags = (user ? FLAG.USER : 0) | (fin ? FLAG.FIN : 0)
    const sent = several && sendSeveral(link, flags, channel.exponent, { src: this.router.id, targets, message })
    for (const opening of set) {
      if (opening.channel.state === 'closed') continue
      opening.channel.state = fin ? 'ended' : 'open'
      if (!sent) opening.channel.open(opening.message, fin)
    }
  }
}

function fits(a: Opening, b: Opening): boolean {
  return a.fin === b.fin && a.user === b.user && a.channel.exponent === b.channel.exponent && sameBytes(a.message, b.message)
}

function equalOffers(a: readonly Offer[], b: readonly Offer[]): boolean {
  return a.length === b.length && a.every(({ number }, index) => number === b[index]?.number)
}
