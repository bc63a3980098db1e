import { describe, expect, it } from 'vitest'
import { deferred } from '../../src/base/deferred.ts'
import { RametError } from '../../src/router/errors.ts'
import { CHILD, NOTHING, Pair } from '../helpers/pair.ts'
import { settle } from '../helpers/test-clock.ts'

async function failure(promise: Promise<unknown>): Promise<RametError> {
  return promise.then(
    (value) => Promise.reject(new Error(`resolved with ${String(value)}`)),
    (error: RametError) => error,
  )
}

describe('a call', () => {
  it('answers with a value, with undefined, and with what a promise gives', async () => {
    const pair = new Pair({ add: (a: number, b: number) => a + b, nothing: () => undefined, later: async () => ({ deep: [1n, new Date(5)] }) })
    expect(await pair.call('add', [40, 2])).toBe(42)
    expect(await pair.call('nothing')).toBe(undefined)
    expect(await pair.call('later')).toEqual({ deep: [1n, new Date(5)] })
    expect(await pair.leftovers()).toEqual(NOTHING)
  })

  it('is two frames on the wire, one each way', async () => {
    const pair = new Pair({ noop: () => undefined })
    await pair.call('noop')
    expect([pair.down.framesOut, pair.down.framesIn]).toEqual([1, 1])
    expect(pair.down.bytesOut).toBeLessThanOrEqual(36)
    expect(pair.down.bytesIn).toBe(20)
  })

  it('brings what was thrown, with name, message, code and cause', async () => {
    const pair = new Pair({
      fail: () => {
        throw Object.assign(new TypeError('no', { cause: new Error('deeper') }), { code: 'E_NO' })
      },
    })
    const error = await failure(pair.call('fail'))
    expect(error).toMatchObject({ name: 'TypeError', message: 'no', code: 'E_NO', cause: { message: 'deeper' } })
    expect(await pair.leftovers()).toEqual(NOTHING)
  })

  it('carries megabytes both ways, in pieces under credit', async () => {
    const pair = new Pair({ echo: (bytes: Uint8Array) => bytes })
    const bytes = new Uint8Array(3 * 1024 * 1024).map((_, i) => i * 7)
    const back = (await pair.call('echo', [bytes])) as Uint8Array
    expect(Buffer.compare(back, bytes)).toBe(0)
    expect(pair.down.framesOut).toBeGreaterThan(90)
    expect(await pair.leftovers()).toEqual(NOTHING)
  })

  it('keeps 1,000 calls apart that are under way at once', async () => {
    const gate = deferred<void>()
    const pair = new Pair({ wait: (i: number) => gate.promise.then(() => i) })
    const calls = Array.from({ length: 1000 }, (_, i) => pair.call('wait', [i]))
    await settle()
    expect(pair.root.openChannels).toBe(1000)
    gate.resolve()
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 1000 }, (_, i) => i))
    expect(await pair.leftovers()).toEqual(NOTHING)
  })

  it('ends at its deadline, tells the function, and is unknown', async () => {
    const pair = new Pair({ forever: () => new Promise(() => {}) })
    const call = failure(pair.call('forever', [], { timeout: 500 }))
    await settle()
    let told: RametError | undefined
    const [answer] = pair.answers
    if (answer !== undefined) answer.onCancel = (error) => (told = error)
    pair.clock.advance(499)
    await settle()
    expect(told).toBe(undefined)
    pair.clock.advance(1)
    expect(await call).toMatchObject({ code: 'timeout', outcome: 'unknown', path: ['web1'] })
    await settle()
    expect(told).toMatchObject({ code: 'timeout' })
    expect(await pair.leftovers()).toEqual(NOTHING)
  })

  it('ends when it is aborted, with the reason as cause', async () => {
    const pair = new Pair({ forever: () => new Promise(() => {}) })
    const abort = new AbortController()
    const call = failure(pair.call('forever', [], { signal: abort.signal }))
    await settle()
    abort.abort(new Error('changed my mind'))
    expect(await call).toMatchObject({ code: 'cancelled', outcome: 'unknown', cause: { message: 'changed my mind' } })
    expect(await pair.leftovers()).toEqual(NOTHING)
  })

  it('is not-sent when it is aborted while it still stands in our queue', async () => {
    const ran: number[] = []
    const pair = new Pair({ run: (i: number) => ran.push(i) })
    pair.rootPipe.hold()
    // Fills what the link hands to its pipe ahead of time.
    pair.down.send(2, 0, 0, CHILD, 1, 999, new Uint8Array(40_000))
    pair.down.send(2, 0, 0, CHILD, 1, 999, new Uint8Array(40_000))
    await settle()
    const abort = new AbortController()
    const call = failure(pair.call('run', [1], { signal: abort.signal }))
    await settle()
    abort.abort()
    expect(await call).toMatchObject({ code: 'cancelled', outcome: 'not-sent' })
    pair.rootPipe.release()
    await settle()
    expect(ran).toEqual([])
  })

  it('is unknown when the link is lost under it, and the function is told', async () => {
    const pair = new Pair({ forever: () => new Promise(() => {}) })
    const call = failure(pair.call('forever'))
    await settle()
    const [answer] = pair.answers
    let told = false
    if (answer !== undefined) answer.onCancel = () => (told = true)
    pair.rootPipe.close()
    expect(await call).toMatchObject({ code: 'link-lost', outcome: 'unknown', path: ['web1'] })
    await settle()
    expect(told).toBe(true)
    expect(pair.root.openChannels + pair.child.openChannels).toBe(0)
    expect((await failure(pair.call('forever'))).code).toBe('no-route')
  })

  it('refuses an argument beyond the limit before anything is sent', async () => {
    const pair = new Pair({ echo: () => 1 }, { maxMessage: 1000 })
    expect(await failure(pair.call('echo', [new Uint8Array(1001)]))).toMatchObject({ code: 'message-too-large', outcome: 'not-sent' })
    expect(pair.down.framesOut).toBe(0)
    expect(await pair.leftovers()).toEqual(NOTHING)
  })

  it('refuses a result beyond the limit while it arrives, and ends that call only', async () => {
    const pair = new Pair({ big: () => new Uint8Array(200_000), small: () => 1 }, { maxMessage: 100_000 })
    expect(await failure(pair.call('big'))).toMatchObject({ code: 'message-too-large' })
    expect(await pair.call('small')).toBe(1)
    expect(await pair.leftovers()).toEqual(NOTHING)
  })

  it('names the key of a result that cannot travel', async () => {
    const pair = new Pair({ odd: () => ({ ok: 1, list: [0, { fn: () => 1 }] }) })
    const error = await failure(pair.call('odd'))
    expect(error).toMatchObject({ name: 'RametError', code: 'result-unsupported' })
    expect(error.message).toContain('list[1].fn')
    expect(await pair.leftovers()).toEqual(NOTHING)
  })
})

describe('an async iterable', () => {
  it('arrives item by item and ends', async () => {
    const pair = new Pair({
      count: async function* (n: number) {
        for (let i = 0; i < n; i++) yield { i }
      },
    })
    const items: unknown[] = []
    for await (const item of (await pair.call('count', [5])) as AsyncIterable<unknown>) items.push(item)
    expect(items).toEqual([{ i: 0 }, { i: 1 }, { i: 2 }, { i: 3 }, { i: 4 }])
    expect(await pair.leftovers()).toEqual(NOTHING)
  })

  it('goes at its reader\'s pace: the function is held after a window of items', async () => {
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
    await settle(50)
    const before = made
    expect(before).toBeLessThan(100)
    await settle(50)
    expect(made).toBe(before)
    for (let i = 0; i < 200; i++) await stream.next()
    await settle()
    expect(made).toBeGreaterThan(200)
    await stream.return?.()
    expect(await pair.leftovers()).toEqual(NOTHING)
  })

  it('is told when its reader leaves the loop', async () => {
    let ended = false
    const pair = new Pair({
      pour: async function* () {
        try {
          for (;;) yield 1
        } finally {
          ended = true
        }
      },
    })
    for await (const item of (await pair.call('pour')) as AsyncIterable<unknown>) if (item === 1) break
    await settle()
    expect(ended).toBe(true)
    expect(await pair.leftovers()).toEqual(NOTHING)
  })

  it('passes on an error after the items before it', async () => {
    const pair = new Pair({
      pour: async function* () {
        yield 1
        throw new RangeError('enough')
      },
    })
    const items: unknown[] = []
    const read = async (): Promise<void> => {
      for await (const item of (await pair.call('pour')) as AsyncIterable<unknown>) items.push(item)
    }
    expect(await failure(read())).toMatchObject({ name: 'RangeError', message: 'enough' })
    expect(items).toEqual([1])
    expect(await pair.leftovers()).toEqual(NOTHING)
  })
})
