import { Queue } from '../../src/base/queue.ts'
import { type Events, Heap } from './events.ts'

interface Running {
  /** On the machine's own clock, which goes as fast as each of its threads gets on. */
  ends: number
  order: number
  done: () => void
}

/** Cores that all threads which have something to do share alike, as the kernel's scheduler sees to. */
export class Machine {
  readonly #events: Events
  readonly #cores: number
  readonly #running = new Heap<Running>((a, b) => a.ends - b.ends || a.order - b.order)
  #count = 0
  #order = 0
  /** What each thread has got on by since the start, ms. */
  #progress = 0
  #looked = 0
  /** The end that is planned, and for how fast a machine. Another plan makes it void. */
  #planned: { next: Running; speed: number } | undefined

  constructor(events: Events, cores: number) {
    this.#events = events
    this.#cores = cores
  }

  /** Takes so many ms of one core's time, and longer where more threads than cores want some. */
  work(milliseconds: number, done: () => void): void {
    this.#catchUp()
    this.#count++
    this.#running.push({ ends: this.#progress + milliseconds, order: this.#order++, done })
    this.#planNext()
  }

  #speed(): number {
    return Math.min(1, this.#cores / this.#count)
  }

  #catchUp(): void {
    if (this.#count > 0) this.#progress += (this.#events.now - this.#looked) * this.#speed()
    this.#looked = this.#events.now
  }

  #planNext(): void {
    const next = this.#running.least
    const speed = this.#speed()
    if (next === undefined || (this.#planned?.next === next && this.#planned.speed === speed)) return
    const plan = (this.#planned = { next, speed })
    this.#events.in(Math.max(0, next.ends - this.#progress) / speed, () => {
      if (plan === this.#planned) this.#end()
    })
  }

  #end(): void {
    this.#catchUp()
    const ended = this.#running.pop()
    if (ended === undefined) return
    // What was planned ends now, whatever a sum of fractions says.
    this.#progress = Math.max(this.#progress, ended.ends)
    this.#count--
    this.#planned = undefined
    this.#planNext()
    ended.done()
  }
}

/** A process that does one thing after the other, as Node's event loop does. */
export class Thread {
  readonly #machine: Machine
  readonly #waiting = new Queue<{ milliseconds: number; done: () => void }>()
  #state: 'idle' | 'busy' = 'idle'
  /** ms of CPU so far. */
  used = 0

  constructor(machine: Machine) {
    this.#machine = machine
  }

  work(milliseconds: number, done: () => void): void {
    this.#waiting.push({ milliseconds, done })
    if (this.#state === 'idle') this.#take()
  }

  #take(): void {
    const work = this.#waiting.shift()
    if (work === undefined) {
      this.#state = 'idle'
      return
    }
    this.#state = 'busy'
    this.used += work.milliseconds
    this.#machine.work(work.milliseconds, () => {
      work.done()
      this.#take()
    })
  }
}

/** Lets so many through at a time, in the order in which they came. */
export class Gate {
  readonly #waiting = new Queue<() => void>()
  #free: number

  constructor(atOnce: number) {
    this.#free = atOnce
  }

  enter(begin: () => void): void {
    if (this.#free > 0) {
      this.#free--
      begin()
    } else this.#waiting.push(begin)
  }

  leave(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free++
    else next()
  }
}
