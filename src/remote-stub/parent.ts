import type { HopRequest } from '../connect/hop.ts'
import type { ServiceChannel } from '../modules/service.ts'
import { decodeOffer, packTexts, QUICK } from '../router/code-link.ts'
import { decode } from '../router/codec.ts'
import { RametError } from '../router/errors.ts'
import { readSeveral, sendSeveral, type Several } from '../router/fan-out.ts'
import type { Frame } from '../router/frame.ts'
import type { Link } from '../router/link.ts'
import { ROOT, TYPE } from '../router/protocol.ts'
import { Child, type ChildHome, type Connect } from './child.ts'
import type { Below, HopHost, Pack } from './hop-host.ts'
import { RawChild } from './raw-child.ts'
import { Uplink } from './uplink.ts'

/** Frames of one child that are refused and logged before it is given up: a flood of them would be a flood of records. */
const MAX_REFUSED = 20

/** What turns a stub into a hop: links to children, routes to what is behind them, code on its way to them. */
export class Parent implements Below, ChildHome {
  readonly host: HopHost
  readonly uplink: Uplink
  private readonly children = new Map<number, Child>()
  private readonly byLink = new Map<Link, Child>()
  /** Targets without an interpreter, by the ids that the controller gave them. */
  readonly raws = new Map<number, RawChild>()
  readonly atEnd = new Set<() => void>()
  private lastPack: Pack | undefined

  constructor(host: HopHost) {
    this.host = host
    this.uplink = new Uplink(host)
    host.below = this
    for (const frame of host.early.splice(0)) this.host.router.received(frame, host.router.parent as Link)
  }

  child(id: number): Child | undefined {
    return this.children.get(id)
  }

  frame(frame: Frame): void {
    if (frame.type === TYPE.ROUTE) this.route(frame)
    else if (frame.type === TYPE.OPEN) this.split(frame)
    else this.offer(frame.payload)
  }

  neighbour(frame: Frame, link: Link): void {
    this.byLink.get(link)?.neighbour(frame)
  }

  lost(link: Link, cause: RametError): void {
    this.byLink.get(link)?.lost(cause)
  }

  /** A source that lies there has done it itself; any other is our child's lie. Who goes on with it loses its link. */
  refused(message: string, link: Link, src: number): void {
    const { router, log } = this.host
    const child = this.byLink.get(link)
    const way = router.routeTo(src)?.link
    if (child === undefined) return
    child.refusals++
    // What was on its way from a context that has just been closed is no attack.
    const late = way === undefined && src !== router.id && src !== ROOT
    if (child.refusals <= MAX_REFUSED) log.write(late ? 'debug' : 'warn', 'ramet', message)
    else if (!late && (way !== link || src === child.id)) {
      link.close(new RametError('not-allowed', `${link.path.join(' > ')} went on with what is refused: ${message}`, {
        path: link.path, outcome: 'unknown', hint: 'A stub of ours does not do that: find out who runs there.' }))
    }
  }

  responsive(link: Link, responsive: boolean): void {
    this.byLink.get(link)?.responsive(responsive)
  }

  arrived(): void {
    for (const child of this.children.values()) child.arrived()
  }

  /** Everything below hears that it is over. It would by the end of its input, too, but we may have commands to wait for. */
  async close(): Promise<void> {
    for (const child of this.children.values()) child.leave()
    await Promise.all(Array.from(this.raws.values(), (raw) => raw.close()))
    for (const remove of this.atEnd) remove()
  }

  pack(hashes: readonly string[], again: boolean): Uint8Array {
    // A child that asks over and over must not keep us busy: compressing takes far longer than asking.
    if (again) return packTexts(this.textsOf(hashes), 0)
    const key = hashes.join()
    // What came as one goes on as it came: compressing it again would take longer than all else that makes a hop.
    if (this.host.pushed?.key === key) this.lastPack = this.host.pushed
    // Fifty children that are offered the same get the same pack, compressed once.
    if (this.lastPack?.key !== key) this.lastPack = { key, pack: packTexts(this.textsOf(hashes), QUICK) }
    return this.lastPack.pack
  }

  private textsOf(hashes: readonly string[]): Uint8Array[] {
    return hashes.map((hash) => this.host.texts.get(hash) as Uint8Array)
  }

  gone(child: Child): void {
    this.children.delete(child.id)
    this.byLink.delete(child.link)
  }

  /** [id, behind, hello]: a context lies behind another, or here when that is us; [id, 0]: it is gone. */
  private route(frame: Frame): void {
    const { router } = this.host
    const [id, behind, hello] = decode(frame.payload) as [number, number, Uint8Array]
    if (behind === router.id) {
      const child = new Child(id, hello, this)
      this.children.set(id, child)
      this.byLink.set(child.link, child)
      return
    }
    const child = this.children.get(id)
    if (child !== undefined) {
      child.close()
      return
    }
    const way = router.routeTo(behind === 0 ? id : behind)
    if (way === undefined) return
    if (behind === 0) router.removeRoute(id, new RametError('closed', 'the context was closed'))
    else router.addRoute(id, way.link)
    way.link.sendNeighbour(TYPE.ROUTE, frame.payload)
  }

  /** One OPEN for several contexts: each gets its own, those behind one child together. */
  private split(frame: Frame): void {
    const { router } = this.host
    const { message, src, targets } = readSeveral(frame.payload)
    const ways = new Map<Link, Several['targets']>()
    for (const [dst, channel] of targets) {
      const link = router.routeTo(dst)?.link
      if (link === undefined) {
        // Ours, or one that has just been lost: the router knows what to say.
        router.received({ ...frame, dst, src, channel, payload: message }, router.parent as Link)
        continue
      }
      const way = ways.get(link)
      if (way === undefined) ways.set(link, [[dst, channel]])
      else way.push([dst, channel])
    }
    for (const [link, way] of ways) {
      if (way.length > 1 && sendSeveral(link, frame.flags, frame.window, { src, targets: way, message })) continue
      for (const [dst, channel] of way) link.send(TYPE.OPEN, frame.flags, frame.window, dst, src, channel, message)
    }
  }

  private offer(payload: Uint8Array): void {
    const { dsts, user, offers } = decodeOffer(payload)
    const ways = new Map<Child, number[]>()
    for (const dst of dsts) {
      const link = this.host.router.routeTo(dst)?.link
      const child = link === undefined ? undefined : this.byLink.get(link)
      if (child === undefined) continue
      const way = ways.get(child)
      if (way === undefined) ways.set(child, [dst])
      else way.push(dst)
    }
    for (const [child, way] of ways) {
      const lacking = child.code.lacking(offers.map(({ hash }) => hash))
      child.code.offer({ dsts: way, user, offers, pushed: new Set(lacking) })
      child.ship(lacking)
    }
  }
}

/** Opens a context below this one; its id has been announced by a ROUTE. Called by the controller, over a channel that lives as long as the context. */
export function openWith(channel: ServiceChannel, host: HopHost, request: HopRequest, connect: Connect): void {
  const parent = parentOf(host)
  const child = parent.child(request.id)
  if (child === undefined || child.state !== 'announced') throw new RametError('protocol-error', `context ${request.id} was not announced`)
  child.open(channel, request, connect)
}

/** The same for a target that is to have no interpreter: processes are started on it with start(). */
export function openRawWith(channel: ServiceChannel, host: HopHost, request: HopRequest, connect: Connect): void {
  const { raws } = parentOf(host)
  raws.set(request.id, new RawChild(channel, request, connect, host.clock, () => raws.delete(request.id)))
}

/** Runs a command line on a target without an interpreter. */
export function start(channel: ServiceChannel, host: HopHost, id: number, command: string): void {
  const raw = parentOf(host).raws.get(id)
  if (raw === undefined) throw new RametError('closed', `target ${id} is not connected`)
  raw.start(channel, command)
}

function parentOf(host: HopHost): Parent {
  return (host.below as Parent | undefined) ?? new Parent(host)
}
