import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { hashOf } from '../../src/router/code-cache.ts'
import { packTexts, QUICK } from '../../src/router/code-link.ts'
import { decode, encode } from '../../src/router/codec.ts'
import { OPEN_KIND } from '../../src/router/protocol.ts'
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

  it('is kept under its own name by whoever receives it, so it is never taken for another', () => {
    const { pair, honest } = altered(false)
    const forged = randomBytes(50)
    pair.code.push(['x'], packTexts([forged], 0))
    void until(() => pair.stub.texts.has(hashOf(forged)))
    expect(pair.stub.texts.has(hashOf(honest))).toBe(false)
    pair.root.close()
  })
})
