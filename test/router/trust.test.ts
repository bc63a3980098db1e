import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Context } from '../../src/controller/api.ts'
import { encodeNeed } from '../../src/router/code-link.ts'
import { decode, encode } from '../../src/router/codec.ts'
import { writeSeveral } from '../../src/router/fan-out.ts'
import type { Frame } from '../../src/router/frame.ts'
import { ANSWER, FLAG, MAX_NEED, OPEN_KIND, REASON, ROOT, TYPE } from '../../src/router/protocol.ts'
import { NOTHING_LEFT, type ScriptedTarget, TrustTree } from '../helpers/trust-tree.ts'

/*
 * The controller, a hop that is a stub of ours, below it an honest leaf and one that is not ours any more; beside the hop another
 * machine. Whatever the evil leaf does costs itself and nobody else: the others' calls, made before, are answered after.
 */
let tree: TrustTree
let hop: Context
let good: Context
let cousin: Context
let bad: Context
let evil: ScriptedTarget
let others: { done: () => void; answer: Promise<unknown> }[]
const CALL = encode([OPEN_KIND.CALL, 1, 'run', []])

beforeEach(async () => {
  tree = new TrustTree()
  hop = await tree.connect('hop')
  cousin = await tree.connect('cousin')
  // On the main thread: not once it leads to others.
  const atHop = await tree.waiting(hop)
  good = await tree.below(hop, 'good')
  bad = await tree.below(hop, 'evil')
  evil = tree.evil('evil')
  others = [atHop, await tree.waiting(good), await tree.waiting(cousin)]
})

afterEach(async () => {
  for (const { done } of others) done()
  expect(await Promise.all(others.map(({ answer }) => tree.soon(answer)))).toEqual(['well', 'well', 'well'])
  expect([tree.state(hop), tree.state(good), tree.state(cousin)]).toEqual(['connected', 'connected', 'connected'])
  expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
})

/** The evil leaf is lost, by this code, at the controller and at its hop; its record says so. */
async function pays(code: string): Promise<boolean> {
  await tree.settle()
  expect(tree.state(bad)).toBe('lost')
  const record = tree.records.all.find(({ fields }) => fields['context'] === 'hop > docker:evil' && fields['code'] === code)
  expect(record).toMatchObject({ level: 'warn', fields: { code } })
  expect(tree.parent('hop').child(tree.id(bad))).toBeUndefined()
  expect(await bad.call(() => 1).catch((error: { code: string; path: string[] }) => [error.code, error.path])).toEqual([code, ['hop', 'docker:evil']])
  return true
}

async function times(count: number, frame: Partial<Frame>): Promise<void> {
  for (let i = 0; i < count; i++) evil.send(frame)
  await tree.settle()
}

/** Numbers of channels that are open from the controller to this context. */
const channelsOf = (context: Context): number[] =>
  tree.controller['router'].describe().filter(({ peer }) => peer === tree.id(context)).map(({ channel }) => channel)

const TYPES = [TYPE.OPEN, TYPE.DATA, TYPE.END, TYPE.RESET, TYPE.CREDIT]

describe('a forged source', () => {
  it.each([
    ['its sibling\'s', () => tree.id(good)],
    ['its hop\'s', () => tree.id(hop)],
    ['the controller\'s', () => ROOT],
  ])('that is %s is refused and logged at the hop; whoever goes on loses its link', async (_whose, id) => {
    const src = id()
    for (const type of TYPES) for (const channel of [...channelsOf(good), ...channelsOf(hop)]) evil.send({ type, src, dst: ROOT, channel })
    await tree.settle()
    expect(tree.warnings()[0]).toContain(`a frame of context ${src} came over a link that does not lead there`)
    await times(30, { type: TYPE.END, src, dst: ROOT, channel: channelsOf(good)[0] ?? 0 })
    expect(await pays('not-allowed')).toBe(true)
    expect(tree.warnings().length).toBeLessThan(30)
  })

  it.each([
    ['of a context behind another link', () => tree.id(cousin)],
    ['that nobody has', () => 4711],
  ])('%s is dropped at the hop, and noted', async (_whose, id) => {
    await times(200, { type: TYPE.END, src: id(), dst: ROOT, channel: channelsOf(cousin)[0] ?? 0 })
    expect(tree.records.all.filter(({ text }) => text.includes(`a frame of context ${id()}`)).length).toBeGreaterThan(0)
    expect(tree.records.all.length).toBeLessThan(60)
  })
})

describe('a call', () => {
  it.each([
    ['its sibling', () => tree.id(good)],
    ['its hop', () => tree.id(hop)],
    ['the controller', () => ROOT],
    ['a cousin', () => tree.id(cousin)],
  ])('to %s is refused and logged, and whoever goes on is given up', async (_whom, id) => {
    evil.send({ type: TYPE.OPEN, src: tree.id(bad), dst: id(), channel: 1, payload: CALL })
    await tree.settle()
    expect(tree.warnings()).toHaveLength(1)
    expect(tree.warnings()[0]).toMatch(new RegExp(`context ${tree.id(bad)} tried to`))
    await times(60, { type: TYPE.OPEN, src: tree.id(bad), dst: id(), channel: 2, payload: CALL })
    expect(await pays('not-allowed')).toBe(true)
  })

  it('to its hop or the controller is answered with a reset', async () => {
    for (const dst of [tree.id(hop), ROOT]) evil.send({ type: TYPE.OPEN, src: tree.id(bad), dst, channel: dst, payload: CALL })
    await tree.settle()
    const resets = evil.frames.filter(({ type }) => type === TYPE.RESET)
    expect(resets.map(({ src, payload }) => [src, (decode(payload) as number[])[0]])).toEqual([[tree.id(hop), REASON['not-allowed']], [ROOT, REASON['not-allowed']]])
  })
})

describe('an end of a command that no stub of ours sends', () => {
  it.each([
    ['nothing', null],
    ['a number', 5],
    ['an exit code of text', { exitCode: '0', signal: null, duration: 1 }],
    ['a signal that steers a terminal', { exitCode: null, signal: 'SIG\u001b[2J', duration: 1 }],
    ['no duration', { exitCode: 0, signal: null }],
  ])('(%s) fails that command, whoever waits for it, and nothing else', async (_what, end) => {
    const failed = { code: 'protocol-error', path: ['hop', 'docker:evil'], outcome: 'unknown' }
    const result = bad.exec('true', { check: true }).catch((error: unknown) => error)
    const { exited, stdout } = bad.spawn('true')
    await tree.settle()
    const opened = evil.frames.filter(({ type, payload }) => type === TYPE.OPEN && (decode(payload) as unknown[])[0] === OPEN_KIND.SERVICE)
    expect(opened).toHaveLength(2)
    for (const { channel } of opened) evil.send({ type: TYPE.END, src: tree.id(bad), dst: ROOT, channel, payload: encode([ANSWER.VALUE, end]) })
    expect(await tree.soon(result)).toMatchObject(failed)
    expect(await tree.soon(exited.catch((error: unknown) => error))).toMatchObject(failed)
    expect(stdout.destroyed).toBe(true)
    expect(tree.state(bad)).toBe('connected')
  })
})

describe('a frame that only a parent sends', () => {
  it.each([
    ['ROUTE', { type: TYPE.ROUTE, payload: encode([99, 1, new Uint8Array(0)]) }],
    ['ROUTE that takes its sibling away', { type: TYPE.ROUTE, payload: encode([4, 0]) }],
    ['OPEN for several', { type: TYPE.OPEN, payload: writeSeveral({ src: ROOT, targets: [[2, 5], [4, 6]], message: CALL }) }],
    ['a second HELLO', { type: TYPE.HELLO, payload: encode([1, 'v20', 'linux', 'x64', 'evil']) }],
    ['GOAWAY', { type: TYPE.GOAWAY }],
    ['OFFER', { type: TYPE.OFFER, payload: encode([[2], 0, []]) }],
    ['PUSH', { type: TYPE.PUSH, payload: Buffer.from([0, 0x90]) }],
    ['DATA', { type: TYPE.DATA }],
    ['RESET', { type: TYPE.RESET }],
  ] as [string, Partial<Frame>][])('%s costs the link of the child that sends it', async (_what, frame) => {
    await times(1, frame)
    expect(await pays('protocol-error')).toBe(true)
  })

  it.each([
    ['the hop', () => tree.id(hop)],
    ['the controller', () => ROOT],
    ['a sibling', () => tree.id(good)],
    ['nobody', () => 4711],
  ])('and is addressed to %s costs its link, too, and nobody\'s on the way', async (_whom, id) => {
    await times(1, { type: TYPE.HELLO, src: tree.id(bad), dst: id(), payload: encode([1, 'v20', 'linux', 'x64', 'evil']) })
    expect(await pays('protocol-error')).toBe(true)
  })
})

describe('a reply', () => {
  it('on a channel of another context is nobody\'s', async () => {
    const src = tree.id(bad)
    for (const channel of [...channelsOf(good), ...channelsOf(hop), ...channelsOf(cousin)]) {
      if (channelsOf(bad).includes(channel)) continue
      for (const type of [TYPE.END, TYPE.DATA, TYPE.RESET, TYPE.CREDIT]) evil.send({ type, src, dst: ROOT, channel, payload: encode([1, 2]) })
    }
    await tree.settle()
    expect(tree.state(bad)).toBe('connected')
  })

  it.each([
    ['beyond its credit', { type: TYPE.DATA, payload: new Uint8Array(60_000) }, 40],
    ['that takes more credit than was given', { type: TYPE.CREDIT, payload: Buffer.from('00000000000000000fffffff', 'hex') }, 1],
    ['with half a CREDIT', { type: TYPE.CREDIT, payload: new Uint8Array(3) }, 1],
    ['that is no msgpack', { type: TYPE.DATA, payload: Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]) }, 1],
    ['that asks its ancestor for an account', { type: TYPE.DATA, flags: FLAG.WANT }, 1],
  ] as [string, Partial<Frame>, number][])('%s costs the context that sends it, not the link that it shares', async (_what, frame, count) => {
    await times(count, { ...frame, src: tree.id(bad), dst: ROOT, channel: channelsOf(bad)[0] ?? 0 })
    expect(await pays('protocol-error')).toBe(true)
  })
})

describe('a HELLO', () => {
  it.each([
    ['no msgpack', Buffer.from([0xc1])],
    ['of another form', encode({ pid: 1 })],
    ['with huge strings', encode([1, 'v'.repeat(20_000), 'l', 'x', 'h'])],
  ])('that is %s ends the attempt to connect, and costs the hop nothing', async (_what, payload) => {
    tree.hello = payload
    const connecting = hop.connect('docker:evil2')
    expect(await tree.soon(connecting.catch((error: { code: string; path: string[] }) => [error.code, error.path]))).toEqual(['protocol-error', ['hop', 'docker:evil2']])
  })
})

describe('a module', () => {
  it('that was never offered is not given, and asking costs the link', async () => {
    await times(1, { type: TYPE.NEED, payload: encodeNeed(['ab'.repeat(32)]) })
    expect(await pays('not-allowed')).toBe(true)
  })

  it('that a sibling was offered is not given either', async () => {
    const texts = [...tree.parent('hop').host.texts['texts'].keys()] as string[]
    expect(texts.length).toBeGreaterThan(0)
    await times(1, { type: TYPE.NEED, payload: encodeNeed([texts.at(-1) as string]) })
    expect(await pays('not-allowed')).toBe(true)
    expect(evil.frames.filter(({ type }) => type === TYPE.PUSH)).toEqual([])
  })

  it('list without end costs its link before it costs memory', async () => {
    await times(1 + MAX_NEED / 32_000, { type: TYPE.NEED, flags: FLAG.MORE, payload: new Uint8Array(32_000) })
    expect(await pays('protocol-error')).toBe(true)
  })
})

describe('bytes', () => {
  it.each([
    ['a frame of 4 GiB', Buffer.from('f8020000ffffffff', 'hex'), 'frame-too-large'],
    ['a frame of 64 KiB and one byte', Buffer.from('f802000000010001', 'hex'), 'frame-too-large'],
    ['a type that is none', Buffer.from('f863000000000000', 'hex'), 'protocol-error'],
    ['words', Buffer.from('Broadcast message from root'), 'protocol-error'],
    ['a PING of the wrong size', Buffer.from('f811000000000000000000000000000000000000', 'hex'), 'protocol-error'],
  ])('that announce %s cost the link', async (_what, bytes, code) => {
    evil.far.write(Buffer.concat([bytes, Buffer.alloc(20)]))
    expect(await pays(code)).toBe(true)
  })
})
