import { Queue } from '../base/queue.ts'

/**
 * Calls of one context leave in the order in which they were made, though the code of some is still to be read: a call waits
 * until that of those before it has been read or given up, and not for their results.
 */
export class Turns {
  private readonly waiting = new Queue<{ go: (() => void) | undefined }>()

  /** Nobody is before a call that is ready now. */
  get idle(): boolean {
    return this.waiting.length === 0
  }

  /**
   * Takes the next place. What is returned has to be called once: its `go`, which must not throw, is run when the place has come
   * to the front, at once or later.
   */
  take(): (go: () => void) => void {
    const place: { go: (() => void) | undefined } = { go: undefined }
    this.waiting.push(place)
    return (go) => {
      place.go = go
      for (let first = this.waiting.peek()?.go; first !== undefined; first = this.waiting.peek()?.go) {
        this.waiting.shift()
        first()
      }
    }
  }
}

const all = new WeakMap<object, Turns>()

/** Those of one context, whichever of its handles is asked. */
export function turnsOf(context: object): Turns {
  let turns = all.get(context)
  if (turns === undefined) all.set(context, turns = new Turns())
  return turns
}
