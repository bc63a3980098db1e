import type { Clock } from '../base/clock.ts'
import type { ServiceHost } from '../modules/service.ts'
import type { CodeCache } from '../router/code-cache.ts'
import type { RametError } from '../router/errors.ts'
import type { Frame } from '../router/frame.ts'
import type { Link } from '../router/link.ts'
import type { Level } from '../router/protocol.ts'
import type { Router } from '../router/router.ts'

/** What makes a stub a hop: code that is sent only to contexts that get children. */
export interface Below {
  /** A frame of the parent's that concerns contexts below: ROUTE, OPEN for several, or a whole OFFER. */
  frame(frame: Frame): void
  /** A neighbour's frame that did not come from the parent. */
  neighbour(frame: Frame, link: Link): void
  lost(link: Link, cause: RametError): void
  /** A frame was dropped that no rule allows. */
  refused(message: string, link: Link, src: number): void
  responsive(link: Link, responsive: boolean): void
  /** Texts have come in. */
  arrived(): void
  /** Called when the stub ends, once its commands have: for what has to be gone, and at once. */
  readonly atEnd: Set<() => void>
  /** The stub ends, and waits for what this returns: commands that nobody else is left to end. Never rejects. */
  close(): Promise<void>
}

/** Modules as they are sent, by their hashes in this order. */
export interface Pack {
  key: string
  pack: Uint8Array
}

/** The stub, as the code that makes it a hop sees it. */
export interface HopHost extends ServiceHost {
  readonly clock: Clock
  readonly router: Router
  readonly texts: CodeCache
  /** The last push, as it came, and the hashes of its texts, joined. */
  readonly pushed: Pack | undefined
  /** The compressed stub, as it came here: what children are started with. */
  readonly image: Uint8Array
  below: Below | undefined
  /** Frames that came before `below` was there, in order. */
  readonly early: Frame[]
  /** Asks the parent for texts that it has offered; those that are on their way are not asked for again. */
  need(hashes: string[]): void
  /** Records for the controller. */
  readonly log: { write(level: Level, source: string, text: string): void }
}
