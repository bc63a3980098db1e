import { describe, expect, it } from 'vitest'
import { deferred } from '../../src/base/deferred.ts'
import { orAborted } from '../../src/base/or-aborted.ts'

describe('work that a signal may end', () => {
  it('is what the work comes to', async () => {
    const { signal } = new AbortController()
    expect(await orAborted(Promise.resolve(1), signal)).toBe(1)
    await expect(orAborted(Promise.reject(new Error('no')), signal)).rejects.toThrow('no')
  })

  it.each(['before', 'after'])('is the reason of an abort %s it has begun, and a failure that follows is nobody\'s', async (when) => {
    const controller = new AbortController()
    const work = deferred<number>()
    if (when === 'before') controller.abort(new Error('stopped'))
    const result = orAborted(work.promise, controller.signal)
    controller.abort(new Error('stopped'))
    await expect(result).rejects.toThrow('stopped')
    work.reject(new Error('too late'))
  })
})
