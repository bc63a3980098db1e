import { RametError } from '../router/errors.ts'
import type { Link } from '../router/link.ts'
import type { Router } from '../router/router.ts'
import type { Contexts } from './contexts.ts'
import type { ContextCore } from './core.ts'
import type { LogBook } from './logs.ts'

/** Frames of one context that are refused and logged before it is given up: a flood of them would be a flood of records. */
export const MAX_REFUSED = 20

/** Frames that no rule allows have been dropped: each is logged, and whoever goes on with it is given up. */
export class Refusals {
  private readonly contexts: Contexts
  private readonly router: Router
  private readonly book: LogBook
  private readonly counts = new WeakMap<ContextCore, number>()

  constructor(contexts: Contexts, router: Router, book: LogBook) {
    this.contexts = contexts
    this.router = router
    this.book = book
  }

  /** `src` is the context that the frame says it is of. */
  refused(message: string, link: Link, src: number): void {
    const neighbour = this.contexts.at(link)
    // What was on its way from a context that has just been closed is no attack.
    if (neighbour === undefined || neighbour.state === 'closed') return
    const route = this.router.routeTo(src)
    if (route === undefined && this.contexts.knew(src)) return
    // A source that lies there has done it itself. Any other is the neighbour's lie, which ought to have refused it.
    const guilty = route?.link === link ? this.contexts.cores.get(src) : neighbour
    if (guilty !== undefined) this.count(guilty, message)
  }

  private count(guilty: ContextCore, message: string): void {
    const { path } = guilty
    const count = (this.counts.get(guilty) ?? 0) + 1
    this.counts.set(guilty, count)
    if (count <= MAX_REFUSED) {
      this.book.write('warn', { context: path.join(' > '), code: 'not-allowed' }, message)
      return
    }
    guilty.lost(new RametError('not-allowed', `${path.join(' > ')} went on with what is refused: ${message}`, {
      path, outcome: 'unknown', hint: 'A stub of ours does not do that: find out who runs there.' }))
  }
}
