import { describe, expect, test } from 'vitest'
import type { Connecting, Context } from '../../src/controller/api.ts'
import { latest, replace } from '../../src/controller/context.ts'
import type { ContextCore } from '../../src/controller/core.ts'
import { LogBook } from '../../src/controller/logs.ts'
import { Reconnects } from '../../src/controller/reconnects.ts'
import { RametError } from '../../src/router/errors.ts'
import { failure, records } from '../helpers/e2e-lab.ts'
import { MemoryTree, NOTHING_LEFT } from '../helpers/memory-tree.ts'
import { settle, TestClock } from '../helpers/test-clock.ts'
import { expectGone, pidOf, soon } from '../helpers/tree-lab.ts'

/** A tree in memory whose log is kept. */
function tree(): { tree: MemoryTree; said: () => unknown[] } {
  const { logger, all } = records()
  return { tree: new MemoryTree({ logger }), said: () => all.map(({ msg }) => msg) }
}

/** Moves time until a context has this state. */
async function until(it: MemoryTree, context: Context, state: Context['state'], ms = 5000): Promise<void> {
  for (let passed = 0; context.state !== state && passed < ms; passed += 100) await it.pass(100)
  expect(context.state).toBe(state)
}

const count = (): number => {
  const all = globalThis as { ramet_calls?: number }
  return (all.ramet_calls = (all.ramet_calls ?? 0) + 1)
}

describe('a context with the option reconnect', () => {
  test('comes back after its link was lost: the same handle, a new process, no state', async () => {
    const { tree: it, said } = tree()
    const context = await it.connect('web1', { reconnect: true })
    const inline = context.with({ isolate: 'none' })
    const state = (): number => ((globalThis as { ramet_kept?: number }).ramet_kept = 1)
    expect(await inline.call(state)).toBe(1)
    const first = it.target('web1')
    first.dies()
    await settle()
    expect(context.state).toBe('lost')
    expect(said()).toContainEqual(expect.stringMatching(/^will be connected again in \d+ ms$/))
    // Meanwhile nothing is sent, and nothing waits.
    expect(await failure(inline.call(() => 1))).toMatchObject({ code: 'link-lost', outcome: 'not-sent', path: ['web1'] })
    await it.pass(400)
    expect(it.target('web1') === first).toBe(true)
    await until(it, context, 'connected')
    expect(it.target('web1') === first).toBe(false)
    expect(await inline.call(() => 'back')).toBe('back')
    expect((await context.exec('echo back')).stdout).toBe('back\n')
    expect(context.info?.pid).toBe(process.pid)
    expect(await it.leftovers()).toEqual(NOTHING_LEFT)
  })

  test('a call that was under way ends as unknown and is not repeated', async () => {
    const { tree: it } = tree()
    const context = await it.connect('web1', { reconnect: true })
    const inline = context.with({ isolate: 'none' })
    const running = failure(inline.call(() => {
      const all = globalThis as { ramet_calls?: number }
      all.ramet_calls = (all.ramet_calls ?? 0) + 1
      return new Promise(() => {})
    }))
    const command = failure(context.exec('sleep 0.2'))
    await soon(() => expect((globalThis as { ramet_calls?: number }).ramet_calls).toBe(1))
    it.target('web1').dies()
    expect(await running).toMatchObject({ code: 'link-lost', outcome: 'unknown', path: ['web1'] })
    expect(await command).toMatchObject({ code: 'link-lost', outcome: 'unknown', path: ['web1'] })
    await until(it, context, 'connected')
    await it.pass(1000)
    expect(await inline.call(count)).toBe(2)
    expect(await it.leftovers()).toEqual(NOTHING_LEFT)
  })

  test('an equal target that is asked for later is the context that came back, not one more', async () => {
    const { tree: it } = tree()
    const context = await it.connect('web1', { reconnect: true })
    it.target('web1').dies()
    await settle()
    await until(it, context, 'connected')
    const back = it.target('web1')
    const again = await it.connect('web1', { reconnect: true })
    expect(it.target('web1') === back).toBe(true)
    await context.close()
    expect(again.state).toBe('connected')
    expect(await again.with({ isolate: 'none' }).call(() => 1)).toBe(1)
    expect(await it.leftovers()).toEqual(NOTHING_LEFT)
  })

  test('one that is asked for while it is away is what it comes back as', async () => {
    const { tree: it } = tree()
    const context = await it.connect('web1', { reconnect: { delay: 3000 } })
    it.target('web1').dies()
    await settle()
    const early = await it.connect('web1', { reconnect: { delay: 3000 } })
    const target = it.target('web1')
    expect([context.state, early.state]).toEqual(['lost', 'connected'])
    await until(it, context, 'connected')
    expect(it.target('web1') === target).toBe(true)
    await early.close()
    expect(await context.with({ isolate: 'none' }).call(() => 1)).toBe(1)
    expect(await it.leftovers()).toEqual(NOTHING_LEFT)
  })

  test('tries that fail are followed by others, each twice as late, until it is there', async () => {
    const { tree: it, said } = tree()
    const context = await it.connect('web1', { reconnect: { delay: 100 }, timeout: 1000 })
    it.manners.set('web1', 'silent')
    it.target('web1').dies()
    await it.pass(6000)
    expect(context.state).not.toBe('connected')
    const waits = said().flatMap((text) => /^will be connected again in (\d+) ms$/.exec(String(text))?.[1] ?? []).map(Number)
    expect(waits.length).toBeGreaterThanOrEqual(3)
    for (const [index, wait] of waits.entries()) {
      expect(wait).toBeGreaterThanOrEqual(50 * 2 ** index)
      expect(wait).toBeLessThanOrEqual(150 * 2 ** index)
    }
    it.manners.delete('web1')
    await until(it, context, 'connected', 10_000)
    expect(await context.with({ isolate: 'none' }).call(() => 'back')).toBe('back')
    expect(await it.leftovers()).toEqual(NOTHING_LEFT)
  })

  test('is given up after as many tries as were allowed', async () => {
    const { tree: it, said } = tree()
    const context = await it.connect('web1', { reconnect: { delay: 100, attempts: 2 }, timeout: 500 })
    it.manners.set('web1', 'silent')
    it.target('web1').dies()
    await it.pass(5000)
    expect(said().filter((text) => /^will be connected/.test(String(text)))).toHaveLength(2)
    // Nobody waits for a try: the log is the one place that says what it failed by.
    const { message } = await failure(context.call(() => 1))
    const [reason] = /web1 was not connected within 500 ms.*/.exec(message) ?? []
    expect(said().filter((text) => text === reason)).toHaveLength(2)
    expect(said().at(-1)).toBe('is not tried again (attempts: 2)')
    expect(context.state).toBe('lost')
    expect(it.clock.pending).toBe(0)
    expect(await it.leftovers()).toEqual(NOTHING_LEFT)
  })

  test('the first attempt to connect is not repeated: whoever waits hears of it', async () => {
    const { tree: it } = tree()
    it.manners.set('web1', 'silent')
    const connecting: Connecting = it.connect('web1', { reconnect: true, timeout: 500 })
    const heard = failure(connecting)
    await it.pass(3000)
    expect(await heard).toMatchObject({ code: 'connect-timeout' })
    expect(it.clock.pending).toBe(0)
    expect(await it.leftovers()).toEqual(NOTHING_LEFT)
  })

  test.each(['handle', 'controller'] as const)('nothing is tried once the %s was closed while it waits, and no timer stays', async (which) => {
    const { tree: it } = tree()
    const context = await it.connect('web1', { reconnect: { delay: 10_000 } })
    const first = it.target('web1')
    first.dies()
    await settle()
    await (which === 'handle' ? context.close() : it.controller.close())
    expect(it.clock.pending).toBe(0)
    await it.pass(30_000, 1000)
    expect(it.target('web1') === first).toBe(true)
    expect(await it.leftovers()).toEqual(NOTHING_LEFT)
  })

  test('what was closed by its owner stays closed', async () => {
    const { tree: it } = tree()
    const context = await it.connect('web1', { reconnect: { delay: 100 } })
    const closing = context.close()
    await it.pass(3000)
    await closing
    expect([context.state, it.clock.pending]).toEqual(['closed', 0])
    expect(await it.leftovers()).toEqual(NOTHING_LEFT)
  })

  test('below a hop that was lost and comes back, a child that has the option comes back, too; one without it stays lost', async () => {
    const { tree: it } = tree()
    const hop = await it.connect('web1', { reconnect: { delay: 200 } })
    const child = await hop.connect('local:', { reconnect: { delay: 200 }, fresh: true })
    const other = await hop.connect('local:', { fresh: true })
    const pids = [pidOf(child), pidOf(other)]
    const call = failure(child.call(() => new Promise(() => {})))
    await child.exec('true')
    it.target('web1').dies()
    expect(await call).toMatchObject({ code: 'link-lost', outcome: 'unknown', path: ['web1', 'local'] })
    await expectGone(pids)
    await until(it, hop, 'connected')
    // A real process of this machine: it takes a moment.
    await soon(async () => {
      await it.pass(200)
      expect(child.state).toBe('connected')
    })
    expect(pids).not.toContain(pidOf(child))
    expect(await child.call(() => 'back')).toBe('back')
    expect(child.path).toEqual(['web1', 'local'])
    expect(other.state).toBe('lost')
    expect(await it.leftovers()).toEqual(NOTHING_LEFT)
  }, 20_000)

  test('a child whose own link is lost comes back behind the same hop', async () => {
    const { tree: it } = tree()
    const hop = await it.connect('web1')
    const child = await hop.connect('local:', { reconnect: { delay: 200 } })
    const pid = pidOf(child)
    const work = (): string => 'code of some length, so that it is seen where it goes'
    await child.call(work)
    const before = it.controller.stats().links.find(({ path }) => path.length === 1)
    process.kill(pid, 'SIGKILL')
    await soon(() => expect(child.state).toBe('lost'))
    expect(hop.state).toBe('connected')
    await soon(async () => {
      await it.pass(200)
      expect(child.state).toBe('connected')
    })
    expect(pidOf(child)).not.toBe(pid)
    // What it runs it gets from the hop: the link to that carries no code again.
    expect(await child.call(work)).toBe(work())
    await child.ping()
    const links = it.controller.stats().links
    expect(before?.codeBytes).toBeGreaterThan(0)
    expect(links.find(({ path }) => path.length === 1)).toMatchObject({ modulesSent: before?.modulesSent, codeBytes: before?.codeBytes })
    expect(links.find(({ path }) => path.length === 2)?.codeBytes).toBeGreaterThan(0)
    expect(await it.leftovers()).toEqual(NOTHING_LEFT)
  }, 20_000)
})

test('the wait is spread: half to one and a half of the delay, and 30 s at most before that', () => {
  const cause = new RametError('link-lost', 'gone')
  const waits = (random: number): number[] => {
    const clock = new TestClock()
    const reconnects = new Reconnects(clock, new LogBook(records().logger), () => random)
    const core = { handles: 1, path: ['web1'] } as unknown as ContextCore
    const at: number[] = []
    const make = (): ContextCore => {
      at.push(clock.now())
      throw new RametError('link-lost', 'its hop is not there')
    }
    reconnects.lost(core, cause, false, { delay: 1000, attempts: 8 }, make)
    clock.advance(1_000_000)
    return at.map((time, index) => time - (at[index - 1] ?? 0))
  }
  expect(waits(0)).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000])
  expect(waits(1)).toEqual([1500, 3000, 6000, 12_000, 24_000, 45_000, 45_000, 45_000])
})

test('a handle finds what stands for it after any number of tries, as a machine that is away for days has them', () => {
  const cores = Array.from({ length: 30_000 }, (_, id) => ({ id, handles: id === 0 ? 2 : 0 }) as unknown as ContextCore)
  const first = cores[0] as ContextCore
  const other = { id: -1, handles: 1 } as unknown as ContextCore
  for (const [index, core] of cores.slice(0, -1).entries()) replace(core, cores[index + 1] as ContextCore)
  const last = cores.at(-1) as ContextCore
  expect([latest(first) === last, latest(cores[20_000] as ContextCore) === last, latest(last) === last, last.handles]).toEqual([true, true, true, 2])
  // What comes back as one that has a history itself, goes on with it.
  replace(other, last)
  const next = { id: -2, handles: 0 } as unknown as ContextCore
  replace(last, next)
  expect([latest(other) === next, latest(first) === next, next.handles]).toEqual([true, true, 3])
})
