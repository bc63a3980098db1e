import type { Clock } from '../base/clock.ts'
import type { RametError } from '../router/errors.ts'
import type { Reconnect } from './api.ts'
import { replace } from './context.ts'
import type { ContextCore } from './core.ts'
import type { LogBook } from './logs.ts'

/** Defaults of `reconnect`: ms before the first try, and before any later one at most. */
const DELAY = 1000
const MAX_DELAY = 30_000

/** Brings back contexts that were lost and whose owner asked for that. Work that was under way is never repeated. */
export class Reconnects {
  state: 'open' | 'closed' = 'open'
  private readonly clock: Clock
  private readonly book: LogBook
  private readonly random: () => number
  private readonly timers = new Map<ContextCore, () => void>()
  private readonly tries = new WeakMap<ContextCore, number>()

  constructor(clock: Clock, book: LogBook, random = Math.random) {
    this.clock = clock
    this.book = book
    this.random = random
  }

  /** A context was lost, or could not be reached again. Half to one and a half of the delay: a fleet must not come back in one moment. */
  lost(core: ContextCore, cause: RametError, connecting: boolean, { delay = DELAY, attempts = Infinity }: Reconnect, make: () => ContextCore): void {
    const tries = this.tries.get(core) ?? 0
    // The first attempt to connect has somebody who waits for it and hears that it failed.
    if (connecting && tries === 0) return
    if (this.state === 'closed' || core.handles === 0) return
    const context = core.path.join(' > ')
    // Nobody waits for a try. That it was lost in the first place has been said.
    if (tries > 0) this.book.write('warn', { context, code: cause.code }, cause.message)
    if (tries >= attempts) {
      if (tries > 0) this.book.write('warn', { context, code: cause.code }, `is not tried again (attempts: ${attempts})`)
      return
    }
    const wait = Math.min(MAX_DELAY, delay * 2 ** tries) * (0.5 + this.random())
    this.book.write('info', { context, code: cause.code }, `will be connected again in ${Math.round(wait)} ms`)
    const cancel = this.clock.after(wait, () => {
      this.timers.delete(core)
      try {
        const next = make()
        this.tries.set(next, tries + 1)
        next.ready.then(() => this.tries.delete(next), () => {})
        replace(core, next)
      } catch (error) {
        // Its hop is not there yet: that is one try, too.
        this.tries.set(core, tries + 1)
        this.lost(core, error as RametError, false, { delay, attempts }, make)
      }
    })
    this.timers.set(core, cancel)
  }

  /** Nobody waits for it any more. */
  forget(core: ContextCore): void {
    this.timers.get(core)?.()
    this.timers.delete(core)
  }

  close(): void {
    this.state = 'closed'
    for (const cancel of this.timers.values()) cancel()
    this.timers.clear()
  }
}
