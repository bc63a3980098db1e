import { connect, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import type { Clock } from '../../base/clock.ts'
import { deferred } from '../../base/deferred.ts'
import type { Door, Wire } from './contender.ts'

/**
 * Milliseconds that bytes are held in each direction. What comes back while ours are still held can be no answer to them: that tells
 * round trips from packets that only follow one another, also with a target that is as near as loopback.
 */
const HOLD = 15
/** Milliseconds that they are held at most. */
const LONGEST = 100
/** Bytes of a TCP segment on Ethernet, with timestamps. */
const SEGMENT = 1448
/** Times that quiet is waited for. */
const PATIENCE = 25

/** A TCP relay on 127.0.0.1 that counts what passes between us and the target. It is slow on purpose: nothing is timed through it. */
export class CountingRelay {
  state: 'open' | 'closed' = 'open'
  /** Milliseconds, as below. */
  hold: number = HOLD
  readonly door: Door
  readonly counts: Wire = noWire()
  /** Milliseconds of each TCP handshake with the target, names resolved. */
  readonly handshakes: number[] = []
  readonly #target: Door
  readonly #clock: Clock
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(server: Server, port: number, target: Door, clock: Clock) {
    this.#server = server
    this.#clock = clock
    this.#target = target
    this.door = { host: '127.0.0.1', port }
    server.on('connection', (near) => this.#accept(near))
  }

  static start(target: Door, clock: Clock): Promise<CountingRelay> {
    const server = createServer({ noDelay: true, allowHalfOpen: true })
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(0, '127.0.0.1', () => {
        const address = server.address()
        if (typeof address === 'object' && address !== null) resolve(new CountingRelay(server, address.port, target, clock))
      })
    })
  }

  /** What passed since the counts were these. Waits until the last bytes have. */
  async since(before: Wire): Promise<Wire> {
    for (let turn = 0, seen = -1; turn < PATIENCE && seen !== this.#total; turn++) {
      seen = this.#total
      const { promise, resolve } = deferred<void>()
      this.#clock.after(quietAfter(this.hold), resolve)
      await promise
    }
    return combine(this.counts, before, -1)
  }

  async close(): Promise<void> {
    if (this.state === 'closed') return
    this.state = 'closed'
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => void this.#server.close(resolve))
  }

  get #total(): number {
    const { bytesIn, bytesOut, connections } = this.counts
    return bytesIn + bytesOut + connections
  }

  #accept(near: Socket): void {
    const { counts } = this
    const clock = this.#clock
    const far = connect({ ...this.#target, allowHalfOpen: true })
    far.setNoDelay(true)
    let from = clock.now()
    far.once('lookup', () => {
      from = clock.now()
    })
    far.once('connect', () => this.handshakes.push(clock.now() - from))
    counts.connections++
    counts.roundTrips++
    // How many answers had to be waited for until the bytes that each side has got by now could be sent.
    let [there, here] = [0, 0]
    this.#pass(near, far, (length) => {
      counts.bytesOut += length
      counts.packetsOut += Math.ceil(length / SEGMENT)
      const sent = here
      return () => {
        there = Math.max(there, sent + 1)
      }
    })
    this.#pass(far, near, (length) => {
      counts.bytesIn += length
      counts.packetsIn += Math.ceil(length / SEGMENT)
      const answer = there
      return () => {
        counts.roundTrips += Math.max(0, answer - here)
        here = Math.max(here, answer)
      }
    })
  }

  /** `passing` hears of bytes that come, and gives what is to be done when they leave. */
  #pass(from: Socket, to: Socket, passing: (length: number) => () => void): void {
    this.#sockets.add(from)
    const held: (() => void)[] = []
    // What was held for longer is not overtaken by what comes after it.
    const hold = (leave: () => void): void => {
      held.push(leave)
      this.#clock.after(this.hold, () => held.shift()!())
    }
    from.on('data', (bytes: Buffer) => {
      const leave = passing(bytes.length)
      hold(() => {
        leave()
        if (!to.destroyed && !to.write(bytes)) from.pause()
      })
    })
    to.on('drain', () => from.resume())
    from.on('end', () => hold(() => to.end()))
    // What ends one side at once ends the other: a relay that hides a reset would hide a fault.
    from.on('error', () => to.destroy())
    from.on('close', () => {
      this.#sockets.delete(from)
      this.#clock.after(2 * this.hold, () => to.destroy())
    })
  }
}

/**
 * Milliseconds to hold bytes so that round trips are not taken for more than they are: while the target works on an answer, what we
 * send beside it must not arrive, or the answer would seem to have waited for that. `alone`: what the whole call takes.
 */
export function holdFor(alone: number): number {
  return Math.min(LONGEST, Math.max(HOLD, alone))
}

/** Milliseconds without a byte after which a call's traffic is over. */
function quietAfter(hold: number): number {
  return 2 * hold + 10
}

/** Milliseconds that counting one kind of call takes, about, in the calls that `count` makes. */
export function timeToCount({ each, fresh }: { each: number; fresh: boolean }): number {
  const [calls, trips, opening] = fresh ? [2, 8, 0] : [3, 2, 200]
  const hold = holdFor(each)
  return calls * each + 2 * trips * ((calls - 1) * HOLD + hold) + 4 * quietAfter(hold) + opening
}

function noWire(): Wire {
  return { connections: 0, bytesOut: 0, bytesIn: 0, packetsOut: 0, packetsIn: 0, roundTrips: 0 }
}

/** One and so many times the other. */
export function combine(one: Wire, other: Wire, times: number): Wire {
  return mapped((name) => one[name] + other[name] * times)
}

export function divided(wire: Wire, by: number): Wire {
  return mapped((name) => wire[name] / by)
}

function mapped(value: (name: keyof Wire) => number): Wire {
  return Object.fromEntries((Object.keys(noWire()) as (keyof Wire)[]).map((name) => [name, value(name)])) as unknown as Wire
}
