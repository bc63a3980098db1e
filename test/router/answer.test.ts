import { describe, expect, it } from 'vitest'
import { NOTHING, Pair } from '../helpers/pair.ts'
import { settle } from '../helpers/test-clock.ts'

describe('a function whose result has a will of its own', () => {
  const fails = async (make: () => unknown): Promise<unknown> => {
    const pair = new Pair({ odd: make, fine: () => 1 })
    const error: unknown = await pair.call('odd').catch((thrown: unknown) => thrown)
    expect(await pair.call('fine')).toBe(1)
    expect([pair.lost, pair.childLost]).toEqual([[], []])
    expect(await pair.leftovers()).toEqual(NOTHING)
    return error
  }
  const refuse = (): never => {
    throw new RangeError('not like this')
  }

  it.each([
    ['a getter `then`', () => Object.defineProperty({}, 'then', { get: refuse })],
    ['a method `then`', () => ({ then: refuse })],
    ['a method Symbol.asyncIterator', () => ({ [Symbol.asyncIterator]: refuse })],
    ['a method Symbol.asyncIterator, later', async () => ({ [Symbol.asyncIterator]: refuse })],
    ['a getter Symbol.asyncIterator', () => Object.defineProperty({}, Symbol.asyncIterator, { get: refuse })],
  ])('%s that throws fails its call and no other', async (_what, make) => {
    expect(await fails(make)).toMatchObject({ name: 'RangeError', message: 'not like this' })
  })

  it.each([5, null, undefined])('may have an iterator whose next() gives %s: that fails the call, as `for await` does', async (item) => {
    const pair = new Pair({ odd: () => ({ [Symbol.asyncIterator]: () => ({ next: () => item }) }), fine: () => 1 })
    const items = (await pair.call('odd')) as AsyncIterableIterator<unknown>
    await expect(items.next()).rejects.toMatchObject({ name: 'TypeError', message: 'no object' })
    expect(await pair.call('fine')).toBe(1)
    expect(await pair.leftovers()).toEqual(NOTHING)
  })

  it.each([
    ['throws', refuse],
    ['returns no promise', () => ({ done: true, value: undefined })],
  ])('may have an iterator whose return() %s, and keeps its link', async (_what, back) => {
    const iterator = { next: async () => ({ done: false, value: 1 }), return: back, [Symbol.asyncIterator]: () => iterator }
    const pair = new Pair({ odd: () => iterator, fine: () => 1 })
    for await (const item of (await pair.call('odd')) as AsyncIterable<unknown>) if (item === 1) break
    await settle()
    expect(await pair.call('fine')).toBe(1)
    expect(await pair.leftovers()).toEqual(NOTHING)
  })
})
