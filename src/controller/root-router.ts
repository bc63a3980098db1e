import type { Route } from '../router/channel.ts'
import { isRametError, RametError } from '../router/errors.ts'
import type { Frame } from '../router/frame.ts'
import type { Link } from '../router/link.ts'
import { NEIGHBOUR } from '../router/protocol.ts'
import { Router, type RouterOwner } from '../router/router.ts'

export interface RootOwner extends RouterOwner {
  /** A context below a hop broke the rules of its channels. */
  broke(id: number, cause: RametError): void
}

/** The engine of a controller, where every channel begins: a link here may lead to many contexts, of which one must not cost the others. */
export class RootRouter extends Router {
  private readonly root: RootOwner
  private readonly far = new Map<Link, number>()

  constructor(owner: RootOwner, options: ConstructorParameters<typeof Router>[1]) {
    super(owner, options)
    this.root = owner
  }

  /** How many contexts below the neighbour a link leads to. */
  behind(link: Link): number {
    return this.far.get(link) ?? 0
  }

  override addRoute(id: number, route: Route): void {
    super.addRoute(id, route)
    if (route !== route.link) this.far.set(route.link, this.behind(route.link) + 1)
  }

  override removeRoute(id: number, cause: RametError): void {
    const route = this.routeTo(id)
    super.removeRoute(id, cause)
    if (route === undefined || route === route.link) return
    if (this.behind(route.link) > 1) this.far.set(route.link, this.behind(route.link) - 1)
    else this.far.delete(route.link)
  }

  /** What a neighbour does wrong costs its link. What a context behind it does wrong costs that context, and the link carries on. */
  override received(frame: Frame, link: Link): void {
    const { src, dst } = frame
    const route = dst === NEIGHBOUR ? undefined : this.routeTo(src)
    if (route === undefined || route === link || route.link !== link) {
      super.received(frame, link)
      return
    }
    try {
      super.received(frame, link)
    } catch (error) {
      this.root.broke(src, blamed(error, route))
    }
  }

  /** Every open channel with what it holds, for diagnosis. */
  describe(): { peer: number; channel: number; state: string; queued: number }[] {
    const all: { peer: number; channel: number; state: string; queued: number }[] = []
    for (const [peer, channels] of this.channels) {
      for (const channel of channels.values()) all.push({ peer, channel: channel.id, state: channel.state, queued: channel.queued })
    }
    return all
  }
}

function blamed(error: unknown, { path }: Route): RametError {
  const where = path.join(' > ')
  const { code, message, hint } = isRametError(error) ? error : new RametError('protocol-error', 'a frame could not be handled')
  return new RametError(code, message.startsWith(where) ? message : `${where}: ${message}`, {
    path, outcome: 'unknown', hint: hint || 'Connect again, and look at the target for what work under way had done.', cause: error })
}
