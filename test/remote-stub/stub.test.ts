import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { RametError } from '../../src/router/errors.ts'
import { settle } from '../helpers/test-clock.ts'
import { StubPair, until } from './stub-pair.ts'

const COUNTER = `
  const ran = []
  let calls = 0
  exports.count = () => ++calls
  exports.echo = (value) => value
  exports.run = (name) => void ran.push(name)
  exports.ran = () => ran.splice(0)
  exports.fail = () => { throw new TypeError('no') }
  exports.never = () => new Promise(() => {})
  exports.numbers = function* () { for (let i = 0; i < 20; i++) yield i }
  exports.spin = () => { for (;;); }
`
/** How long a Worker may owe an answer after a call in it was given up, in ms. */
const GRACE = 1000
const AGAIN = 100

const thrown = (promise: Promise<unknown>): Promise<RametError> => promise.then(() => expect.fail('it should have been refused'), (error: RametError) => error)

let pair: StubPair

beforeEach(() => {
  pair = new StubPair()
})
afterEach(() => pair.close())

/** A call that is given up when `abort` is called. */
function given(entry: number, name: string, args: unknown[] = [], user = true): { abort: () => void; error: Promise<RametError> } {
  const controller = new AbortController()
  const error = thrown(pair.call(entry, name, args, { signal: controller.signal, user }))
  return { abort: () => controller.abort(), error }
}

/** Waits until one call has had the Worker's thread for 20 ms. */
async function busy(): Promise<void> {
  const { running } = pair.insides.worker
  let since = Date.now()
  let before = 0
  await until(() => {
    const now = Atomics.load(running, 0)
    if (now !== before) since = Date.now()
    before = now
    return now !== 0 && Date.now() - since > 20
  })
}

describe.each([['Worker', true], ['main thread', false]] as const)('calls on the %s', (_, user) => {
  test('leave nothing behind, however they end', async () => {
    const { entry } = pair.module(COUNTER, { user })
    const call = (name: string, args: unknown[] = []): Promise<unknown> => pair.call(entry, name, args, { user })
    for (let round = 0; round < 100; round++) {
      const abandoned = given(entry, 'never', [], user)
      await Promise.all([
        ...Array.from({ length: 10 }, (__, n) => call('echo', [n])),
        thrown(call('fail')), thrown(call('nothing')), call('echo', [new Uint8Array(100_000)]),
        (async () => {
          for await (const n of await call('numbers') as AsyncIterable<number>) if (n === 5) break
        })(),
      ])
      abandoned.abort()
      expect(await abandoned.error).toMatchObject({ code: 'cancelled' })
    }
    await call('echo')
    const { scopes, worker } = pair.insides
    await until(() => worker.cancelProbe === undefined)
    await settle()
    expect({ calls: worker.calls.size, held: worker.held.length, scopes: scopes.running.size, channels: pair.root.openChannels }).toEqual({ calls: 0, held: 0, scopes: 0, channels: 0 })
    expect({ down: pair.link.down.used, up: pair.link.up.used }).toEqual({ down: 0, up: 0 })
  })

  test('wait for their code in the order in which they were made, and one that is given up meanwhile never runs', async () => {
    const { entry: known } = pair.module(COUNTER, { user })
    expect(await pair.call(known, 'count', [], { user })).toBe(1)
    const { entry, push } = pair.module("const m = require('./counter'); exports.run = m.run", { user, imports: [['./counter', known]], later: true })
    const first = pair.call(entry, 'run', ['first'], { user })
    const second = given(entry, 'run', ['second'], user)
    const third = pair.call(known, 'run', ['third'], { user })
    const ran = pair.call(known, 'ran', [], { user })
    await settle()
    second.abort()
    expect(await second.error).toMatchObject({ code: 'cancelled', outcome: 'unknown' })
    await settle()
    push()
    await Promise.all([first, third])
    expect(await ran).toEqual(['first', 'third'])
    await until(() => pair.insides.worker.cancelProbe === undefined)
    expect(pair.insides.scopes.running.size).toBe(0)
    expect(pair.insides.worker.calls.size).toBe(0)
  })

  test('share one instance of a module with whatever imports it; a module in a cycle is loaded once', async () => {
    const counter = pair.module(COUNTER, { user }).entry
    const a = pair.module("exports.a = 1; const b = require('./b'); exports.both = () => [exports.a, b.b, require('./counter').count()]", { user, imports: [['./b', 3], ['./counter', counter]] }).entry
    pair.module("const a = require('./a'); exports.b = a.a + 1", { user, imports: [['./a', a]] })
    expect(await pair.call(a, 'both', [], { user })).toEqual([1, 2, 1])
    expect(await pair.call(counter, 'count', [], { user })).toBe(2)
  })
})

describe('the Worker', () => {
  test('is not ended as long as it answers, however many calls are given up one upon the other', async () => {
    const { entry } = pair.module(COUNTER)
    expect(await pair.call(entry, 'count')).toBe(1)
    for (let round = 0; round < 20; round++) {
      const [one, two, three] = [given(entry, 'never'), given(entry, 'never'), given(entry, 'never')]
      await settle(2)
      one.abort()
      await settle(1)
      two.abort()
      three.abort()
      pair.clock.advance(GRACE - 1)
      await until(() => pair.insides.worker.cancelProbe === undefined)
      await Promise.all([one.error, two.error, three.error])
    }
    pair.clock.advance(10 * GRACE)
    expect(pair.insides.worker.state).toBe('running')
    expect(await pair.call(entry, 'count')).toBe(2)
  })

  test('has as long again with each probe that it answers, and is ended when it owes the last answer', async () => {
    const { entry } = pair.module(COUNTER)
    const [one, two] = [given(entry, 'never'), given(entry, 'never')]
    await pair.call(entry, 'count')
    const lane = pair.insides.worker
    const probes: number[] = []
    const post = lane.worker.postMessage.bind(lane.worker)
    lane.worker.postMessage = (message: { probe?: number }, transfer?: readonly ArrayBuffer[]) => (message.probe === undefined ? post(message, transfer) : probes.push(message.probe))
    one.abort()
    await one.error
    await until(() => probes.length === 1)
    pair.clock.advance(GRACE - 100)
    two.abort()
    await two.error
    await until(() => probes.length === 2)
    lane.control({ alive: probes[0] as number })
    pair.clock.advance(GRACE)
    expect(lane.state).toBe('running')
    pair.clock.advance(AGAIN)
    expect(lane.state).toBe('ending')
  })

  test('is ended when a call that was given up spins; those in it are unknown, those that came after it run in the next', async () => {
    const { entry } = pair.module(COUNTER)
    expect(await pair.call(entry, 'count')).toBe(1)
    const other = thrown(pair.call(entry, 'never'))
    const spinning = given(entry, 'spin')
    await settle()
    spinning.abort()
    expect(await spinning.error).toMatchObject({ code: 'cancelled', outcome: 'unknown' })
    await settle()
    const after = pair.call(entry, 'count')
    const never = given(entry, 'run', ['given up in time'])
    await settle()
    expect(pair.insides.worker.held).toHaveLength(2)
    never.abort()
    await never.error
    await busy()
    pair.clock.advance(GRACE + AGAIN - 1)
    expect(pair.insides.worker.state).toBe('running')
    pair.clock.advance(1)
    expect(pair.insides.worker.state).toBe('ending')
    // Also what comes while it is ending belongs to the next.
    const last = pair.call(entry, 'count')
    expect(await other).toMatchObject({ code: 'worker-exited', outcome: 'unknown', path: ['web1'] })
    expect([await after, await last]).toEqual([1, 2])
    expect(await pair.call(entry, 'ran')).toEqual([])
    expect(pair.root.openChannels).toBe(0)
  })

  test('is left to a call that nobody gave up, until that lets go of it', async () => {
    const { entry } = pair.module(`
      exports.spin = (ms) => { for (const end = Date.now() + ms; Date.now() < end;); return 'spun' }
      exports.later = async (ms) => { await null; return exports.spin(ms) }
      exports.never = () => new Promise(() => {})
    `)
    await pair.call(entry, 'spin', [0])
    for (const name of ['spin', 'later']) {
      const before = given(entry, 'never')
      await settle()
      const spinning = pair.call(entry, name, [300])
      await busy()
      before.abort()
      await before.error
      await settle()
      pair.clock.advance(3 * GRACE)
      expect(pair.insides.worker.state).toBe('running')
      expect(await spinning).toBe('spun')
      await until(() => pair.insides.worker.cancelProbe === undefined)
    }
  })

  test('gets the texts again that the context has let go of, when another Worker starts', async () => {
    await pair.close()
    pair = new StubPair({ codeLimit: 100 })
    const pad = '/'.repeat(90)
    const first = pair.module(`exports.f = () => 1 //${pad}`).entry
    const second = pair.module(`exports.f = () => 2; exports.exit = () => process.exit(7) //${pad}`).entry
    expect([await pair.call(first, 'f'), await pair.call(second, 'f')]).toEqual([1, 2])
    const asked = pair.needed.length
    expect(await thrown(pair.call(second, 'exit'))).toMatchObject({ code: 'worker-exited', message: expect.stringContaining('exit code 7') })
    expect([await pair.call(first, 'f'), await pair.call(second, 'f')]).toEqual([1, 2])
    expect(pair.needed.length).toBeGreaterThan(asked)
  })
})

describe('of code that the context has let go of', () => {
  const pad = `//${'/'.repeat(90)}`
  beforeEach(async () => {
    await pair.close()
    pair = new StubPair({ codeLimit: 100 })
  })
  const othersCome = async (user: boolean): Promise<void> => {
    const { entry } = pair.module(`exports.f = () => 1 ${pad}`, { user })
    expect(await pair.call(entry, 'f', [], { user })).toBe(1)
  }

  test('a text that two modules share is asked for, and comes, once', async () => {
    const text = 'exports.value = 1'
    const [a, b] = [pair.module(text, { user: false }).entry, pair.module(text, { user: false }).entry]
    const { entry } = pair.module("exports.sum = () => require('./a').value + require('./b').value", { user: false, imports: [['./a', a], ['./b', b]] })
    await othersCome(false)
    const sent = pair.code.modulesSent
    expect(await pair.call(entry, 'sum', [], { user: false })).toBe(2)
    // What comes twice is taken for code that was altered: the stub would end.
    expect(pair.code.modulesSent - sent).toBe(2)
    pair.clock.advance(GRACE)
    await settle()
    expect(pair.exits).toEqual([])
  })

  test.each([['Worker', true], ['main thread', false]])('what a function of the %s imports later on is there when it does', async (_, user) => {
    const { entry: late } = pair.module("exports.value = 'late'", { user })
    const { entry } = pair.module("exports.run = (now) => (now ? require('./late').value : 'not yet')", { user, imports: [['./late', late]] })
    expect(await pair.call(entry, 'run', [false], { user })).toBe('not yet')
    await othersCome(user)
    expect(await pair.call(entry, 'run', [true], { user })).toBe('late')
  })
})
