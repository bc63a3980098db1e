import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { HOP_UP } from '../../src/connect/hop.ts'
import type { Connecting } from '../../src/controller/api.ts'
import { encodeNeed } from '../../src/router/code-link.ts'
import { encode } from '../../src/router/codec.ts'
import { writeSeveral } from '../../src/router/fan-out.ts'
import type { Frame } from '../../src/router/frame.ts'
import { FLAG, MAX_NEED, OPEN_KIND, ROOT, TYPE } from '../../src/router/protocol.ts'
import { besideEvilHop, type EvilScene } from '../helpers/trust-tree.ts'

/*
 * A hop that is not ours any more, as the controller sees it: it holds a context that the controller wants below it. Beside it another
 * machine, whose call goes on whatever the hop says.
 */
let { tree, other, hop, evil, says, end } = {} as EvilScene
let leaf: Connecting
const STATS = [1, 0, 0, 0, 0, 0, 0, 0]

beforeEach(async () => {
  ;({ tree, other, hop, evil, says, end } = await besideEvilHop())
  leaf = hop.connect('docker:leaf')
  leaf.catch(() => {})
  await tree.settle()
})

afterEach(() => end())

const failure = async (promise: Promise<unknown>): Promise<Record<string, unknown>> => {
  const error = (await tree.soon(promise.then(() => ({}), (reason: unknown) => reason))) as Record<string, unknown>
  return { code: error['code'], path: error['path'], outcome: error['outcome'] }
}

describe('a hop that says something that no hop of ours says', () => {
  it.each([
    ['nothing', []],
    ['a kind that is none', [99]],
    ['a stage that is none', [HOP_UP.STAGE, '\u001b[2J']],
    ['a question without a number', [HOP_UP.ASK, 'x', { ask: 'host' }]],
    ['printed output that is text', [HOP_UP.STRAY, 'text']],
    ['a HELLO that is text', [HOP_UP.HELLO, 'hello']],
    ['a HELLO of another form', [HOP_UP.HELLO, encode([1])]],
    ['a HELLO with huge strings', [HOP_UP.HELLO, encode([1, 'v', 'l', 'x', 'h'.repeat(5000)])]],
    ['a HELLO that is no msgpack', [HOP_UP.HELLO, new Uint8Array([0xc1])]],
    ['a sign of life that is none', [HOP_UP.RESPONSIVE, 1]],
    ['counters that are none', [HOP_UP.STATS, [1, 2, NaN, 4, 5, 6, 7, 8]]],
    ['too few counters', [HOP_UP.STATS, [1]]],
    ['a PONG that nobody asked for', [HOP_UP.PONG, 7, STATS]],
    ['a PONG without counters', [HOP_UP.PONG, 0]],
    ['a map', { 0: 4 }],
  ])('%s, loses the context that it speaks of', async (_what, message) => {
    if (Array.isArray(message)) says.up(...(message as unknown[]))
    else evil.send({ dst: ROOT, src: tree.id(hop), channel: evil.opened(OPEN_KIND.SERVICE)?.channel ?? 0, payload: encode(message) })
    expect(await failure(leaf)).toEqual({ code: 'protocol-error', path: ['evil', 'docker:leaf'], outcome: 'unknown' })
    expect(tree.state(hop)).toBe('connected')
  })

  it('is borne whatever it says', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.anything(), { maxLength: 4 }), fc.integer({ min: 0, max: 9 }), async (rest, kind) => {
      const next = hop.connect('docker:leaf', { fresh: true })
      next.catch(() => {})
      await tree.settle(6)
      try {
        says.up(kind, ...rest)
      } catch {
        // What cannot be encoded cannot be said.
      }
      await tree.settle(6)
      expect([tree.state(hop), tree.state(other)]).toEqual(['connected', 'connected'])
      expect(tree.warnings().every((text) => text === JSON.parse(JSON.stringify(text)) && !text.includes('\u001b'))).toBe(true)
    }), { numRuns: 60 })
  })

  it('says HELLO twice, and loses the context that is connected by then', async () => {
    says.hello()
    await tree.soon(leaf)
    says.hello()
    await tree.settle()
    expect(await failure(leaf.call(() => 1))).toMatchObject({ code: 'protocol-error' })
    expect(tree.warnings().at(-1)).toContain('evil > docker:leaf is below a hop that said something that no hop of ours says')
  })
})

describe('a hop that asks', () => {
  it('for a signature or a password once the context is connected, gets a refusal and a record', async () => {
    says.hello()
    await tree.soon(leaf)
    says.up(HOP_UP.ASK, 1, { ask: 'become', text: 'Password:' })
    await tree.settle()
    expect(tree.warnings()).toEqual(['evil > docker:leaf is below a hop that asks what nobody expects'])
    for (let i = 0; i < 30; i++) says.up(HOP_UP.ASK, i, { ask: 'host', proof: {} })
    await tree.settle()
    expect(tree.warnings().length).toBeLessThan(25)
    expect(await failure(leaf.call(() => 1))).toMatchObject({ code: 'not-allowed' })
    expect(tree.state(hop)).toBe('connected')
  })

  it('without end loses the context, also where it waits for each answer', async () => {
    const answers = (): number => evil.frames.filter(({ type }) => type === TYPE.DATA).length
    const before = answers()
    for (let i = 0; i < 300; i++) {
      says.up(HOP_UP.ASK, i, { ask: 'host', proof: {} })
      await tree.settle(6)
    }
    expect(answers() - before).toBeGreaterThan(50)
    expect(answers() - before).toBeLessThan(150)
    expect(await failure(leaf)).toMatchObject({ code: 'not-allowed' })
  })

  it('without end loses the context, and gets no further', async () => {
    for (let i = 0; i < 500; i++) says.up(HOP_UP.ASK, i, { ask: 'host', proof: {} })
    expect(await failure(leaf)).toMatchObject({ code: 'not-allowed' })
    expect(tree.records.all.length).toBeLessThan(130)
  })
})

describe('what a hop reports', () => {
  it('of a failure is shown without its control characters, and its stage is one that there is', async () => {
    says.up(HOP_UP.FAILED, ['link-lost', `\u001b]0;owned\u0007\u001b[2J${'x'.repeat(40_000)}`, '\u001b[31m', 'never', '\u001b[1m hint'])
    evil.send({ type: TYPE.END, dst: ROOT, src: tree.id(hop), channel: evil.opened(OPEN_KIND.SERVICE)?.channel ?? 0 })
    const error = (await tree.soon(leaf.then(() => undefined, (reason: unknown) => reason))) as { message: string; hint: string; stage: string; outcome: string }
    expect(error.message + error.hint + error.stage).not.toMatch(/[\u0000-\u001f]/)
    expect(error.message.length).toBeLessThan(5000)
    expect(error).toMatchObject({ code: 'link-lost', outcome: 'unknown', path: ['evil', 'docker:leaf'] })
  })

  it('of a context that it has lost is heard at once, though the hop may never say that nothing of it is left', async () => {
    says.hello()
    const context = await tree.soon(leaf)
    const call = failure(context.with({ isolate: 'none' }).call(() => 1))
    await tree.settle()
    says.up(HOP_UP.FAILED, ['link-lost', 'it has not answered for 60 s', null, 'unknown', 'Connect again.'])
    await tree.settle()
    expect(tree.state(context)).toBe('lost')
    expect(await call).toEqual({ code: 'link-lost', path: ['evil', 'docker:leaf'], outcome: 'unknown' })
    // Another may take its place meanwhile.
    const next = hop.connect('docker:leaf')
    next.catch(() => {})
    await tree.settle()
    expect(tree.controller.stats().links.map(({ state }) => state)).toEqual(['connected', 'connected', 'lost', 'connecting'])
    await tree.pass(10_000)
    expect(tree.controller.stats().links.map(({ state }) => state)).toEqual(['connected', 'connected', 'connecting'])
  })

  it('in the words of a RESET is shown without its control characters in the log', async () => {
    says.hello()
    await tree.soon(leaf)
    evil.send({ type: TYPE.RESET, dst: ROOT, src: tree.id(hop), channel: evil.opened(OPEN_KIND.SERVICE)?.channel ?? 0, payload: encode([3, 'bye\u001b[2J']) })
    await tree.settle()
    expect(tree.warnings().at(-1)).toContain('bye\\x1b[2J')
  })

  it('to be printed without end is a bounded number of records', async () => {
    for (let i = 0; i < 3000; i++) says.up(HOP_UP.STRAY, Buffer.from('noise\n'.repeat(10)))
    await tree.settle()
    expect(tree.records.all.filter(({ text }) => text === 'noise').length).toBeLessThanOrEqual(4000)
  })

  it('of life and death, ten thousand times, is a bounded number of records', async () => {
    says.hello()
    await tree.soon(leaf)
    for (let i = 0; i < 10_000; i++) says.up(HOP_UP.RESPONSIVE, i % 2 === 1)
    await tree.settle()
    expect(tree.records.all.length).toBeLessThanOrEqual(4100)
  })
})

/** The hop itself is lost, by this code, and the context below it with it. */
async function pays(code: string): Promise<boolean> {
  await tree.settle()
  expect(tree.state(hop)).toBe('lost')
  expect(tree.records.all.some(({ fields }) => fields['context'] === 'evil' && fields['code'] === code)).toBe(true)
  expect(await failure(leaf)).toMatchObject({ path: ['evil', 'docker:leaf'] })
  return true
}

describe('a neighbour of the controller', () => {
  it.each([
    ['ROUTE', { type: TYPE.ROUTE, payload: encode([99, 1, new Uint8Array(0)]) }, 'protocol-error'],
    ['OPEN for several', { type: TYPE.OPEN, payload: writeSeveral({ src: 1, targets: [[2, 5]], message: new Uint8Array(1) }) }, 'protocol-error'],
    ['a second HELLO', { type: TYPE.HELLO, payload: encode([1, 'v20', 'linux', 'x64', 'evil']) }, 'protocol-error'],
    ['GOAWAY', { type: TYPE.GOAWAY }, 'protocol-error'],
    ['OFFER', { type: TYPE.OFFER, payload: encode([[2], 0, []]) }, 'protocol-error'],
    ['PUSH', { type: TYPE.PUSH, payload: Buffer.from([0, 0x90]) }, 'protocol-error'],
    ['a NEED of what was never offered', { type: TYPE.NEED, payload: encodeNeed(['ab'.repeat(32)]) }, 'not-allowed'],
    ['a NEED that is none', { type: TYPE.NEED, payload: encode(['x']) }, 'protocol-error'],
  ] as [string, Partial<Frame>, string][])('that sends %s loses its link', async (_what, frame, code) => {
    evil.send(frame)
    expect(await pays(code)).toBe(true)
  })

  it('that asks for a module that only another machine was offered gets none, and loses its link', async () => {
    const hash = [...(tree.honest('other').stub?.texts['texts'].keys() ?? [])].at(-1) as string
    const pushes = (): number => evil.frames.filter(({ type }) => type === TYPE.PUSH).length
    const before = pushes()
    evil.send({ type: TYPE.NEED, payload: encodeNeed([hash]) })
    expect(await pays('not-allowed')).toBe(true)
    expect(pushes()).toBe(before)
  })

  it('that sends a NEED without end loses its link before it costs memory', async () => {
    for (let i = 0; i <= MAX_NEED / 32_000; i++) evil.send({ type: TYPE.NEED, flags: FLAG.MORE, payload: new Uint8Array(32_000) })
    expect(await pays('protocol-error')).toBe(true)
  })

  it.each([
    ['the controller', () => ROOT],
    ['a context behind another link', () => tree.id(other)],
    ['nobody that ever was', () => 4711],
  ])('that speaks for %s is refused and logged, and loses its link when it goes on', async (_whom, id) => {
    const channels = tree.controller['router'].describe().map(({ channel }) => channel)
    for (const channel of channels) evil.send({ type: TYPE.END, src: id(), dst: ROOT, channel })
    await tree.settle()
    expect(tree.warnings()[0]).toContain(`a frame of context ${id()} came over a link that does not lead there`)
    expect(tree.state(hop)).toBe('connected')
    for (let i = 0; i < 40; i++) evil.send({ type: TYPE.RESET, src: id(), dst: ROOT, channel: 1 })
    expect(await pays('not-allowed')).toBe(true)
    expect(tree.warnings().length).toBeLessThan(30)
  })

  it('may say anything for a context below it: that is what a hop can forge', async () => {
    says.hello()
    const id = tree.id(await tree.soon(leaf))
    const answer = leaf.with({ isolate: 'none' }).call(() => 1)
    const calls = (): number[] => tree.controller['router'].describe().filter(({ peer }) => peer === id).map(({ channel }) => channel)
    while (calls().length < 2) await tree.soon(Promise.resolve())
    evil.send({ type: TYPE.END, src: id, dst: ROOT, channel: calls().at(-1) ?? 0, payload: encode([0, 'forged']) })
    expect(await tree.soon(answer)).toBe('forged')
  })

  it('is told nothing for a context that has just been closed, and not blamed for what was on its way', async () => {
    says.hello()
    const context = await tree.soon(leaf)
    const id = tree.id(context)
    void context.close()
    await tree.settle()
    evil.send({ type: TYPE.END, dst: ROOT, src: tree.id(hop), channel: evil.opened(OPEN_KIND.SERVICE)?.channel ?? 0 })
    await tree.settle()
    for (let i = 0; i < 100; i++) evil.send({ src: id, dst: ROOT, channel: 1 })
    await tree.settle()
    expect([tree.state(hop), tree.warnings()]).toEqual(['connected', []])
  })
})
