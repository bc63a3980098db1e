import { getEventListeners } from 'node:events'
import { inspect } from 'node:util'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import type { ConnectOptions } from '../../src/controller/api.ts'
import { MemoryTree, NOTHING_LEFT } from '../helpers/memory-tree.ts'
import { settle } from '../helpers/test-clock.ts'

const newTree = (): MemoryTree => new MemoryTree({ logger: pino({ level: 'silent' }) })
const code = (promise: Promise<unknown>): Promise<unknown> => promise.then(() => 'ok', (error: { code: string }) => error.code)
const cores = (tree: MemoryTree): number => tree.controller['contexts'].cores.size

describe('two handles on one context', () => {
  test('share one connection, and it ends with the last of them', async () => {
    const tree = newTree()
    const [a, b] = await Promise.all([tree.connect('web1'), tree.connect('web1')])
    expect(cores(tree)).toBe(1)
    await a.close()
    await a.close()
    expect([a.state, b.state]).toEqual(['closed', 'connected'])
    expect(await b.with({ isolate: 'none' }).call(() => 'well')).toBe('well')
    await b.close()
    expect(cores(tree)).toBe(0)
    expect(tree.target('web1').exitCode).toBe(0)
    expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
  })

  test('are on two contexts where one asked for its own', async () => {
    const tree = newTree()
    const a = await tree.connect('web1')
    const b = await tree.connect('web1', { fresh: true })
    expect(cores(tree)).toBe(2)
    await a.close()
    expect(b.state).toBe('connected')
    expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
  })

  test('are on two contexts where the first is being closed or was lost', async () => {
    const tree = newTree()
    const a = await tree.connect('web1')
    const closing = a.close()
    const b = await tree.connect('web1')
    expect([a.state, b.state]).toEqual(['closed', 'connected'])
    await closing
    tree.target('web1').endOfFile()
    await settle()
    const c = await tree.connect('web1')
    expect([b.state, c.state]).toEqual(['lost', 'connected'])
    expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
  })
})

describe('connecting', () => {
  test('sends work that was made meanwhile together with what opens the connection', async () => {
    const tree = newTree()
    await (await tree.connect('web2')).with({ isolate: 'none' }).call(() => 0)
    const connecting = tree.connect('web1')
    const value = connecting.with({ isolate: 'none' }).call((a: number) => a + 1, 1)
    await settle(2)
    // The stub's own bytes, HELLO and the call, before the target has said anything.
    expect(tree.target('web1').near.written.length).toBeLessThanOrEqual(4)
    expect(await value).toBe(2)
    await connecting
    expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
  })

  test('fails for whoever aborts it, and goes on for whoever else waits', async () => {
    const tree = newTree()
    tree.manners.set('web1', 'held')
    const abort = new AbortController()
    const first = tree.connect('web1', { signal: abort.signal })
    const second = tree.connect('web1')
    await settle()
    abort.abort(new Error('changed my mind'))
    await expect(first).rejects.toMatchObject({ code: 'cancelled', path: ['web1'], cause: { message: 'changed my mind' } })
    tree.target('web1').flow()
    expect((await second).state).toBe('connected')
    expect(getEventListeners(abort.signal, 'abort')).toEqual([])
    expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
  })

  test.each<[string, ConnectOptions, (tree: MemoryTree, abort: AbortController) => unknown, string]>([
    ['aborted by its only waiter', {}, (_tree, abort) => abort.abort(), 'cancelled'],
    ['longer than its timeout', { timeout: 500 }, (tree) => tree.pass(600), 'connect-timeout'],
    ['interrupted by close()', {}, (tree) => tree.controller.close(), 'closed'],
  ])('that is %s is given up, and nothing of it is left', async (_name, options, interrupt, expected) => {
    const tree = newTree()
    tree.manners.set('web1', 'silent')
    const abort = new AbortController()
    const connecting = tree.connect('web1', { ...options, signal: abort.signal })
    const work = code(connecting.with({ isolate: 'none' }).call(() => 0))
    const opened = code(connecting)
    await settle()
    await interrupt(tree, abort)
    expect(await opened).toBe(expected)
    expect(await work).toBe(expected)
    expect(cores(tree)).toBe(0)
    expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
  })
})

describe('closing', () => {
  test('ends work under way as unknown and later work as not sent', async () => {
    const tree = newTree()
    const web = await tree.connect('web1')
    const inline = web.with({ isolate: 'none' })
    await inline.call(() => 0)
    const call = inline.call(() => new Promise(() => {}))
    const ended = call.catch((error: unknown) => error)
    const ping = code(web.ping())
    await settle(0)
    const closing = web.close()
    expect(await ended).toMatchObject({ code: 'closed', outcome: 'unknown', path: ['web1'], hint: expect.stringMatching(/\w/) })
    expect(await ping).toBe('closed')
    await expect(inline.call(() => 0)).rejects.toMatchObject({ code: 'closed', outcome: 'not-sent' })
    await closing
    expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
  })

  test('waits for the stub to end its commands, and no longer than 5 s for one that does not answer', async () => {
    const tree = newTree()
    const web = await tree.connect('web1')
    tree.target('web1').stall()
    let closed = false
    void web.close().then(() => (closed = true))
    await tree.pass(4900)
    expect(closed).toBe(false)
    await tree.pass(200)
    expect(closed).toBe(true)
    expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
  })

  test('stops to listen for SIGUSR2', async () => {
    const before = process.listenerCount('SIGUSR2')
    const tree = newTree()
    expect(process.listenerCount('SIGUSR2')).toBe(1)
    await tree.controller.close()
    expect(process.listenerCount('SIGUSR2')).toBe(before)
  })
})

describe('a ping', () => {
  test('that is not answered in time, or is aborted, rejects and leaves no listener', async () => {
    const tree = newTree()
    const web = await tree.connect('web1')
    const abort = new AbortController()
    tree.target('web1').stall()
    const late = code(web.ping({ timeout: 100, signal: abort.signal }))
    await tree.pass(100)
    expect(await late).toBe('timeout')
    const aborted = code(web.ping({ signal: abort.signal }))
    await settle()
    abort.abort()
    expect(await aborted).toBe('cancelled')
    expect(await code(web.ping({ signal: abort.signal }))).toBe('cancelled')
    tree.target('web1').flow()
    await settle()
    expect(getEventListeners(abort.signal, 'abort')).toEqual([])
    expect(await web.ping()).toBe(0)
    expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
  })
})

test('ten thousand calls and pings leave nothing behind that grows', async () => {
  const tree = newTree()
  const web = await tree.connect('web1')
  const inline = web.with({ isolate: 'none' })
  for (let i = 0; i < 100; i++) await Promise.all(Array.from({ length: 100 }, (_, n) => inline.call((a: number) => a, n)))
  await Promise.all(Array.from({ length: 100 }, () => web.ping()))
  expect(tree.channels).toBe(0)
  expect(tree.budgets('web1')).toEqual({ down: 0, up: 65_536 })
  expect(tree.controller['contexts'].cores.values().next().value?.['near']?.['pings']['waiting']).toEqual([])
  // The log's channel and liveness, at both ends, and nothing else.
  expect(tree.clock.pending).toBeLessThanOrEqual(2)
  expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
})

test('a log, JSON and the console show what a context is, and nothing of what it was connected with', async () => {
  const tree = newTree()
  const connecting = tree.connect('web1', { password: 'hunter2' })
  const context = await connecting
  const { controller } = tree
  let logged = ''
  pino({ base: null, timestamp: false }, { write: (line) => (logged += line) }).info({ context, controller, with: context.with({ timeout: 5 }) }, 'deployed')
  const shown = { name: 'web1', path: ['web1'], state: 'connected', runtime: 'node' }
  expect(JSON.parse(logged)).toEqual({ level: 30, context: shown, controller: { state: 'open', contexts: ['web1'] }, with: shown, msg: 'deployed' })
  expect(inspect(context)).toBe("Context { name: 'web1', path: [ 'web1' ], state: 'connected', runtime: 'node' }")
  expect(inspect(new Map([[context, { ok: true }]]))).toContain("Context { name: 'web1'")
  expect(inspect(controller)).toBe("Controller { state: 'open', contexts: [ 'web1' ] }")
  for (const each of [context, controller, connecting]) expect(inspect(each, { depth: 20 })).not.toContain('hunter2')
  await context.close()
  expect(JSON.stringify(context)).toContain('"state":"closed"')
  expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
})
