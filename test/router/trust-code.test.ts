import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { hashOf } from '../../src/router/code-cache.ts'
import type { Context, LinkStats } from '../../src/controller/api.ts'
import { encodeNeed, packTexts, QUICK } from '../../src/router/code-link.ts'
import { decode, encode } from '../../src/router/codec.ts'
import { OPEN_KIND, TYPE } from '../../src/router/protocol.ts'
import { NOTHING_LEFT, TrustTree } from '../helpers/trust-tree.ts'
import { StubPair, until } from '../remote-stub/stub-pair.ts'

/** A stub whose parent sends other texts than it has announced. */
function altered(user: boolean) {
  const pair = new StubPair()
  const records: unknown[][] = []
  const log = pair.root.open(2, encode([OPEN_KIND.LOG]), {
    message: (bytes, credit) => {
      records.push(decode(bytes) as unknown[])
      log.consumed(credit)
    },
    end: () => {},
    reset: () => {},
  }, true, false)
  const honest = Buffer.from('exports.run = () => 1')
  pair.code.offer({ dsts: [2], user, offers: [{ number: 1, hash: hashOf(honest), name: 'm1.js', imports: [] }], pushed: new Set([hashOf(honest)]) })
  return { pair, records, honest }
}

describe('a module whose text was altered on the way', () => {
  it.each([['in the Worker', true], ['on the main thread', false]])('is not run %s: the context says why, and ends, and the call with it', async (_where, user) => {
    const { pair, records } = altered(user)
    const call = pair.call(1, 'run', [], { user }).catch((error: unknown) => error)
    pair.code.push(['x'], packTexts([Buffer.from('exports.run = () => "forged"')], QUICK))
    await until(() => records.length > 0)
    expect(records[0]?.slice(1, 4)).toEqual([50, 'ramet', 'code was altered on its way here'])
    pair.clock.advance(100)
    await until(() => pair.exits.length > 0)
    expect(pair.exits).toEqual([1])
    pair.root.close()
    expect(await call).toMatchObject({ name: 'RametError' })
  })

  it('is run when it is the one that was announced', async () => {
    const { pair, records, honest } = altered(false)
    const call = pair.call(1, 'run', [], { user: false })
    pair.code.push([hashOf(honest)], packTexts([honest], 0))
    expect(await call).toBe(1)
    expect([records, pair.exits]).toEqual([[], []])
    await pair.close()
  })

  it('is kept under its own name by whoever receives it, so it is never taken for another', async () => {
    const { pair, honest } = altered(false)
    const forged = randomBytes(50)
    pair.code.push(['x'], packTexts([forged], 0))
    await until(() => pair.stub.texts.has(hashOf(forged)))
    expect(pair.stub.texts.has(hashOf(honest))).toBe(false)
    pair.root.close()
  })
})

describe('a module that a hop has let go of', () => {
  it('is fetched once, however many children ask for it meanwhile, and each gets it', async () => {
    const tree = new TrustTree()
    const hop = await tree.connect('hop')
    const names = ['evil1', 'evil2', 'evil3']
    const leaves: Context[] = []
    for (const name of names) leaves.push(await tree.below(hop, name))
    const calls = leaves.map((leaf) => leaf.with({ isolate: 'none' }).call(() => 'the same text for all').catch((error: unknown) => error))
    const uplink = (): LinkStats => tree.controller.stats().links.find(({ path }) => path.length === 1) as LinkStats
    const pushes = (): number[] => names.map((name) => tree.evil(name).frames.filter(({ type }) => type === TYPE.PUSH).length)
    const texts = tree.parent('hop').host.texts['texts']
    const found = (): string | undefined => [...texts].find(([, text]) => Buffer.from(text).includes('the same text for all'))?.[0]
    await until(() => found() !== undefined)
    await tree.settle()
    const hash = found() as string
    const sent = uplink().modulesSent
    const had = pushes()
    texts.delete(hash)
    for (const name of names) tree.evil(name).send({ type: TYPE.NEED, payload: encodeNeed([hash]) })
    await tree.settle()
    expect(uplink().modulesSent - sent).toBe(1)
    expect(pushes().map((count, at) => count - (had[at] ?? 0))).toEqual([1, 1, 1])
    expect(texts.has(hash)).toBe(true)
    expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
    await Promise.all(calls)
  })
})
