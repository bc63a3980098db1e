interface Planned {
  time: number
  /** Those of one time run in the order in which they were planned. */
  order: number
  run: () => void
}

/** A clock that jumps from one event to the next. The same events in the same order give the same run. */
export class Events {
  #now = 0
  #planned = 0
  readonly #heap = new Heap<Planned>((a, b) => a.time - b.time || a.order - b.order)

  /** Milliseconds since the start. */
  get now(): number {
    return this.#now
  }

  in(milliseconds: number, run: () => void): void {
    this.#heap.push({ time: this.#now + milliseconds, order: this.#planned++, run })
  }

  /** Runs until nothing is planned any more. */
  run(): void {
    for (let next = this.#heap.pop(); next !== undefined; next = this.#heap.pop()) {
      this.#now = next.time
      next.run()
    }
  }
}

/** A binary heap: the least comes out first. */
export class Heap<T> {
  readonly #items: T[] = []
  readonly #compare: (a: T, b: T) => number

  constructor(compare: (a: T, b: T) => number) {
    this.#compare = compare
  }

  get least(): T | undefined {
    return this.#items[0]
  }

  push(item: T): void {
    const items = this.#items
    let at = items.length
    while (at > 0) {
      const above = (at - 1) >> 1
      const other = items[above] as T
      if (this.#compare(other, item) <= 0) break
      items[at] = other
      at = above
    }
    items[at] = item
  }

  pop(): T | undefined {
    const items = this.#items
    const least = items[0]
    const last = items.pop()
    if (last === undefined || items.length === 0) return least
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      if (below >= items.length) break
      if (below + 1 < items.length && this.#compare(items[below + 1] as T, items[below] as T) < 0) below++
      const other = items[below] as T
      if (this.#compare(last, other) <= 0) break
      items[at] = other
      at = below
    }
    items[at] = last
    return least
  }
}

/** Numbers from 0 to 1 that depend on the seed alone (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
