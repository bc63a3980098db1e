import { deferred } from '../base/deferred.ts'
import { orAborted } from '../base/or-aborted.ts'

/**
 * Logins at once from one machine to one server. OpenSSH turns away some of those that come when ten are under way
 * (MaxStartups 10:30:100), whoever they are.
 */
const AT_ONCE = 8

/** A login's place in the queue. */
export interface Turn {
  /** Resolves when it may begin, at once if it has begun before. Rejects with the signal's reason. */
  begin(signal: AbortSignal): Promise<void>
  /** It has succeeded or failed, or was given up. Harmless when repeated. */
  done(): void
}

interface Place {
  active: number
  waiting: Set<() => void>
}

/** Spreads the logins that leave from, or pass through, one machine. */
export class Pace {
  private readonly places = new Map<string, Place>()

  turn(name: string): Turn {
    let state: 'new' | 'waiting' | 'active' | 'done' = 'new'
    const { promise, resolve } = deferred<void>()
    const enter = (): void => {
      state = 'active'
      place.active++
      resolve()
    }
    let place: Place
    return {
      begin: (signal) => {
        if (state === 'new') {
          place = this.place(name)
          state = 'waiting'
          if (place.active < AT_ONCE) enter()
          else place.waiting.add(enter)
        }
        return orAborted(promise, signal)
      },
      done: () => {
        const before = state
        state = 'done'
        if (before === 'waiting') place.waiting.delete(enter)
        if (before !== 'active') return
        place.active--
        const [next] = place.waiting
        if (next !== undefined) {
          place.waiting.delete(next)
          next()
        } else if (place.active === 0) this.places.delete(name)
      },
    }
  }

  private place(name: string): Place {
    let place = this.places.get(name)
    if (place === undefined) this.places.set(name, (place = { active: 0, waiting: new Set() }))
    return place
  }
}
