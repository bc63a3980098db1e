import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { decode, encode } from '../../src/router/codec.ts'
import { encodeFrame, type Frame, FrameReader } from '../../src/router/frame.ts'
import { Link } from '../../src/router/link.ts'
import type { Pipe, PipeSink } from '../../src/router/pipe.ts'
import { OPEN_KIND, REASON, TYPE } from '../../src/router/protocol.ts'
import { memoryPipe } from '../helpers/memory-pipe.ts'
import { CHILD, Pair } from '../helpers/pair.ts'
import { settle, TestClock } from '../helpers/test-clock.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

function framesOf(written: Uint8Array[]): Frame[] {
  const frames: Frame[] = []
  const reader = new FrameReader()
  for (const bytes of written) reader.push(bytes, (frame) => frames.push(frame))
  return frames
}

const data = (channel: number, size: number): Parameters<Pair['down']['send']> => [TYPE.DATA, 0, 0, CHILD, 1, channel, new Uint8Array(size)]

describe('a link', () => {
  it('sends all frames of a tick in one write', async () => {
    const pair = new Pair()
    for (let i = 0; i < 10; i++) pair.down.send(TYPE.END, 0, 0, CHILD, 1, i, new Uint8Array(5))
    await settle()
    expect(pair.rootPipe.written).toHaveLength(1)
    expect(framesOf(pair.rootPipe.written)).toHaveLength(10)
  })

  it('keeps nothing of a large frame that has left', async () => {
    const sizes: number[] = []
    let large: WeakRef<ArrayBufferLike> | undefined
    const pipe: Pipe = {
      start() {}, pause() {}, resume() {}, end() {}, close() {}, pending: 0,
      write(bytes) {
        sizes.push(bytes.length)
        large ??= new WeakRef(bytes.buffer)
      },
    }
    const link = new Link(pipe, { received() {}, lost() {}, overflow() {}, responsive() {} }, { clock: new TestClock(), path: ['a'] })
    link.send(...data(1, 50_000))
    await settle()
    // What a WeakRef was asked for in one job is held until that is over.
    await new Promise(setImmediate)
    collectGarbage()
    expect(large?.deref()).toBeUndefined()
    link.send(...data(1, 5))
    await settle()
    expect(sizes).toEqual([50_020, 25])
  })

  it('lets control pass interactive and interactive pass bulk when the pipe is slow', async () => {
    const pair = new Pair()
    pair.rootPipe.hold()
    for (let i = 0; i < 4; i++) pair.down.send(...data(1, 30_000))
    await settle()
    const ahead = framesOf(pair.rootPipe.written).length
    pair.down.send(TYPE.OPEN, 0, 0, CHILD, 1, 50, new Uint8Array(1))
    pair.down.send(TYPE.CREDIT, 0, 0, CHILD, 1, 60, new Uint8Array(4))
    pair.rootPipe.release()
    await settle()
    const order = framesOf(pair.rootPipe.written).slice(ahead).map(({ type }) => type)
    expect(order.slice(0, 2)).toEqual([TYPE.CREDIT, TYPE.OPEN])
    expect(order.slice(2).every((type) => type === TYPE.DATA)).toBe(true)
  })

  it('takes turns between channels that send in bulk', async () => {
    const pair = new Pair()
    pair.rootPipe.hold()
    for (let i = 0; i < 6; i++) pair.down.send(...data(1, 30_000))
    for (let i = 0; i < 3; i++) pair.down.send(...data(2, 30_000))
    await settle()
    const ahead = framesOf(pair.rootPipe.written).length
    pair.rootPipe.release()
    await settle()
    const order = framesOf(pair.rootPipe.written).slice(ahead).map(({ channel }) => channel)
    expect(order.slice(0, 4)).toEqual([1, 2, 1, 2])
  })

  it('never lets the END of a channel pass its DATA', async () => {
    const pair = new Pair()
    pair.rootPipe.hold()
    for (let i = 0; i < 5; i++) pair.down.send(...data(7, 30_000))
    pair.down.send(TYPE.END, 0, 0, CHILD, 1, 7, new Uint8Array(0))
    pair.rootPipe.release()
    await settle()
    expect(framesOf(pair.rootPipe.written).map(({ type }) => type)).toEqual([2, 2, 2, 2, 2, TYPE.END])
  })

  it('keeps the order of a channel though its pipe says within write() that there is room again', async () => {
    let sink: PipeSink | undefined
    const written: Uint8Array[] = []
    let pending = 0
    const pipe: Pipe = {
      get pending() {
        return pending
      },
      start: (to) => void (sink = to),
      write: (bytes) => {
        written.push(bytes.slice())
        if (pending > 0) return
        sink?.drain()
      },
      pause() {}, resume() {}, end() {}, close() {},
    }
    const link = new Link(pipe, { received() {}, lost() {}, overflow() {}, responsive() {} }, { clock: new TestClock(), path: ['web1'] })
    link.open()
    // Nothing leaves at first; then everything does, in many writes.
    pending = 1_000_000
    for (let i = 0; i < 40; i++) link.send(TYPE.DATA, 0, 0, CHILD, 1, 7, new Uint8Array(20_000).fill(i))
    link.send(TYPE.END, 0, 0, CHILD, 1, 7, new Uint8Array(0))
    await settle()
    pending = 0
    sink?.drain()
    await settle()
    const frames = framesOf(written)
    expect(frames.map(({ type, payload }) => (type === TYPE.DATA ? payload[0] : type))).toEqual([...Array.from({ length: 40 }, (_, i) => i), TYPE.END])
    expect(written.length).toBeGreaterThan(5)
  })

  it('gives up the channel with most bytes when its queue is full, by name, and no other', async () => {
    const pair = new Pair()
    pair.rootPipe.hold()
    for (let i = 0; i < 10; i++) pair.down.send(...data(2, 30_000))
    for (let i = 0; i < 600; i++) pair.down.send(...data(1, 32_000))
    pair.rootPipe.release()
    await settle(200)
    const frames = framesOf(pair.rootPipe.written)
    expect(frames.filter(({ type, channel }) => type === TYPE.RESET && channel === 1).length).toBeGreaterThan(0)
    expect(frames.filter(({ type, channel }) => type === TYPE.DATA && channel === 2)).toHaveLength(10)
  })

  it('is unresponsive after one unanswered ping, lost after `count`, and well again when it answers in time', async () => {
    const pair = new Pair()
    const pass = async (intervals: number): Promise<void> => {
      for (let i = 0; i < intervals; i++) {
        pair.clock.advance(100)
        await settle()
      }
    }
    pair.down.watch({ interval: 100, count: 3 })
    pair.rootPipe.hold()
    await pass(1)
    expect(pair.responsive).toEqual([])
    await pass(1)
    expect(pair.responsive).toEqual([false])
    pair.rootPipe.release()
    await settle()
    expect(pair.responsive).toEqual([false, true])
    pair.rootPipe.hold()
    await pass(4)
    expect(pair.lost).toEqual([])
    await pass(1)
    expect(pair.lost).toHaveLength(1)
    expect(pair.lost[0]).toMatchObject({ code: 'link-lost', path: ['web1'], outcome: 'unknown' })
    expect(pair.clock.pending).toBe(0)
  })

  it('counts ticks, not time: a sleep of an hour is one miss', async () => {
    const pair = new Pair()
    pair.down.watch({ interval: 100, count: 3 })
    // The timer that fires late is what a process sees after a laptop slept.
    pair.clock.advance(100)
    await settle()
    expect(pair.lost).toEqual([])
    expect(pair.responsive).toEqual([])
  })

  it('measures the round trip', async () => {
    const pair = new Pair()
    pair.rootPipe.hold()
    pair.down.ping()
    pair.clock.advance(30)
    pair.rootPipe.release()
    await settle()
    expect(pair.down.rtt).toBe(30)
  })

  it('is ended by junk, by name', async () => {
    const pair = new Pair()
    pair.rootPipe.inject(new TextEncoder().encode('Last login: yesterday'))
    await settle()
    expect(pair.lost[0]).toMatchObject({ code: 'protocol-error' })
    expect(pair.lost[0]?.hint).toContain('login scripts')
  })
})

describe('trust', () => {
  const frame = (fields: Partial<Frame>): Uint8Array =>
    encodeFrame({ type: TYPE.DATA, flags: 0, window: 0, dst: 1, src: CHILD, channel: 1, payload: new Uint8Array(0), ...fields })

  it('drops a frame whose source does not live behind the link it came by', async () => {
    const pair = new Pair()
    pair.rootPipe.inject(frame({ src: 9, type: TYPE.OPEN }))
    pair.rootPipe.inject(frame({ src: 1, type: TYPE.END }))
    expect(pair.refused).toHaveLength(2)
    expect(pair.lost).toEqual([])
  })

  it('to where user code runs carries frames of that context alone', async () => {
    const pair = new Pair()
    const [here, there] = memoryPipe()
    pair.child.addLink(here, 'lane', { path: ['web1', 'worker'] })
    there.start({ data: () => {}, drain: () => {}, closed: () => {} })
    for (const src of [1, 9]) there.write(frame({ dst: 1, src, type: TYPE.END }))
    await settle()
    expect(pair.refused).toEqual([1, 9].map((src) => `a frame of context ${src} came over a link that does not lead there`))
    expect(framesOf(pair.childPipe.written)).toEqual([])
    there.write(frame({ dst: 1, src: CHILD, type: TYPE.END }))
    await settle()
    expect(pair.refused).toHaveLength(2)
    expect(framesOf(pair.childPipe.written)).toMatchObject([{ src: CHILD, dst: 1, type: TYPE.END }])
  })

  it('refuses a child that calls its parent', async () => {
    const pair = new Pair()
    pair.rootPipe.inject(frame({ type: TYPE.OPEN, payload: encode([OPEN_KIND.CALL, 1, 'run', []]) }))
    await settle()
    expect(pair.refused[0]).toContain('only an ancestor')
    const answer = framesOf(pair.rootPipe.written).find(({ type }) => type === TYPE.RESET)
    expect(decode(answer?.payload as Uint8Array)).toEqual([REASON['not-allowed'], 'only an ancestor may call'])
  })

  it('ends the link of a peer that sends beyond its credit', async () => {
    const pair = new Pair({ wait: () => new Promise(() => {}) })
    const call = pair.call('wait').catch((error: unknown) => error)
    await settle()
    for (let i = 0; i < 3; i++) pair.rootPipe.inject(frame({ payload: new Uint8Array(32_000) }))
    expect(await call).toMatchObject({ code: 'protocol-error' })
    expect(pair.lost[0]).toMatchObject({ code: 'protocol-error' })
  })

  it('ends the link of a peer that pings without end and reads no answer', async () => {
    const pair = new Pair()
    pair.rootPipe.hold()
    const pings = Buffer.concat(Array.from({ length: 2000 }, () => encodeFrame({ type: TYPE.PING, flags: 0, window: 0, dst: 0, src: 0, channel: 0, payload: new Uint8Array(8) })))
    for (let i = 0; i < 100 && pair.lost.length === 0; i++) pair.rootPipe.inject(new Uint8Array(pings))
    expect(pair.lost[0]).toMatchObject({ code: 'overflow', path: ['web1'] })
    expect(pair.down.queued).toBeLessThan(200_000)
  })

  it('ends the link on an answer that is no msgpack', async () => {
    const pair = new Pair({ wait: () => new Promise(() => {}) })
    const call = pair.call('wait').catch((error: unknown) => error)
    await settle()
    pair.rootPipe.inject(frame({ type: TYPE.END, payload: new Uint8Array([0xdd, 0xff, 0xff, 0xff, 0xff]) }))
    expect(await call).toMatchObject({ code: 'protocol-error' })
  })
})
