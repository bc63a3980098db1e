import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Context } from '../../src/controller/api.ts'
import { encode } from '../../src/router/codec.ts'
import { encodeFrame, type Frame } from '../../src/router/frame.ts'
import type { Link } from '../../src/router/link.ts'
import { encodeNeed, unpackTexts } from '../../src/router/code-link.ts'
import { PACK, ROOT, TYPE } from '../../src/router/protocol.ts'
import type { MemoryPipe } from '../helpers/memory-pipe.ts'
import { NOTHING_LEFT, type ScriptedTarget, TrustTree } from '../helpers/trust-tree.ts'

/*
 * The link from a hop to the controller takes nothing for a while, and a leaf below the hop sends without end. What waits at the hop is
 * bounded, that leaf pays for it, and its sibling's words arrive when the link takes bytes again.
 */
let tree: TrustTree
let hop: Context
let good: Context
let bad: Context
let evil: ScriptedTarget
let uplink: MemoryPipe
let link: Link
let call: { done: () => void; answer: Promise<unknown> }

beforeEach(async () => {
  tree = new TrustTree()
  hop = await tree.connect('hop')
  good = await tree.below(hop, 'good')
  bad = await tree.below(hop, 'evil')
  evil = tree.evil('evil')
  call = await tree.waiting(good)
  uplink = tree.honest('hop').far
  link = tree.honest('hop').stub?.router.parent as Link
})

afterEach(async () => {
  uplink.release()
  call.done()
  expect(await tree.soon(call.answer)).toBe('well')
  expect([tree.state(hop), tree.state(good)]).toEqual(['connected', 'connected'])
  expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
})

/** Sends chunks of frames, at most `chunks`, until the leaf has lost its link; returns the most that waited at the hop. */
async function flood(chunks: number, make: (at: number) => Partial<Frame>, each = 400): Promise<number> {
  let most = 0
  let at = 0
  for (let i = 0; i < chunks && evil.far.state === 'open'; i++) {
    const frames: Uint8Array[] = []
    for (let n = 0; n < each; n++) {
      frames.push(encodeFrame({ type: TYPE.DATA, flags: 0, window: 0, dst: ROOT, src: tree.id(bad), channel: 1, payload: new Uint8Array(0), ...make(at++) }))
    }
    evil.near.inject(new Uint8Array(Buffer.concat(frames)))
    most = Math.max(most, link.queued)
    await tree.settle(1)
  }
  return most
}

describe('a leaf that floods its hop while the uplink takes nothing', () => {
  it.each([
    ['with CREDIT', 2000, () => ({ type: TYPE.CREDIT, payload: new Uint8Array(12) }), 3e6],
    ['with RESET', 2000, (at: number) => ({ type: TYPE.RESET, channel: at, payload: encode([1, 'x'.repeat(100)]) }), 4e6],
    ['with small replies', 4000, (at: number) => ({ type: TYPE.END, channel: at }), 6e6],
    ['with large replies', 100, (at: number) => ({ type: TYPE.END, channel: at, payload: new Uint8Array(32_000) }), 50e6],
    ['with data on one channel', 100, () => ({ payload: new Uint8Array(32_000) }), 30e6],
    ['with data on many channels', 100, (at: number) => ({ channel: 1e6 + at, payload: new Uint8Array(3000) }), 20e6],
    ['with slivers on many channels', 2000, (at: number) => ({ channel: 1e6 + at, payload: new Uint8Array(1) }), 5e6],
  ] as [string, number, (at: number) => Partial<Frame>, number][])('%s is given up, and nobody else', async (_with, chunks, make, bound) => {
    uplink.hold()
    const most = await flood(chunks, make)
    expect(most).toBeLessThan(bound)
    expect(evil.far.state).toBe('closed')
    // Nothing of it waits any longer, though the link has still taken nothing.
    expect(link.queued).toBeLessThan(300_000)
    uplink.release()
    await tree.settle()
    expect(tree.state(bad)).toBe('lost')
    expect(tree.warnings()).toContain('hop > docker:evil sent more than could be passed on, and was given up')
    expect(await bad.call(() => 1).catch((error: { code: string }) => error.code)).toBe('overflow')
  })

  it('costs no sibling a byte of what waits already', async () => {
    const stream = (await tree.soon(Promise.resolve(good.with({ isolate: 'none' }).call(async function* () {
      for (let i = 0; i < 40; i++) yield new Uint8Array(20_000).fill(i)
    })))) as AsyncIterableIterator<Uint8Array>
    uplink.hold()
    const before = tree.soon(stream.next())
    await tree.settle()
    await flood(100, (at) => ({ channel: 1e6 + at, payload: new Uint8Array(3000) }))
    expect(evil.far.state).toBe('closed')
    uplink.release()
    const items = [(await before).value?.[0]]
    for await (const item of stream) items.push(item[0])
    expect(items).toEqual(Array.from({ length: 40 }, (_, i) => i))
  })

  it('keeps no more than it sent alive: of a chunk of which little waits, little is kept', async () => {
    uplink.hold()
    evil.send({ type: TYPE.END, src: tree.id(bad), dst: ROOT, channel: 1, payload: new Uint8Array(60_000) })
    evil.send({ type: TYPE.END, src: tree.id(bad), dst: ROOT, channel: 1, payload: new Uint8Array(60_000) })
    await tree.settle()
    // One reply in each chunk waits; the rest of it is for the hop, which has no use for it.
    for (let i = 0; i < 400; i++) {
      const idle = encodeFrame({ type: TYPE.DATA, flags: 0, window: 0, dst: tree.id(hop), src: tree.id(bad), channel: 9, payload: new Uint8Array(60_000) })
      const reply = encodeFrame({ type: TYPE.END, flags: 0, window: 0, dst: ROOT, src: tree.id(bad), channel: i, payload: new Uint8Array(2) })
      evil.near.inject(new Uint8Array(Buffer.concat([reply, idle])))
    }
    const buffers = new Set<ArrayBufferLike>()
    link.sift(({ payload }) => (buffers.add(payload.buffer), false))
    expect([...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0)).toBeLessThan(2e6)
    expect(tree.state(bad)).toBe('connected')
  })
})

describe('a leaf that is printed by', () => {
  it('more than the controller takes costs its hop a bounded number of bytes, and the rest is counted', async () => {
    const child = tree.parent('hop').child(tree.id(bad))
    uplink.hold()
    for (let i = 0; i < 3000; i++) child?.['stray'](Buffer.from(`${'y'.repeat(9_999)}\n`))
    await tree.settle()
    expect(tree.honest('hop').stub?.router['channels'].get(ROOT)?.size).toBeGreaterThan(0)
    const queued = [...(tree.honest('hop').stub?.router['channels'].get(ROOT)?.values() ?? [])].reduce((sum, channel) => sum + channel.queued, 0)
    expect(queued + link.queued).toBeLessThan(500_000)
    uplink.release()
    await tree.settle(400)
    expect(tree.records.all.some(({ text }) => /^\(\d+ bytes of its output were dropped\)$/.test(text))).toBe(true)
  })
})

describe('a leaf that asks for its code', () => {
  it('again and again and takes none is given up before it costs its hop much', async () => {
    const { host } = tree.parent('hop')
    const child = tree.parent('hop').child(tree.id(bad))
    const hash = host.texts.add(randomBytes(300_000))
    child?.code['sent'].add(hash)
    evil.near.hold()
    for (let i = 0; i < 200 && evil.far.state === 'open'; i++) evil.send({ type: TYPE.NEED, payload: encodeNeed([hash]) })
    await tree.settle()
    expect(child?.code.modulesSent).toBeLessThan(70)
    expect(tree.state(bad)).toBe('lost')
    expect(await bad.call(() => 1).catch((error: { code: string }) => error.code)).toBe('overflow')
  })

  it('that it has had gets it uncompressed: asking is cheaper than compressing', async () => {
    const { host } = tree.parent('hop')
    const child = tree.parent('hop').child(tree.id(bad))
    const hash = host.texts.add(Buffer.from('x'.repeat(20_000)))
    child?.code['sent'].add(hash)
    evil.send({ type: TYPE.NEED, payload: encodeNeed([hash]) })
    await tree.settle()
    const push = evil.frames.filter(({ type }) => type === TYPE.PUSH).at(-1)
    expect([push?.payload[0], unpackTexts(push?.payload as Uint8Array)[0]?.length]).toEqual([PACK.STORED, 20_000])
  })
})
