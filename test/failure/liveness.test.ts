import { expect, test, vi } from 'vitest'
import { pino } from 'pino'
import { MemoryTree, NOTHING_LEFT } from '../helpers/memory-tree.ts'
import { settle } from '../helpers/test-clock.ts'

const quiet = { logger: pino({ level: 'silent' }) }
const keepalive = { interval: 1000, count: 1 }

test('a silent network: unresponsive at the first unanswered PING, lost at the limit, and the stub has ended by itself', async () => {
  const tree = new MemoryTree(quiet)
  const web = await tree.connect('web1', { keepalive: { interval: 1000, count: 3 } })
  await tree.pass(10_000)
  expect(web.state).toBe('connected')
  const stalled = tree.clock.now()
  tree.target('web1').stall()
  const seen: [string, number][] = [['connected', 0]]
  while (seen.at(-1)?.[0] !== 'lost') {
    await tree.pass(100)
    if (seen.at(-1)?.[0] !== web.state) seen.push([web.state, tree.clock.now() - stalled])
  }
  expect(seen.map(([state]) => state)).toEqual(['connected', 'unresponsive', 'lost'])
  expect(seen[1]?.[1]).toBeLessThanOrEqual(3000)
  // The last frame may be an interval old when the silence begins, and the first PING leaves an interval after it.
  expect(seen[2]?.[1]).toBeLessThanOrEqual(5000)
  await tree.pass(2000)
  expect(tree.target('web1').exitCode).toBe(0)
  expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
})

test('a stub whose parent falls silent ends its commands within its limit, though nothing tells it to', async () => {
  const tree = new MemoryTree(quiet)
  const web = await tree.connect('web1', { keepalive: { interval: 1000, count: 3 } })
  const child = web.spawn('trap "" TERM; while :; do sleep 1; done')
  const pid = await child.pid
  tree.target('web1').stall()
  await tree.pass(5000 + 2500)
  await expect(child.exited).rejects.toMatchObject({ code: 'link-lost', outcome: 'unknown', path: ['web1'] })
  await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow('ESRCH'), 10_000)
  expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
})

test('a tick that comes late is no miss: a process that was blocked or asleep has not listened', async () => {
  const tree = new MemoryTree(quiet)
  const web = await tree.connect('web1', { keepalive })
  const target = tree.target('web1')
  for (let i = 0; i < 10; i++) {
    // Everything that arrives while the process stands still is read after its timers have fired.
    target.stall()
    tree.clock.jump(60_000)
    expect(web.state).toBe('connected')
    target.flow()
    await settle()
  }
  expect(web.state).toBe('connected')
  expect(await web.ping()).toBe(0)
  expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
})

test('links that say nothing for a day stay, and cost one frame each way in an interval', async () => {
  const tree = new MemoryTree(quiet)
  const web = await tree.connect('web1')
  const before = tree.controller.stats().links[0]
  await tree.pass(24 * 3600_000, 5000)
  expect(web.state).toBe('connected')
  const after = tree.controller.stats().links[0]
  expect((after?.framesOut ?? 0) - (before?.framesOut ?? 0)).toBeLessThanOrEqual(24 * 240 + 1)
  expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
})

test('work made while the network is silent never leaves, and says so when the link is lost', async () => {
  const tree = new MemoryTree(quiet)
  const web = await tree.connect('web1', { keepalive: { interval: 1000, count: 3 } })
  const inline = web.with({ isolate: 'none' })
  await inline.call((_bytes: Uint8Array) => 0, new Uint8Array(0))
  tree.target('web1').stall()
  const outcomes: string[] = []
  // Each takes 30 KB: what is handed on is bounded, the others wait here.
  const calls = Array.from({ length: 20 }, () =>
    inline.call((_bytes: Uint8Array) => 0, new Uint8Array(30_000)).catch((error: { code: string; outcome: string }) => outcomes.push(`${error.code} ${error.outcome}`)))
  await settle()
  await tree.pass(6000)
  await Promise.all(calls)
  expect(new Set(outcomes)).toEqual(new Set(['link-lost unknown', 'link-lost not-sent']))
  expect(outcomes.filter((outcome) => outcome.endsWith('unknown')).length).toBeLessThan(8)
  // Handed on comes first.
  expect(outcomes.indexOf('link-lost not-sent')).toBeGreaterThan(outcomes.indexOf('link-lost unknown'))
  expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
})

test.each([
  ['what the caller says of both comes first', { interval: 2000, count: 1 }, 'has not answered for 2 s'],
  ['what the caller says of one leaves the other to the configuration', { interval: 500 }, 'has not answered for 1.5 s'],
  ['the configuration says it where the caller does not', undefined, 'has not answered for 3 s'],
])('ServerAliveInterval and ServerAliveCountMax: %s', async (_, keepalive, words) => {
  const tree = new MemoryTree(quiet)
  tree.heeded = { reachTime: 0, keepalive: { interval: 1000, count: 3 } }
  const web = await tree.connect('web1', keepalive === undefined ? {} : { keepalive })
  const child = web.spawn('cat')
  const lost = child.exited.then(() => undefined, (error: unknown) => error)
  await child.pid
  tree.target('web1').stall()
  await tree.pass(10_000)
  expect(web.state).toBe('lost')
  expect(await lost).toMatchObject({ code: 'link-lost', message: expect.stringContaining(words) as string })
  expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
})

test('ConnectTimeout is time beside that for all else, and 0 leaves it at that', async () => {
  for (const [reachTime, total] of [[120_000, 150_000], [0, 30_000]] as const) {
    const tree = new MemoryTree(quiet)
    tree.heeded = { reachTime, keepalive: undefined }
    tree.manners.set('web1', 'silent')
    const failed = tree.connect('web1').then(() => undefined, (error: unknown) => error)
    await tree.pass(total - 1, 1000)
    expect(tree.controller.stats().links).toMatchObject([{ state: 'connecting' }])
    await tree.pass(1)
    expect(await failed).toMatchObject({ code: 'connect-timeout', message: expect.stringContaining(`within ${total} ms`) as string })
    expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
  }
})
