import { expect, test } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { Actions } from '../../src/controller/context.ts'
import type { ContextCore } from '../../src/controller/core.ts'
import { isRametError } from '../../src/router/errors.ts'

test('a call hears of an abort while its code, or that of a call before it, is still being read', async () => {
  const core = { path: ['gate', 'web1'] } as unknown as ContextCore
  const home = { clock: systemClock, bundler: () => new Promise<never>(() => {}), connect: () => { throw new Error('connects') } }
  const abort = new AbortController()
  const before = new Actions(core, home, {})
  const actions = before.with({ signal: abort.signal })
  const others = [before.call(() => 1), before.use<{ f(): void }>('file:///m.ts').f()]
  let heard = 0
  for (const other of others) Promise.resolve(other).finally(() => { heard++ }).catch(() => {})
  const calls = [actions.call(function named() {}), actions.use<{ f(): void }>('file:///m.ts').f()]
  abort.abort(new Error('enough'))
  for (const [i, call] of calls.entries()) {
    const error: unknown = await Promise.resolve(call).catch((reason: unknown) => reason)
    if (!isRametError(error)) throw new Error('no error of ours', { cause: error })
    expect(error).toMatchObject({ code: 'cancelled', outcome: 'not-sent', path: ['gate', 'web1'], cause: { message: 'enough' } })
    expect(error.message).toBe(`gate > web1: ${i === 0 ? 'named' : 'f'} was aborted before it was called`)
  }
  expect(heard).toBe(0)
})
