import { describe, expect, it } from 'vitest'
import type { RametError } from '../../src/router/errors.ts'
import { Link } from '../../src/router/link.ts'
import { PIPE_LOW_WATER, type Pipe, type PipeSink } from '../../src/router/pipe.ts'
import { MAX_BULK, TYPE } from '../../src/router/protocol.ts'
import { settle, TestClock } from '../helpers/test-clock.ts'

const KEEPALIVE = { interval: 1000, count: 4 }
const MIB = 1024 * 1024

/**
 * One end of a connection that carries `rate` bytes per ms, and whose way holds `room` bytes that have left here and not arrived:
 * an SSH window, and what operating systems keep. What finds no room there is pending.
 */
class WidePipe implements Pipe {
  pending = 0
  other!: WidePipe
  private readonly rate: number
  private readonly room: number
  private readonly queue: Uint8Array[] = []
  private bytes = 0
  private sink: PipeSink | undefined
  private full = false

  constructor(rate: number, room: number) {
    this.rate = rate
    this.room = room
  }

  start(sink: PipeSink): void {
    this.sink = sink
  }

  write(bytes: Uint8Array): void {
    this.queue.push(bytes.slice())
    this.bytes += bytes.length
    this.pending = Math.max(0, this.bytes - this.room)
    this.full ||= this.pending > PIPE_LOW_WATER
  }

  /** What arrives within so many ms. */
  carry(ms: number): void {
    for (let left = Math.min(this.bytes, ms * this.rate); left > 0; ) {
      const [first] = this.queue as [Uint8Array]
      const part = first.subarray(0, left)
      left -= part.length
      this.bytes -= part.length
      if (part.length === first.length) this.queue.shift()
      else this.queue[0] = first.subarray(part.length)
      this.other.sink?.data(part)
    }
    this.pending = Math.max(0, this.bytes - this.room)
    if (!this.full || this.pending > PIPE_LOW_WATER) return
    this.full = false
    this.sink?.drain()
  }

  pause(): void {}
  resume(): void {}
  end(): void {}
  close(): void {}
}

/** Two neighbours that watch each other. */
class Neighbours {
  readonly clock = new TestClock()
  readonly told: string[] = []
  readonly pipes: readonly [WidePipe, WidePipe]
  readonly links: readonly [Link, Link]

  constructor(rate: number, room: number) {
    this.pipes = [new WidePipe(rate, room), new WidePipe(rate, room)]
    this.pipes[0].other = this.pipes[1]
    this.pipes[1].other = this.pipes[0]
    this.links = [this.link('parent', 0), this.link('child', 1)]
    for (const link of this.links) {
      link.open()
      link.watch(KEEPALIVE)
    }
  }

  async pass(ms: number, step = 50): Promise<void> {
    for (let left = ms; left > 0; left -= step) {
      this.clock.advance(step)
      for (const pipe of this.pipes) pipe.carry(step)
      await settle(2)
    }
  }

  private link(name: string, end: 0 | 1): Link {
    const owner = {
      received: () => {},
      lost: (_link: Link, cause: RametError) => void this.told.push(`${name} lost its neighbour: ${cause.message}`),
      responsive: (_link: Link, responsive: boolean) => void this.told.push(`${name}'s neighbour ${responsive ? 'answers' : 'is silent'}`),
      overflow: () => {},
    }
    return new Link(this.pipes[end], owner, { clock: this.clock, path: ['web1'] })
  }
}

describe('a link whose way holds more than it carries within its whole limit', () => {
  it.each([['downwards', 0], ['upwards', 1]] as const)('lives through bulk that goes %s, to its last byte', async (_, from) => {
    const both = new Neighbours(200, 2 * MIB)
    const link = both.links[from]
    for (let i = 0; i < 6 * MIB; i += MAX_BULK) link.sendNeighbour(TYPE.PUSH, new Uint8Array(MAX_BULK))
    // 6 MiB take 31 s, and a PING has 10 s of them before it.
    await both.pass(60_000)
    expect(both.told).toEqual([])
    expect(both.links[1 - from]?.bytesIn).toBeGreaterThan(6 * MIB)
  })

  it('is given up within its limit when nothing comes any more, though bytes wait to leave', async () => {
    const both = new Neighbours(200, 2 * MIB)
    for (let i = 0; i < 6 * MIB; i += MAX_BULK) both.links[0].sendNeighbour(TYPE.PUSH, new Uint8Array(MAX_BULK))
    await both.pass(10_000)
    both.clock.advance(1000)
    for (let passed = 0; passed < 5000; passed += 100) {
      both.clock.advance(100)
      await settle(2)
    }
    expect(both.told.filter((line) => line.includes('lost'))).toHaveLength(2)
    expect(both.clock.pending).toBe(0)
  })
})

describe('a process that was busy when its timer fell due', () => {
  // Long enough to be late, and too short to say that it stood still.
  const BUSY = 1400

  it('finds a neighbour that has answered the last PING in time', async () => {
    const both = new Neighbours(200, 2 * MIB)
    for (let interval = 0; interval < KEEPALIVE.count; interval++) {
      both.clock.advance(KEEPALIVE.interval)
      await settle(2)
    }
    both.clock.jump(BUSY)
    for (const pipe of both.pipes) pipe.carry(BUSY)
    await settle(2)
    expect(both.told.filter((line) => line.includes('lost'))).toEqual([])
    await both.pass(5000)
    expect([...both.told].sort()).toEqual(["child's neighbour answers", "child's neighbour is silent", "parent's neighbour answers", "parent's neighbour is silent"])
  })
})

describe('whoever hears that a neighbour is silent', () => {
  it('may give the link up at once: it is told of no more, and nothing is left of the watch', async () => {
    const clock = new TestClock()
    const told: string[] = []
    const owner = {
      received: () => {},
      lost: () => void told.push('lost'),
      responsive: (link: Link, responsive: boolean) => {
        told.push(responsive ? 'answers' : 'is silent')
        link.close()
      },
      overflow: () => {},
    }
    const link = new Link(new WidePipe(1, MIB), owner, { clock, path: ['web1'] })
    link.open()
    link.watch(KEEPALIVE)
    for (let interval = 0; interval < 2; interval++) {
      clock.advance(KEEPALIVE.interval)
      await settle(2)
    }
    expect(clock.pending).toBe(0)
    expect(told).toEqual(['is silent', 'lost'])
  })
})
