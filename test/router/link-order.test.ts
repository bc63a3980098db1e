import { randomFillSync } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Frame, FrameReader } from '../../src/router/frame.ts'
import { Link } from '../../src/router/link.ts'
import { PIPE_LOW_WATER, type Pipe, type PipeSink } from '../../src/router/pipe.ts'
import { type FrameType, MAX_BULK, TYPE } from '../../src/router/protocol.ts'
import { TestClock } from '../helpers/test-clock.ts'

const CHANNELS = 3

/** A pipe that takes what it is told to take, and says that there is room when it is told to: from within write(), too. */
class WaywardPipe implements Pipe {
  pending = 0
  readonly written: Uint8Array[] = []
  /** What becomes of the bytes of a write: they are gone at once, or wait; and whether the writer hears of room meanwhile. */
  mood: 'takes' | 'holds' | 'takes and tells' | 'holds and tells' = 'takes'
  private sink: PipeSink | undefined

  start(sink: PipeSink): void {
    this.sink = sink
  }

  write(bytes: Uint8Array): void {
    const { mood } = this
    if (mood.endsWith('tells')) this.sink?.drain()
    this.written.push(bytes.slice())
    if (mood.startsWith('holds')) this.pending += bytes.length
    if (mood.endsWith('tells')) this.sink?.drain()
  }

  /** So many bytes leave. */
  pass(bytes: number): void {
    const before = this.pending
    this.pending = Math.max(0, before - bytes)
    if (before > PIPE_LOW_WATER && this.pending <= PIPE_LOW_WATER) this.sink?.drain()
  }

  pause(): void {}
  resume(): void {}
  end(): void {}
  close(): void {}
}

const payload = fc.oneof(fc.integer({ min: 0, max: 100 }), fc.integer({ min: 0, max: MAX_BULK })).map((size) => randomFillSync(new Uint8Array(size)))
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('send' as const), channel: fc.integer({ min: 1, max: CHANNELS }), bytes: payload }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('credit' as const), channel: fc.integer({ min: 1, max: CHANNELS }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), bytes: fc.integer({ min: 1, max: 200_000 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('mood' as const), mood: fc.constantFrom<WaywardPipe['mood']>('takes', 'holds', 'takes and tells', 'holds and tells') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('tick' as const) }) },
)

describe('a link over whatever pipe', () => {
  it('sends the frames of each channel in order, each once, with the bytes they were given', () => {
    fc.assert(fc.property(fc.array(step, { minLength: 20, maxLength: 80, size: 'max' }), (steps) => {
      const pipe = new WaywardPipe()
      const ticks: (() => void)[] = []
      const owner = { received() {}, lost() {}, overflow() {}, responsive() {} }
      const link = new Link(pipe, owner, { clock: new TestClock(), path: ['web1'], schedule: (flush) => void ticks.push(flush) })
      link.open()
      const sent = new Map<string, Uint8Array[]>()
      const send = (type: FrameType, channel: number, bytes: Uint8Array): void => {
        // Control frames of a channel may pass its others, and keep their order among themselves.
        const key = `${type === TYPE.CREDIT ? 'credit' : 'data'} ${channel}`
        sent.set(key, [...(sent.get(key) ?? []), Uint8Array.of(type, ...bytes)])
        link.send(type, 0, 0, 2, 1, channel, bytes)
      }
      const tick = (): void => {
        for (const flush of ticks.splice(0)) flush()
      }
      for (const what of steps) {
        if (what.do === 'send') send(TYPE.DATA, what.channel, what.bytes)
        else if (what.do === 'credit') send(TYPE.CREDIT, what.channel, randomFillSync(new Uint8Array(4)))
        else if (what.do === 'pass') pipe.pass(what.bytes)
        else if (what.do === 'mood') pipe.mood = what.mood
        else tick()
      }
      for (let channel = 1; channel <= CHANNELS; channel++) send(TYPE.END, channel, randomFillSync(new Uint8Array(20)))
      pipe.mood = 'takes'
      tick()
      pipe.pass(Infinity)
      tick()
      const arrived = new Map<string, Uint8Array[]>()
      const reader = new FrameReader()
      for (const bytes of pipe.written) {
        reader.push(bytes, ({ type, channel, payload: got }: Frame) => {
          const key = `${type === TYPE.CREDIT ? 'credit' : 'data'} ${channel}`
          arrived.set(key, [...(arrived.get(key) ?? []), Uint8Array.of(type, ...got)])
        })
      }
      expect([...arrived.keys()].sort()).toEqual([...sent.keys()].sort())
      for (const [key, frames] of sent) {
        const got = arrived.get(key) ?? []
        expect(got.length, key).toBe(frames.length)
        expect(got.findIndex((bytes, i) => !Buffer.from(bytes).equals(frames[i] as Uint8Array)), key).toBe(-1)
      }
      expect(link.queued).toBe(0)
    }), { numRuns: 100 })
  })
})
