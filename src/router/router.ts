import type { Clock } from '../base/clock.ts'
import { Channel, type ChannelHandler, type Route } from './channel.ts'
import { Budget } from './credit.ts'
import { RametError, withOutcome } from './errors.ts'
import type { Frame } from './frame.ts'
import { Link, type LinkOptions, type LinkOwner } from './link.ts'
import type { Pipe } from './pipe.ts'
import { FLAG, MAX_MESSAGE, MAX_PROCESS, MIN_PIECE, NEIGHBOUR, type Reason, TYPE } from './protocol.ts'
import { encodeReset, resetError } from './reset.ts'

/** What the process that owns a router does with what concerns it alone. */
export interface RouterOwner {
  /** A channel was opened to us by an ancestor: answer it by setting `channel.handler`. Undefined where nobody may call. */
  opened?(channel: Channel, message: Uint8Array): void
  /** A frame between neighbours: HELLO, ROUTE, GOAWAY, OFFER, PUSH, NEED. */
  neighbour(frame: Frame, link: Link): void
  /** A link ended; its channels have been told already. */
  lost(link: Link, cause: RametError): void
  responsive?(link: Link, responsive: boolean): void
  /** Frames of channels whose end is in the Worker. Undefined: they are handled here. */
  lane?(frame: Frame): void
  /** A frame of the Worker's passed on its way up. */
  passed?(frame: Frame): void
  /** A frame for a context that is not known here (yet). True: it is kept. */
  unrouted?(frame: Frame): boolean
  /** A frame that no rule allows was dropped; `src`: the context that it says it is of. */
  refused(message: string, link: Link, src: number): void
}

/**
 * The engine: links, routes, channels. The same in every process of the tree; a controller has no parent link, a leaf no
 * child link, a hop both.
 */
export class Router implements LinkOwner {
  state: 'open' | 'closed' = 'open'
  id: number
  readonly clock: Clock
  maxMessage: number
  /** The link towards the controller; undefined in the controller itself. */
  parent: Link | undefined
  private readonly owner: RouterOwner
  private readonly routes = new Map<number, Route>()
  /** Links whose frames carry this context's own id: its Worker. */
  private readonly lanes = new Set<Link>()
  protected readonly channels = new Map<number, Map<number, Channel>>()
  private readonly budget = new Budget(MAX_PROCESS)
  private nextChannel = 1

  constructor(owner: RouterOwner, options: { id: number; clock: Clock; maxMessage?: number | undefined }) {
    this.owner = owner
    this.id = options.id
    this.clock = options.clock
    this.maxMessage = options.maxMessage ?? MAX_MESSAGE
  }

  /** Adds a neighbour. `route` is the id of the context at its far end; the parent and lanes have none. */
  addLink(pipe: Pipe, kind: 'parent' | 'child' | 'lane', options: Omit<LinkOptions, 'clock' | 'processBudget'>, route?: number): Link {
    const link = new Link(pipe, this, { ...options, clock: this.clock, processBudget: this.budget })
    if (kind === 'parent') this.parent = link
    if (kind === 'lane') this.lanes.add(link)
    if (route !== undefined) this.addRoute(route, link)
    link.open()
    return link
  }

  /** From now on frames for the context `id` leave by this route, and are believed to be of it when they come that way. */
  addRoute(id: number, route: Route): void {
    route.down.short = route.up.short = () => this.settle(route)
    this.routes.set(id, route)
  }

  routeTo(id: number): Route | undefined {
    return this.routes.get(id)
  }

  /** The link towards a context. */
  linkTo(id: number): Link | undefined {
    return this.routes.get(id)?.link ?? (this.lanes.size > 0 && id === this.id ? undefined : this.parent)
  }

  get openChannels(): number {
    let count = 0
    for (const channels of this.channels.values()) count += channels.size
    return count
  }

  /**
   * Opens a channel to a descendant. Throws RametError 'no-route' or 'message-too-large'.
   * `user`: its far end is the context's Worker. `fin`: we send only this message.
   */
  open(dst: number, message: Uint8Array, handler: ChannelHandler, fin: boolean, user: boolean): Channel {
    const channel = this.prepare(dst, message.length, handler, user)
    channel.open(message, fin)
    return channel
  }

  /** The same without sending anything: the channel's open() does. `size`: bytes of its first message. */
  prepare(dst: number, size: number, handler: ChannelHandler, user: boolean): Channel {
    const route = this.routes.get(dst)
    if (route === undefined || route.link.state === 'closed') {
      throw new RametError('no-route', `context ${dst} is not connected`, { outcome: 'not-sent' })
    }
    if (size > this.maxMessage) {
      throw new RametError('message-too-large', `${size} bytes were to be sent to ${route.path.join(' > ')}; the limit is ${this.maxMessage}`, {
        path: route.path,
        outcome: 'not-sent',
      })
    }
    const channels = this.channelsOf(dst)
    while (this.nextChannel === 0 || channels.has(this.nextChannel)) this.nextChannel = (this.nextChannel + 1) >>> 0
    const id = this.nextChannel
    this.nextChannel = (id + 1) >>> 0
    const channel = new Channel(this, route, dst, id, true, user ? FLAG.USER : 0, this.firstWindow(route))
    channel.handler = handler
    channels.set(id, channel)
    return channel
  }

  /** Forgets a context and ends its channels. */
  removeRoute(id: number, cause: RametError): void {
    this.endChannels(id, cause)
    this.routes.delete(id)
  }

  /** Ends the channels to a context here, all but `kept`. */
  endChannels(id: number, cause: RametError, kept?: Channel): void {
    const unheard = this.routes.get(id)?.link.withdraw(id, this.id)
    const channels = this.channels.get(id)
    if (channels === undefined) return
    this.channels.delete(id)
    if (kept !== undefined && channels.delete(kept.id)) this.channelsOf(id).set(kept.id, kept)
    // Of those whose OPEN still waited in our own queue it is known that nothing ran.
    const unsent = withOutcome(cause, 'not-sent')
    for (const channel of channels.values()) channel.lose(unheard?.has(channel.id) === true ? unsent : cause)
  }

  close(): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    for (const { link } of this.routes.values()) link.close()
    for (const link of this.lanes) link.close()
    this.parent?.close()
  }

  // What links and channels ask for.

  now(): number {
    return this.clock.now()
  }

  received(frame: Frame, link: Link): void {
    if (frame.dst === NEIGHBOUR) {
      this.owner.neighbour(frame, link)
      return
    }
    if (!this.sourceFits(frame.src, link)) {
      this.owner.refused(`a frame of context ${frame.src} came over a link that does not lead there`, link, frame.src)
      return
    }
    if (frame.type > TYPE.CREDIT) throw new RametError('protocol-error', 'a neighbour\'s frame was addressed to a context', { path: link.path })
    if (frame.dst !== this.id) {
      if (this.lanes.has(link)) this.owner.passed?.(frame)
      this.forward(frame, link)
    } else if (this.owner.lane !== undefined && (frame.flags & FLAG.USER) !== 0 && !this.lanes.has(link) && link === this.parent) {
      this.owner.lane(frame)
    } else {
      this.mine(frame, link)
    }
  }

  lost(link: Link, cause: RametError): void {
    this.lanes.delete(link)
    if (link === this.parent) this.parent = undefined
    for (const [id, route] of this.routes) if (route.link === link) this.removeRoute(id, cause)
    for (const channels of this.channels.values()) {
      for (const channel of channels.values()) if (channel.link === link) channel.lose(cause)
    }
    this.owner.lost(link, cause)
  }

  responsive(link: Link, responsive: boolean): void {
    this.owner.responsive?.(link, responsive)
  }

  overflow(link: Link, frame: Frame): void {
    const { type, dst, src, channel } = frame
    const flags = frame.flags & FLAG.USER
    const unheard = type === TYPE.OPEN
    const text = `${link.path.join(' > ')} takes its bytes too slowly and was given up`
    if (!unheard) this.resetFrame(link, dst, src, channel, flags, 'overflow', text)
    const mine = src === this.id ? this.channels.get(dst)?.get(channel) : undefined
    if (mine !== undefined) {
      mine.lose(new RametError('overflow', text, { path: link.path, outcome: unheard ? 'not-sent' : 'unknown' }))
      return
    }
    // Another context's, or the Worker's.
    const back = this.linkTo(src)
    if (back !== undefined && back !== link) this.resetFrame(back, src, dst, channel, flags, 'overflow', text)
  }

  remove(channel: Channel): void {
    const channels = this.channels.get(channel.peer)
    if (channels?.get(channel.id) === channel) channels.delete(channel.id)
  }

  sendReset(link: Link, dst: number, channel: number, flags: number, reason: Reason, text: string): void {
    this.resetFrame(link, dst, this.id, channel, flags, reason, text)
  }

  /** Bytes of a route's budget (or its link's, or the process's) are waited for: whoever holds some idly gives them back. */
  private settle(route: Route): void {
    const { down, up } = route.link
    const shared = Math.min(down.free, up.free) < MIN_PIECE
    for (const channels of this.channels.values()) {
      for (const channel of channels.values()) {
        if (channel.route === route || (shared && channel.link === route.link) || this.budget.free < MIN_PIECE) channel.settle()
      }
    }
  }

  private resetFrame(link: Link, dst: number, src: number, channel: number, flags: number, reason: Reason, text: string): void {
    link.send(TYPE.RESET, flags, 0, dst, src, channel, encodeReset(reason, text))
  }

  /** 64 or 4 KiB, or 0 (ask for it): most answers are small, so a quarter of what is free stays for those who ask. */
  private firstWindow({ up }: Route): number {
    const { free } = up
    const exponent = free >= 2 ** 18 ? 16 : free >= 2 ** 14 ? 12 : 0
    if (exponent > 0) up.take(2 ** exponent, 2 ** exponent)
    return exponent
  }

  private sourceFits(src: number, link: Link): boolean {
    if (this.lanes.has(link)) return src === this.id
    const route = this.routes.get(src)?.link
    return link === this.parent ? route === undefined && src !== this.id : route === link
  }

  private forward(frame: Frame, from: Link): void {
    const to = this.routes.get(frame.dst)?.link ?? (from === this.parent ? undefined : this.parent)
    if (to !== undefined && to !== from) {
      // Siblings do not talk: what comes from below goes up, what comes from above goes down.
      if (to === this.parent || from === this.parent) {
        to.forward(frame, from === this.parent)
        return
      }
      this.owner.refused(`context ${frame.src} tried to reach its sibling ${frame.dst}`, from, frame.src)
    }
    if (from === this.parent && this.owner.unrouted?.(frame) === true) return
    if (frame.type === TYPE.OPEN) this.resetFrame(from, frame.src, frame.dst, frame.channel, frame.flags & FLAG.USER, 'no-route', 'it is not connected any more')
  }

  private mine(frame: Frame, link: Link): void {
    const channel = this.channels.get(frame.src)?.get(frame.channel)
    if (frame.type === TYPE.OPEN) {
      if (channel !== undefined) throw new RametError('protocol-error', 'a channel was opened twice', { path: link.path })
      this.accept(frame, link)
    } else if (frame.type === TYPE.RESET) {
      channel?.lose(resetError(frame.payload, channel.route.path))
    } else {
      // Frames of a channel that is closed here crossed our RESET or END: nobody is interested.
      channel?.receive(frame)
    }
  }

  private accept(frame: Frame, link: Link): void {
    if (link !== this.parent || this.owner.opened === undefined) {
      this.owner.refused(`context ${frame.src} tried to open a channel; only an ancestor may`, link, frame.src)
      this.resetFrame(link, frame.src, this.id, frame.channel, 0, 'not-allowed', 'only an ancestor may call')
      return
    }
    const channel = new Channel(this, link, frame.src, frame.channel, false, frame.flags, Math.min(frame.window, 24))
    this.channelsOf(frame.src).set(frame.channel, channel)
    const opened = (message: Uint8Array, ended: boolean, credit: number): void => {
      channel.handler = undefined
      this.owner.opened?.(channel, message)
      channel.consumed(credit)
      if (ended) (channel.handler as ChannelHandler | undefined)?.end(message.subarray(0, 0))
    }
    // Until the first message is whole, this handler gathers it.
    channel.handler = {
      message: (bytes, credit) => opened(bytes, false, credit),
      end: (bytes) => opened(bytes, true, 0),
      reset: () => {},
    }
    channel.receive(frame)
  }

  private channelsOf(peer: number): Map<number, Channel> {
    let channels = this.channels.get(peer)
    if (channels === undefined) {
      channels = new Map()
      this.channels.set(peer, channels)
    }
    return channels
  }
}
