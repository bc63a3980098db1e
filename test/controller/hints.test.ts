import { describe, expect, it, vi } from 'vitest'
import type { Context } from '../../src/controller/api.ts'
import { encode } from '../../src/router/codec.ts'
import { OPEN_KIND, REASON, ROOT, TYPE } from '../../src/router/protocol.ts'
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
})
