import { describe, expect, it, vi } from 'vitest'
import type { Context } from '../../src/controller/api.ts'
import { encode } from '../../src/router/codec.ts'
import { ANSWER, OPEN_KIND, REASON, ROOT, TYPE } from '../../src/router/protocol.ts'
import { NOTHING_LEFT, TrustTree } from '../helpers/trust-tree.ts'

/** What a target can end a call or a command with says nothing of what to do: the controller does. */
describe('work that a target ends', () => {
  const work: [string, number, (context: Context) => PromiseLike<unknown>, string[]?][] = [
    ['a call', OPEN_KIND.CALL, (context) => context.with({ isolate: 'none' }).call(() => 1)],
    ['a command', OPEN_KIND.SERVICE, (context) => context.exec('true')],
    ['what opens a context below it', OPEN_KIND.SERVICE, (context) => context.connect('docker:leaf', { runtime: 'node' }), ['evil', 'docker:leaf']],
    ['what opens a target without an interpreter', OPEN_KIND.SERVICE, (context) => context.connect('docker:leaf', { runtime: 'raw' }), ['evil', 'docker:leaf']],
  ]
  it.each(work.flatMap(([name, kind, begin, path = ['evil']]) => (Object.keys(REASON) as (keyof typeof REASON)[]).map((reason) => [name, reason, kind, begin, path] as const)))(
    '(%s) by %s is an error with its code that says what to do', async (_name, reason, kind, begin, path) => {
      const tree = new TrustTree()
      const context = await tree.connect('evil')
      const evil = tree.evil('evil')
      const failed = Promise.resolve(begin(context)).then(() => undefined, (error: unknown) => error)
      // The first call loads what reads functions.
      await vi.waitFor(() => expect(evil.opened(kind)).toBeDefined())
      evil.send({ type: TYPE.RESET, src: tree.id(context), dst: ROOT, channel: evil.opened(kind)?.channel ?? 0, payload: encode([REASON[reason], 'because']) })
      expect(await tree.soon(failed)).toMatchObject({ code: reason, path, hint: expect.stringMatching(/\w+ \w+.*\.$/) })
      expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
    })

  it('so does the error that ends the items of a call', async () => {
    const tree = new TrustTree()
    const context = await tree.connect('evil')
    const evil = tree.evil('evil')
    const read = (async () => {
      const got: unknown[] = []
      try {
        for await (const item of context.with({ isolate: 'none' }).call(async function* () { yield 1 })) got.push(item)
      } catch (error) {
        return [...got, error]
      }
    })()
    await vi.waitFor(() => expect(evil.opened(OPEN_KIND.CALL)).toBeDefined())
    const answer = { src: tree.id(context), dst: ROOT, channel: evil.opened(OPEN_KIND.CALL)?.channel ?? 0 }
    evil.send({ type: TYPE.DATA, ...answer, payload: encode([ANSWER.ITERABLE]) })
    evil.send({ type: TYPE.DATA, ...answer, payload: encode([ANSWER.ITEM, 7]) })
    evil.send({ type: TYPE.RESET, ...answer, payload: encode([REASON['worker-exited'], 'because']) })
    const [item, error] = (await tree.soon(read)) as unknown[]
    expect(item).toBe(7)
    expect(error).toMatchObject({ code: 'worker-exited', path: ['evil'], outcome: 'unknown', hint: expect.stringMatching(/\w+ \w+.*\.$/) })
    expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
  })
})

/** The engine's own refusals have no sentence either: each would be sent to every target. */
it.each<[string, unknown, string]>([
  ['something that cannot travel', { go: () => {} }, 'argument-unsupported'],
  ['something that cannot be read', Object.defineProperty({}, 'x', { enumerable: true, get: () => { throw new Error('no') } }), 'argument-unsupported'],
  ['something too large', new Uint8Array(65 * 1024 * 1024), 'message-too-large'],
])('a call with %s says what to do', async (_what, argument, code) => {
  const tree = new TrustTree()
  const context = await tree.connect('evil')
  for (const isolate of ['none', 'worker'] as const) {
    const error: unknown = await Promise.resolve(context.with({ isolate }).call((given: unknown) => given, argument)).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code, outcome: 'not-sent', path: ['evil'], hint: expect.stringMatching(/\w+ \w+.*\.$/) })
  }
  expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
})
