import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { CodeGraph } from '../../src/controller/code-graph.ts'
import { Library } from '../../src/controller/library.ts'
import type { Channel } from '../../src/router/channel.ts'
import { CodeLink } from '../../src/router/code-link.ts'
import { decode } from '../../src/router/codec.ts'
import { encodeFrame, type Frame, FrameReader } from '../../src/router/frame.ts'
import { FLAG, MAX_QUEUED, MAX_WINDOW, REASON, TYPE } from '../../src/router/protocol.ts'
import { FlowTree, NOTHING_UNDER_WAY, type Plan } from '../helpers/flow-tree.ts'
import { CHILD, NOTHING, Pair } from '../helpers/pair.ts'
import { settle } from '../helpers/test-clock.ts'

const KIB = 1024
const plan = (fields: Partial<Plan>): Plan => ({ distance: 1, opening: 10, down: undefined, downEnd: 0, up: [], upEnd: 0, lingers: false, ...fields })

const frame = (fields: Partial<Frame>): Uint8Array =>
  encodeFrame({ type: TYPE.DATA, flags: 0, window: 0, dst: 1, src: CHILD, channel: 1, payload: new Uint8Array(0), ...fields })

function framesOf(written: Uint8Array[]): Frame[] {
  const frames: Frame[] = []
  const reader = new FrameReader()
  for (const bytes of written) reader.push(bytes, (one) => frames.push(one))
  return frames
}

function credit(...numbers: number[]): Uint8Array {
  const payload = new Uint8Array(4 * numbers.length)
  numbers.forEach((number, i) => new DataView(payload.buffer).setUint32(4 * i, number))
  return payload
}

describe('a slow reader', () => {
  it('is sent a window beyond what it has read, however much that is', async () => {
    let made = 0
    const pair = new Pair({
      pour: async function* () {
        for (;;) {
          made++
          yield new Uint8Array(1000)
        }
      },
    })
    const stream = (await pair.call('pour')) as AsyncIterableIterator<Uint8Array>
    for (let read = 0; read < 1000; read += 10) {
      for (let i = 0; i < 10; i++) await stream.next()
      // Slow enough that the window does not grow.
      pair.clock.advance(1000)
      await settle(2)
      expect(made - read).toBeLessThan(100)
    }
    await stream.return?.()
    expect(await pair.leftovers()).toEqual(NOTHING)
  })

  it('is sent no more than the largest window in messages of many frames', async () => {
    let made = 0
    const pair = new Pair({
      pour: async function* () {
        for (;;) {
          made++
          yield new Uint8Array(100_000)
        }
      },
    })
    const stream = (await pair.call('pour')) as AsyncIterableIterator<Uint8Array>
    await settle(2000)
    expect(made * 100_000).toBeLessThan(MAX_WINDOW + 200_000)
    await stream.return?.()
    expect(await pair.leftovers()).toEqual(NOTHING)
  })
})

describe('a link that is short of bytes', () => {
  it('carries an answer of any size though its OPEN brought no credit', async () => {
    const pair = new Pair({ make: (size: number) => new Uint8Array(size) }, { budget: 8 * KIB })
    expect(await pair.call('make', [500_000])).toHaveLength(500_000)
    expect(await pair.leftovers()).toEqual(NOTHING)
  })

  it('has at most half of what its queue holds under way, whatever limits.link says', () => {
    const pair = new Pair({}, { budget: 1e9 })
    expect([pair.down.down.free, pair.down.up.free]).toEqual([MAX_QUEUED / 2, MAX_QUEUED / 2])
  })

  it('carries a hundred large arguments at once, each in its turn', async () => {
    const pair = new Pair({ size: (bytes: Uint8Array) => bytes.length }, { budget: 100 * KIB })
    const calls = Array.from({ length: 100 }, (_, i) => pair.call('size', [new Uint8Array(150_000 + i)]))
    expect(await Promise.all(calls)).toEqual(calls.map((_, i) => 150_000 + i))
    expect(await pair.leftovers()).toEqual(NOTHING)
  })

  it('gets credit back from a stream that grew its window and went idle', async () => {
    const tree = new FlowTree(256 * KIB)
    const idle = Array.from({ length: 4 }, () => tree.open(plan({ up: Array<number>(20).fill(100 * KIB), lingers: true })))
    for (const one of idle) one.eager()
    expect(await tree.run(() => idle.every(({ up }) => up.received === 20))).toBe(true)
    const answer = tree.open(plan({ upEnd: 900 * KIB }))
    expect(await tree.run(() => answer.over)).toBe(true)
    for (const one of idle) one.finishing = true
    for (const one of idle) one.eager()
    expect(await tree.run(() => idle.every(({ over }) => over))).toBe(true)
    expect(tree.violations()).toEqual([])
    expect(tree.leftovers).toEqual(NOTHING_UNDER_WAY)
  })

  it('does not count what has arrived at readers that never read', async () => {
    const tree = new FlowTree(128 * KIB)
    const unread = Array.from({ length: 10 }, () => tree.open(plan({ down: [60 * KIB, 60 * KIB], lingers: true })))
    const argument = tree.open(plan({ opening: 500 * KIB }))
    argument.eager()
    expect(await tree.run(() => argument.over)).toBe(true)
    for (const { opener } of unread) opener.channel?.reset('cancelled')
    await settle()
    expect(tree.leftovers).toEqual({ ...NOTHING_UNDER_WAY, up: 0 })
  })

  it('leaves nothing of calls that end while they wait', async () => {
    const tree = new FlowTree(64 * KIB)
    tree.pipes[0]?.hold()
    const calls = Array.from({ length: 10 }, () => tree.open(plan({ opening: 200 * KIB })))
    await settle()
    expect(tree.leftovers['waiting']).toBeGreaterThan(5)
    for (const { opener } of calls) opener.channel?.reset('cancelled')
    tree.release()
    await settle()
    expect(tree.leftovers).toEqual(NOTHING_UNDER_WAY)
  })
})

describe('a channel', () => {
  it('passes on an empty message that waits behind others', async () => {
    const sizes: number[] = []
    let ended = false
    const pair = new Pair({}, {
      opened: (channel) => {
        channel.handler = {
          message: (bytes, used) => {
            sizes.push(bytes.length)
            channel.consumed(used)
          },
          end: () => (ended = true),
          reset: () => {},
        }
      },
    })
    const channel = pair.root.open(CHILD, new Uint8Array(1), { message: () => {}, end: () => {}, reset: () => {} }, false, false)
    for (const size of [200_000, 0, 5]) channel.send(new Uint8Array(size))
    channel.end()
    await settle()
    expect([sizes, ended]).toEqual([[200_000, 0, 5], true])
    channel.reset('closed')
    expect(await pair.leftovers()).toEqual(NOTHING)
  })

  it('that its own frame costs its link sends no more, and keeps no bytes of any budget', async () => {
    const pair = new Pair()
    const channel = pair.root.open(CHILD, new Uint8Array(1), { message: () => {}, end: () => {}, reset: () => {} }, false, false)
    await settle()
    pair.rootPipe.write = () => pair.down.close()
    channel.send(new Uint8Array(10_000_000))
    expect([channel.state, pair.down.down.used, pair.down.up.used, pair.root['budget'].used]).toEqual(['closed', 0, 0, 0])
  })

  it('opened over a link that ends under it ends its call, and leaves no timer', async () => {
    const pair = new Pair()
    pair.rootPipe.write = () => pair.down.close()
    // More than the link gathers in one tick.
    const calls = Array.from({ length: 5 }, () => pair.call('none', [new Uint8Array(40_000)], { timeout: 1000 }).catch((error: { code: string }) => error.code))
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['closed', 'no-route']))
    expect(pair.clock.pending).toBe(0)
  })
})

describe('a peer that breaks the rules of credit', () => {
  const waiting = async (): Promise<{ pair: Pair; call: Promise<unknown> }> => {
    const pair = new Pair({ wait: () => new Promise(() => {}) })
    const call = pair.call('wait').catch((error: unknown) => error)
    await settle()
    return { pair, call }
  }

  it.each([
    ['grants more than any window', { type: TYPE.CREDIT, payload: credit(0xffffffff, 0, 0) }],
    ['gives back more credit than it was granted', { type: TYPE.CREDIT, payload: credit(0, 0, 70_000) }],
    ['says that more has arrived than was sent', { type: TYPE.CREDIT, payload: credit(0, 1, 0) }],
    ['sends half a CREDIT', { type: TYPE.CREDIT, payload: credit(1) }],
    ['asks its ancestor for an account', { type: TYPE.DATA, flags: FLAG.WANT }],
  ])('%s and loses its link, by name', async (_what, fields) => {
    const { pair, call } = await waiting()
    pair.rootPipe.inject(frame(fields))
    expect(await call).toMatchObject({ code: 'protocol-error', outcome: 'unknown', path: ['web1'] })
    expect(pair.lost).toHaveLength(1)
    expect([pair.down.down.used, pair.down.up.used]).toEqual([0, 0])
  })

  it('asks for credit without end and is granted one window', async () => {
    const { pair } = await waiting()
    for (let i = 0; i < 1000; i++) pair.rootPipe.inject(frame({ type: TYPE.CREDIT, flags: FLAG.WANT }))
    await settle()
    expect(pair.down.up.used).toBeLessThanOrEqual(64 * KIB)
    expect(framesOf(pair.rootPipe.written).filter(({ type }) => type === TYPE.CREDIT)).toHaveLength(0)
  })

  it('is told nothing more, and nothing more of it is believed, once its link has ended', async () => {
    const { pair, call } = await waiting()
    pair.rootPipe.inject(Buffer.concat([frame({ type: TYPE.CREDIT, payload: credit(1) }), frame({ src: 9 }), frame({ type: TYPE.PING, dst: 0 })]))
    await call
    expect([pair.lost.length, pair.refused.length]).toEqual([1, 0])
  })
})

describe('a link\'s queue', () => {
  it('tells the Worker, too, that a channel of its own was given up', async () => {
    const pair = new Pair()
    pair.rootPipe.hold()
    for (let i = 0; i < 600; i++) pair.down.send(TYPE.DATA, FLAG.USER, 0, CHILD, 1, 1, new Uint8Array(32_000))
    pair.rootPipe.release()
    await settle(100)
    const [reset] = framesOf(pair.rootPipe.written).filter(({ type }) => type === TYPE.RESET)
    expect(reset).toMatchObject({ channel: 1, flags: FLAG.USER })
    expect((decode(reset?.payload as Uint8Array) as unknown[])[0]).toBe(REASON.overflow)
  })

  it('keeps code of any size: whoever was offered it waits for it', async () => {
    const pair = new Pair()
    pair.rootPipe.hold()
    for (let i = 0; i < 700; i++) pair.down.sendNeighbour(TYPE.PUSH, new Uint8Array(32_000), 0, FLAG.MORE)
    pair.down.send(TYPE.DATA, 0, 0, CHILD, 1, 1, new Uint8Array(1000))
    pair.rootPipe.release()
    await settle(100)
    const types = framesOf(pair.rootPipe.written).map(({ type }) => type)
    expect([types.filter((type) => type === TYPE.PUSH).length, types.includes(TYPE.DATA), types.includes(TYPE.RESET)]).toEqual([700, true, false])
  })

  it('keeps nothing of calls that were withdrawn while its pipe took nothing', async () => {
    const pair = new Pair()
    pair.rootPipe.hold()
    pair.down.send(TYPE.DATA, 0, 0, CHILD, 1, 999, new Uint8Array(60_000))
    pair.down.send(TYPE.DATA, 0, 0, CHILD, 1, 999, new Uint8Array(60_000))
    await settle()
    const open = (): Channel => pair.root.open(CHILD, new Uint8Array(1), { message: () => {}, end: () => {}, reset: () => {} }, true, false)
    for (let i = 0; i < 100; i++) expect(open().reset('cancelled')).toBe(true)
    let waiting = 0
    pair.down.sift(() => (waiting++, false))
    expect(waiting).toBe(0)
  })
})

describe('code', () => {
  it('is not sent again to a child that asks for it without end and takes none', async () => {
    const pair = new Pair()
    const library = new Library()
    const module = { key: 'k', hash: 'ab'.repeat(32), name: 'big.js', text: randomBytes(2_000_000).toString('hex'), imports: [] }
    const { offers } = library.number({ entry: 'k', modules: new Map([['k', module]]) } as unknown as CodeGraph)
    const code = new CodeLink(pair.down)
    library.ship(code, [CHILD], true, offers)
    pair.rootPipe.hold()
    let sent = 0
    const ask = (): void => {
      for (; sent < 100; sent++) expect(library.resend(code, [module.hash])).toBe(true)
    }
    expect(ask).toThrow(expect.objectContaining({ code: 'overflow', path: ['web1'] }) as Error)
    expect(sent).toBeLessThan(20)
  })
})

describe('a hop', () => {
  it('takes back a call that is given up while it waits there, and passes no RESET on before its OPEN', async () => {
    const tree = new FlowTree(1024 * KIB)
    tree.pipes[2]?.hold()
    const ahead = tree.open(plan({ distance: 2, opening: 300 * KIB }))
    await settle()
    const given = tree.open(plan({ distance: 2 }))
    await settle()
    given.opener.channel?.reset('cancelled')
    await settle()
    tree.release()
    ahead.eager()
    expect(await tree.run(() => ahead.over)).toBe(true)
    expect([ahead.accepted, given.accepted]).toEqual([1, 0])
    expect(tree.leftovers).toEqual(NOTHING_UNDER_WAY)
  })

  it('goes on serving its own calls while its child reads nothing', async () => {
    const tree = new FlowTree(512 * KIB)
    tree.pipes[2]?.hold()
    for (let i = 0; i < 4; i++) tree.open(plan({ distance: 2, opening: 60 * KIB }))
    await settle()
    const near = tree.open(plan({ distance: 1, opening: 200 * KIB, upEnd: 200 * KIB }))
    expect(await tree.run(() => near.over)).toBe(true)
    tree.release()
    expect(await tree.run(() => tree.conversations.every(({ over }) => over))).toBe(true)
    expect(tree.leftovers).toEqual(NOTHING_UNDER_WAY)
  })
})
