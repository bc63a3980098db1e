import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Context, Controller } from '../../src/controller/index.ts'
import { NODE_VERSIONS, nodeBinary } from '../helpers/node-binaries.ts'
import { childrenOf, failure, leakCheck, quietController, records } from '../helpers/e2e-lab.ts'
import { alive, expectGone, pidOf, soon } from '../helpers/tree-lab.ts'

type Messy = typeof import('../fixtures/tasks/messy.ts')
const messy = new URL('../fixtures/tasks/messy.ts', import.meta.url)
type Far = typeof import('../fixtures/tasks/far.ts')
const far = new URL('../fixtures/tasks/far.ts', import.meta.url)

let ramet: Controller
let context: Context
let log: ReturnType<typeof records>
let noLeaks: () => Promise<void>

async function setUp(node?: string): Promise<void> {
  noLeaks = leakCheck()
  log = records()
  ramet = new Controller({ logger: log.logger, limits: { interpreters: 4 } })
  context = await ramet.connect('local:', node === undefined ? {} : { node })
}

async function tearDown(): Promise<void> {
  await ramet.close()
  await noLeaks()
}

describe.each(NODE_VERSIONS.map((version) => [version, nodeBinary(version)] as const))("isolate: 'process' on Node %s", (_version, node) => {
  beforeEach(() => setUp(node))
  afterEach(tearDown)

  test.skipIf(node === undefined)('nothing of a call reaches the next one: environment, directory, listeners, module state, globals, randomness', async () => {
    const t = context.with({ isolate: 'process' }).use<Messy>(messy)
    const seen = [await t.mess(), await t.mess(), ...(await Promise.all([t.mess(), t.mess()]))]
    const [{ cwd, listeners, globals }] = seen as [Awaited<ReturnType<typeof t.mess>>]
    expect(cwd).not.toBe('/')
    for (const each of seen) expect(each).toMatchObject({ calls: 1, environment: null, cwd, listeners, globals })
    expect(new Set(seen.map(({ pid }) => pid)).size).toBe(4)
    for (const place of [0, 1, 2]) expect(new Set(seen.map(({ random }) => random[place])).size).toBe(4)
    // Nor does it reach the context itself.
    const own = await context.call(() => [process.env['RAMET_MESS'] ?? null, process.cwd(), 'leftBehind' in globalThis])
    expect(own).toEqual([null, cwd, false])
  }, 30_000)
})

describe("isolate: 'process'", () => {
  beforeEach(() => setUp())
  afterEach(tearDown)

  const isolated = (options: { timeout?: number; signal?: AbortSignal } = {}) => context.with({ ...options, isolate: 'process' })

  test('its process has the environment of the context, and its path', async () => {
    const [own, its] = await Promise.all([context.call(() => [process.env['HOME'], process.cwd()]), isolated().call(() => [process.env['HOME'], process.cwd()])])
    expect(its).toEqual(own)
    await isolated().use<Far>(far).prints('from a process of its own')
    await soon(() => expect(log.all.filter(({ msg }) => msg === 'from a process of its own').map((record) => record['context'])).toEqual(['local > isolated', 'local > isolated']))
  })

  test('its process has been started ahead: the next call finds it there', async () => {
    const first = await isolated().call(() => process.pid)
    let spare: number | undefined
    await soon(() => {
      const others = childrenOf(pidOf(context)).map((line) => Number.parseInt(line)).filter((pid) => pid !== first)
      expect(others).toHaveLength(1)
      spare = others[0]
    })
    expect(await isolated().call(() => process.pid)).toBe(spare)
  })

  test('a call that spins ends by its deadline, and by an abort, and so does its process', async () => {
    const pids: number[] = []
    const stuck = async (options: { timeout?: number; signal?: AbortSignal }): Promise<unknown> => {
      const items = isolated(options).call(async function* () {
        yield process.pid
        // Let it leave first.
        await new Promise((resolve) => setTimeout(resolve, 50))
        for (;;);
      })
      for await (const pid of items as AsyncIterable<number>) pids.push(pid)
      return undefined
    }
    expect(await failure(stuck({ timeout: 1500 }))).toMatchObject({ code: 'timeout' })
    const abort = new AbortController()
    const aborted = failure(stuck({ signal: abort.signal }))
    await soon(() => expect(pids).toHaveLength(2))
    abort.abort()
    expect(await aborted).toMatchObject({ code: 'cancelled' })
    await expectGone(pids)
    expect(await isolated().call(() => 'next')).toBe('next')
    expect(context.state).toBe('connected')
  }, 20_000)

  test('code that computes for longer than a whole limit of liveness is let finish', async () => {
    const strict = await ramet.connect('local:', { keepalive: { interval: 100, count: 2 } })
    const computed = await strict.with({ isolate: 'process' }).call((ms: number) => {
      const end = Date.now() + ms
      while (Date.now() < end);
      return 'done'
    }, 1500)
    expect(computed).toBe('done')
    expect(log.all.map(({ msg }) => msg)).not.toContain('does not answer')
  })

  test('an iterable keeps its process until it has ended, or its reader stops', async () => {
    const source = () => isolated().call(async function* () {
      for (let i = 0; ; i++) {
        yield [process.pid, i] as [number, number]
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }) as AsyncIterable<[number, number]>
    const pids: number[] = []
    for await (const [pid, i] of source()) {
      pids.push(pid)
      expect(alive(pid)).toBe(true)
      if (i === 10) break
    }
    expect(new Set(pids).size).toBe(1)
    await expectGone(pids.slice(0, 1))
  })

  test('an error comes with its lines; process.exit() and an uncaught error end that one call', async () => {
    const t = isolated().use<Far>(far)
    const error = await failure(t.fails('alone'))
    expect(error).toMatchObject({ code: 'remote-error', path: ['local', 'isolated'], cause: { name: 'TypeError', message: 'alone' } })
    expect((error.cause as Error).stack).toMatch(/fixtures\/tasks\/far\.ts:4:\d+/)
    const exited = await failure(isolated().call(() => process.exit(3)))
    expect(exited).toMatchObject({ code: 'worker-exited', outcome: 'unknown', path: ['local', 'isolated'], message: 'local > isolated: the code in the process ended it (exit code 3)' })
    const aborted = await failure(isolated().call(() => process.kill(process.pid, 'SIGTRAP')))
    expect(aborted).toMatchObject({ code: 'worker-exited', outcome: 'unknown', path: ['local', 'isolated'], message: 'local > isolated: its process was ended by SIGTRAP' })
    for (const { hint } of [exited, aborted]) expect(hint).toMatch(/another process/)
    // A child of its own that lives on holds the process's stderr, and nobody waits for that.
    const left = await failure(isolated().call(() => {
      const { spawn } = require('node:child_process') as typeof import('node:child_process')
      spawn('sleep', ['300'], { stdio: 'inherit' })
      process.exit(4)
    }))
    expect(left).toMatchObject({ outcome: 'unknown', path: ['local', 'isolated'] })
    const uncaught = await failure(isolated().call(() => new Promise(() => setTimeout(() => { throw new Error('nobody caught it') }, 10))))
    expect(uncaught.path).toEqual(['local', 'isolated'])
    expect(await isolated().call(() => 'next')).toBe('next')
    expect(await context.call(() => 'well')).toBe('well')
  })

  test('a context that is closed meanwhile takes the process with it', async () => {
    const started: number[] = []
    const items = isolated().call(async function* () {
      yield process.pid
      await new Promise(() => {})
    }) as AsyncIterable<number>
    const reading = failure((async () => {
      for await (const pid of items) started.push(pid)
    })())
    await soon(() => expect(started).toHaveLength(1))
    const pending = failure(isolated().call(() => new Promise(() => {})))
    await context.close()
    expect(await reading).toMatchObject({ code: 'closed', path: ['local', 'isolated'] })
    expect(await pending).toMatchObject({ code: 'closed' })
    expect(started.filter(alive)).toEqual([])
    expect(childrenOf(process.pid).filter((line) => line.includes('ramet'))).toEqual([])
    expect(await failure(isolated().call(() => 1))).toMatchObject({ code: 'closed', outcome: 'not-sent', path: ['local'] })
  })

  test('so does one that is killed, also from under a call that spins', async () => {
    const items = (isolated().call(async function* () {
      yield process.pid
      await new Promise((resolve) => setTimeout(resolve, 50))
      for (;;);
    }) as AsyncIterable<number>)[Symbol.asyncIterator]()
    const pid = (await items.next()).value as number
    const pending = failure(items.next())
    process.kill(pidOf(context), 'SIGKILL')
    expect(await pending).toMatchObject({ code: 'link-lost', path: ['local', 'isolated'] })
    await expectGone([pid])
    expect(await failure(isolated().call(() => 1))).toMatchObject({ code: 'link-lost', outcome: 'not-sent', path: ['local'] })
  })

  test('code on the main thread is refused while there are processes below', async () => {
    expect(await context.with({ isolate: 'none' }).call(() => 1)).toBe(1)
    const child = await context.connect('local:')
    expect(await failure(context.with({ isolate: 'none' }).call(() => 1))).toMatchObject({ code: 'not-allowed', outcome: 'not-sent', path: ['local'] })
    await child.close()
    expect(await context.with({ isolate: 'none' }).call(() => 1)).toBe(1)
  })
})

describe('limits.interpreters', () => {
  let dir: string
  /** Work goes on until this file is there. */
  let go: string
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'ramet-limits-'))
    go = join(dir, 'go')
    return setUp()
  })
  afterEach(async () => {
    writeFileSync(go, '')
    await tearDown()
    rmSync(dir, { recursive: true })
  })
  const untilThere = (file: string): Promise<string> => new Promise((resolve) => {
    const { existsSync } = require('node:fs') as typeof import('node:fs')
    const look = (): unknown => (existsSync(file) ? resolve('done') : setTimeout(look, 10))
    look()
  })
  const open = (): Promise<Context> => context.connect('local:', { fresh: true })

  test('of those that are idle the one that was used least lately ends first', async () => {
    const [a, b, c] = await Promise.all([open(), open(), open()])
    await b.call(() => 1)
    await a.call(() => 1)
    await c.exec('true')
    const d = await open()
    expect([a.state, b.state, c.state, d.state]).toEqual(['connected', 'closed', 'connected', 'connected'])
    await expectGone([pidOf(b)])
    const late = await failure(b.call(() => 1))
    expect(late).toMatchObject({ code: 'closed', outcome: 'not-sent', path: ['local', 'local'] })
    const e = await open()
    expect([a.state, c.state, d.state, e.state]).toEqual(['closed', 'connected', 'connected', 'connected'])
  })

  test('one that has to end for another has ended before that starts', async () => {
    const [a] = await Promise.all([open(), open(), open()])
    // Frozen, it cannot say goodbye, and is killed for that after some seconds.
    process.kill(pidOf(a), 'SIGSTOP')
    const [d, e] = await Promise.all([open(), open()])
    expect([a.state, d.state, e.state]).toEqual(['closed', 'connected', 'connected'])
    expect(alive(pidOf(a))).toBe(false)
  }, 30_000)

  test('one in use never ends: calling, running a command, or leading to another; when all are, the next one is refused', async () => {
    const [a, b, c] = await Promise.all([open(), open(), open()])
    const waiting = `until [ -e ${go} ]; do sleep 0.02; done`
    const call = a.call(untilThere, go)
    const command = b.spawn(waiting)
    await command.pid
    const below = failure(c.connect('local:'))
    const error = await below
    // It lies on the same machine, and the only idle one is that which would lead to it.
    expect(error).toMatchObject({ code: 'too-many-interpreters', outcome: 'not-sent', path: ['local', 'local'] })
    expect(error.hint).toMatch(/limits\.interpreters/)
    const busy = c.exec(waiting)
    await soon(async () => expect(await failure(open())).toMatchObject({ code: 'too-many-interpreters', outcome: 'not-sent', path: ['local'] }))
    writeFileSync(go, '')
    expect(await call).toBe('done')
    expect(await command.exited).toEqual({ exitCode: 0, signal: null })
    await busy
    expect([a, b, c].map(({ state }) => state)).toEqual(['connected', 'connected', 'connected'])
    const d = await open()
    expect(await d.call(() => 1)).toBe(1)
  }, 20_000)

  test('one that leads to another that is in use never ends, though it has been idle for longest', async () => {
    const a = await open()
    const x = await a.connect('local:')
    const held = x.call(() => new Promise((resolve) => setTimeout(resolve, 1500, 'held')))
    const b = await open()
    const c = await open()
    expect([a, x, b, c].map(({ state }) => state)).toEqual(['connected', 'connected', 'closed', 'connected'])
    expect(await held).toBe('held')
  }, 20_000)

  test('is 20 for one machine where nobody has said another', async () => {
    await using own = quietController()
    const first = await own.connect('local:')
    const others = await Promise.all(Array.from({ length: 19 }, () => first.connect('local:', { fresh: true })))
    expect(others.filter(({ state }) => state === 'connected')).toHaveLength(19)
    await first.connect('local:', { fresh: true })
    expect(others.filter(({ state }) => state === 'connected')).toHaveLength(18)
    expect(own.stats().links.filter(({ state }) => state === 'connected')).toHaveLength(20)
  }, 30_000)

  test('a call in a process of its own makes room for it, or says that there is none', async () => {
    const [a, b, c] = await Promise.all([open(), open(), open()])
    expect(await context.with({ isolate: 'process' }).call(() => 'alone')).toBe('alone')
    expect([a, b, c].filter(({ state }) => state === 'connected')).toHaveLength(2)
    const rest = [a, b, c].filter(({ state }) => state === 'connected')
    const waits = rest.map((each) => each.call(untilThere, go))
    const held = context.with({ isolate: 'process' }).call(untilThere, go)
    await soon(async () => expect(await failure(context.with({ isolate: 'process' }).call(() => 1))).toMatchObject({ code: 'too-many-interpreters', path: ['local'] }))
    writeFileSync(go, '')
    expect(await held).toBe('done')
    expect(await Promise.all(waits)).toEqual(['done', 'done'])
    expect(await context.with({ isolate: 'process' }).call(() => 'again')).toBe('again')
  }, 20_000)
})
