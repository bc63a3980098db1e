import type { Clock } from '../../base/clock.ts'
import type { Sink } from '../sink.ts'

/** Quick runs show nothing: a line that flashes up helps nobody. Milliseconds. */
const FIRST = 250
const EVERY = 250

/**
 * One line at the foot of a terminal that is rewritten in place. Whoever writes something else to the terminal does it inside
 * `aside`, so that the line is out of the way.
 */
export class StatusLine {
  state: 'hidden' | 'shown' | 'held' | 'closed' = 'hidden'
  readonly #stderr: Sink
  readonly #clock: Clock
  readonly #text: () => string
  #stopTimer: () => void

  /** `text` gives the line, without newline and harmless to a terminal. */
  constructor(stderr: Sink, clock: Clock, text: () => string) {
    this.#stderr = stderr
    this.#clock = clock
    this.#text = text
    this.#stopTimer = clock.after(FIRST, () => this.#tick())
  }

  aside(write: () => void): void {
    const wasShown = this.state === 'shown'
    this.#erase()
    write()
    if (wasShown && this.state === 'hidden') this.#draw()
  }

  /** Keeps the line away until release(): a prompt owns the terminal. */
  hold(): void {
    this.#erase()
    if (this.state !== 'closed') this.state = 'held'
  }

  release(): void {
    if (this.state === 'held') this.state = 'hidden'
  }

  close(): void {
    this.#erase()
    this.state = 'closed'
    this.#stopTimer()
  }

  #tick(): void {
    // A terminal that takes nothing is not given the same line again and again.
    if (!this.#stderr.behind) {
      this.#erase()
      if (this.state === 'hidden') this.#draw()
    }
    this.#stopTimer = this.#clock.after(EVERY, () => this.#tick())
  }

  #draw(): void {
    // A line as wide as the terminal would wrap, and could not be erased.
    const text = [...this.#text()].slice(0, Math.max(1, this.#stderr.columns - 1)).join('')
    this.#stderr.write(text)
    this.state = 'shown'
  }

  #erase(): void {
    if (this.state !== 'shown') return
    this.#stderr.write('\r\u001b[2K')
    this.state = 'hidden'
  }
}
