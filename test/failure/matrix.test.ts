import { pino } from 'pino'
import { describe, expect, test, vi } from 'vitest'
import type { Connecting, Context, RemoteChild } from '../../src/controller/api.ts'
import { isRametError } from '../../src/router/errors.ts'
import { HEADER_SIZE, MAX_NOISE } from '../../src/router/protocol.ts'
import { processesWith } from '../helpers/controller-process.ts'
import { MemoryTree, type MemoryTarget, NOTHING_LEFT } from '../helpers/memory-tree.ts'
import { ownChildren } from '../helpers/sshd.ts'
import { settle } from '../helpers/test-clock.ts'

/*
 * What happens to whom when a link fails: places × events × phases. A place says how the tree stands and which link is hit; an
 * event is something that befalls that link; a phase is what the context behind it is doing. Every cell states the error that each
 * waiter hears, and that nothing else suffers.
 */

interface Tree extends AsyncDisposable {
  tree: MemoryTree
  /** The end of the link that is hit. */
  hit(): MemoryTarget
  connect(): Connecting
  /** A context that has nothing to do with it. */
  bystander: Context
  /** Messages of the controller's log. */
  log: string[]
  /** Of the context that is hit. */
  path: string[]
}

/** Trees of more than one level come with `via`; a further place is a further entry here. */
const PLACES: Record<string, (manner: 'silent' | 'held' | undefined) => Promise<Tree>> = {
  async direct(manner) {
    const log: string[] = []
    const tree = new MemoryTree({ logger: pino({}, { write: (line: string) => log.push((JSON.parse(line) as { msg: string }).msg) }) })
    if (manner !== undefined) tree.manners.set('web1', manner)
    const bystander = await tree.connect('web2')
    // The bundler is read with the first call; later ones leave at once.
    await bystander.with({ isolate: 'none' }).call(() => 0)
    return {
      tree,
      bystander,
      log,
      path: ['web1'],
      hit: () => tree.target('web1'),
      connect: () => tree.connect('web1', { keepalive: { interval: 1000, count: 4 }, timeout: 20_000 }),
      [Symbol.asyncDispose]: async () => void (await tree.leftovers()),
    }
  },
  /** The link to a hop in memory is hit; what works is a real process behind it. */
  async 'behind a hop'(manner) {
    const it = await (PLACES['direct'] as (typeof PLACES)[string])(manner)
    return {
      ...it,
      path: ['web1', 'local'],
      connect: () => it.tree.connect('local:', { via: it.connect(), timeout: 20_000 }),
      async [Symbol.asyncDispose]() {
        await it[Symbol.asyncDispose]()
        endCommands()
      },
    }
  },
}

/** In the environment of every command. */
const MARK = { RAMET_MATRIX: String(process.pid) }

/** The hop's clock runs ahead of the real stub behind it: that may be killed before it has ended its commands, which stay then. */
function endCommands(): void {
  for (const { pid } of processesWith(`RAMET_MATRIX=${process.pid}`)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended with the one before.
    }
  }
}

/** What everybody who waits hears; 'ok' when the work is done after all. */
type Hears = 'ok' | { code: string; outcome: string; stage?: string }

interface Event {
  happens(target: MemoryTarget, tree: MemoryTree): void | Promise<void>
  booting: { connect: Hears; work: Hears }
  connected: Hears
  /** What the log says on the way. */
  says?: string
}

const LOST = { code: 'link-lost', outcome: 'unknown' }
const EVENTS: Record<string, Event> = {
  'end of file': {
    happens: (target) => target.endOfFile(),
    // Nobody can say whether the stub ran: its nonce may have been lost on the way.
    booting: { connect: { code: 'boot-eof', outcome: 'unknown', stage: 'launch' }, work: { code: 'boot-eof', outcome: 'unknown' } },
    connected: LOST,
  },
  kill: {
    happens: (target) => target.dies(),
    // All that it printed is here, and no nonce: the stub never ran.
    booting: { connect: { code: 'boot-eof', outcome: 'not-sent', stage: 'launch' }, work: { code: 'boot-eof', outcome: 'not-sent' } },
    connected: LOST,
  },
  garbage: {
    happens: (target) => target.garbage(),
    booting: { connect: { code: 'boot-noise', outcome: 'not-sent', stage: 'launch' }, work: { code: 'boot-noise', outcome: 'not-sent' } },
    connected: { code: 'protocol-error', outcome: 'unknown' },
  },
  stall: {
    async happens(target, tree) {
      target.stall()
      await tree.pass(25_000)
    },
    booting: { connect: { code: 'connect-timeout', outcome: 'not-sent', stage: 'launch' }, work: { code: 'connect-timeout', outcome: 'unknown' } },
    connected: LOST,
    says: 'does not answer',
  },
  'slow reader': {
    async happens(target, tree) {
      target.stall()
      await tree.pass(3500)
      target.flow()
    },
    booting: { connect: 'ok', work: 'ok' },
    connected: 'ok',
    says: 'does not answer',
  },
}

/** One behind a hop that was never reached hears of its hop what all work hears: it had not come anywhere itself. */
function behindHop({ connect, work }: Event['booting']): Hears {
  return connect === 'ok' || work === 'ok' ? 'ok' : { ...work, stage: 'resolve' }
}

type Waiters = Record<string, Promise<unknown>>

async function hears(promise: Promise<unknown>, path: string[]): Promise<unknown> {
  try {
    await promise
    return 'ok'
  } catch (error) {
    if (!isRametError(error)) throw error
    expect(error.path).toEqual(path)
    expect(error.message).toContain(path.at(-1))
    expect(error.hint).not.toBe('')
    return { code: error.code, outcome: error.outcome, ...(error.stage === undefined ? {} : { stage: error.stage }) }
  }
}

async function hearing(waiters: Waiters, path: string[]): Promise<Record<string, unknown>> {
  const entries = Object.entries(waiters).map(async ([name, promise]) => [name, await hears(promise, path)] as const)
  return Object.fromEntries(await Promise.all(entries))
}

function all(waiters: Waiters, what: Hears): Record<string, Hears> {
  return Object.fromEntries(Object.keys(waiters).map((name) => [name, what]))
}

/** Reads to the end, or to the error. */
async function read(child: RemoteChild): Promise<number> {
  let bytes = 0
  for await (const chunk of child.stdout) bytes += (chunk as Buffer).length
  return bytes
}

/** Whether work has to last until the event ends it, or comes to its own end, which takes a moment. */
const lasts = (expected: Hears): boolean => expected !== 'ok'

/** A call, a command and a command with streams. */
function work(context: Connecting | Context, endless: boolean): Waiters {
  const inline = context.with({ isolate: 'none' })
  const pause = endless ? 'sleep 1000' : 'sleep 0.2'
  const child = context.spawn(`${pause}; echo done`, { env: MARK })
  return {
    call: inline.call((never: boolean) => new Promise<void>((resolve) => void (never || setTimeout(resolve, 200))), endless),
    exec: context.exec(pause, { env: MARK }),
    'spawn, its end': child.exited,
    'spawn, its pid': child.pid,
    'spawn, its output': read(child),
  }
}

function streams(context: Context, endless: boolean): Waiters {
  const inline = context.with({ isolate: 'none' })
  const items = async (): Promise<void> => {
    const source = inline.call(async function* (most: number) {
      for (let i = 0; i < most; i++) {
        yield new Uint8Array(1000)
        if (i % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }, endless ? 1e9 : 500)
    let count = 0
    for await (const item of source as AsyncIterable<Uint8Array>) count += item.length
    expect(count).toBe(500_000)
  }
  const down = context.spawn(`i=0; while [ $i -lt ${endless ? 1e6 : 8} ]; do head -c 300000 /dev/zero; sleep 0.03; i=$((i+1)); done`, { env: MARK })
  const up = context.spawn(`sleep ${endless ? 1000 : 0.5}; wc -c`, { env: MARK })
  const upload = new Promise<void>((resolve, reject) => {
    up.exited.catch(reject)
    up.stdin.end(Buffer.alloc(3_000_000), (error?: Error | null) => ((error ?? undefined) === undefined ? resolve() : reject(error)))
  })
  const through = async (): Promise<void> => {
    let said = ''
    for await (const chunk of up.stdout) said += String(chunk)
    expect(said.trim()).toBe('3000000')
  }
  return { 'async iterable': items(), download: read(down), 'download, its end': down.exited, upload, 'upload, its end': up.exited, 'upload, its answer': through() }
}

/** Everything that the context's failure may have left: here, at the target, and among the processes of this machine. */
async function expectNothingLeft({ tree, hit, path }: Tree, before: readonly number[]): Promise<void> {
  expect(tree.channels).toBe(0)
  // What a hop is asked for on the channel by which it holds a context is accounted for when bytes are short, not before.
  expect(tree.budgets('web1').down).toBeLessThanOrEqual(path.length === 1 ? 0 : 3 * (HEADER_SIZE + 5))
  expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
  if (hit().stub !== undefined) expect(hit().exitCode).toBe(0)
  await vi.waitFor(() => expect(ownChildren().filter((pid) => !before.includes(pid))).toEqual([]), 10_000)
}

async function expectWell(bystander: Context): Promise<void> {
  expect(bystander.state).toBe('connected')
  expect(await bystander.with({ isolate: 'none' }).call(() => 'well')).toBe('well')
  expect((await bystander.exec('echo well')).stdout).toBe('well\n')
}

describe.each(Object.entries(PLACES))('%s', (_place, build) => {
  describe.each(Object.entries(EVENTS))('%s', (name, event) => {
    const after = (expected: Hears): string => (expected === 'ok' ? 'connected' : 'lost')

    test('while it boots: connect and all work that left with it hear the same, at once', async () => {
      const before = ownChildren()
      await using it = await build(name === 'slow reader' ? 'held' : 'silent')
      const connecting = it.connect()
      const waiters = work(connecting, lasts(event.booting.work))
      const told = hearing(waiters, it.path)
      const opened = hears(connecting, it.path)
      await settle()
      if (name === 'garbage') it.hit().near.inject(Buffer.alloc(MAX_NOISE, 'x'))
      await event.happens(it.hit(), it.tree)
      expect(await opened).toEqual(it.path.length === 1 ? event.booting.connect : behindHop(event.booting))
      expect(await told).toMatchObject(all(waiters, event.booting.work))
      await expectWell(it.bystander)
      await expectNothingLeft(it, before)
    })

    test('while it is idle: the context says so, refuses work that was never sent, and can be opened anew', async () => {
      const before = ownChildren()
      await using it = await build(undefined)
      const context = await it.connect()
      const ping = { ping: context.ping() }
      const told = hearing(ping, it.path)
      await event.happens(it.hit(), it.tree)
      await settle()
      expect(context.state).toBe(after(event.connected))
      // The ping's answer may have been faster than the event.
      if (name === 'stall') expect(await told).toEqual(all(ping, event.connected))
      const next = await hears(context.with({ isolate: 'none' }).call(() => 1), it.path)
      expect(next).toEqual(event.connected === 'ok' ? 'ok' : { code: event.connected.code, outcome: 'not-sent' })
      const again = await it.connect()
      expect(await again.with({ isolate: 'none' }).call(() => 'back')).toBe('back')
      await expectWell(it.bystander)
      await expectNothingLeft(it, before)
    })

    test('while it works: calls and commands hear it, at once', async () => {
      const before = ownChildren()
      await using it = await build(undefined)
      const context = await it.connect()
      await context.exec('true')
      const others = work(context, lasts(event.connected))
      // Its answer may come before anything happens.
      delete others['spawn, its pid']
      const told = hearing(others, it.path)
      await settle()
      await event.happens(it.hit(), it.tree)
      expect(await told).toEqual(all(others, event.connected))
      if (event.says !== undefined) expect(it.log).toContain(event.says)
      expect(context.state).toBe(after(event.connected))
      await expectWell(it.bystander)
      await expectNothingLeft(it, before)
    })

    test('while it streams: both ends of every stream hear it, and nothing stays in the budgets', async () => {
      const before = ownChildren()
      await using it = await build(undefined)
      const context = await it.connect()
      const waiters = streams(context, lasts(event.connected))
      const told = hearing(waiters, it.path)
      await vi.waitFor(() => expect(it.tree.channels).toBeGreaterThan(2), { timeout: 10_000, interval: 2 })
      await settle()
      await event.happens(it.hit(), it.tree)
      expect(await told).toEqual(all(waiters, event.connected))
      await expectWell(it.bystander)
      await expectNothingLeft(it, before)
    })
  })
})
