import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Connecting, type Context, Controller, type RemoteChild } from '../../src/controller/index.ts'
import { failure, leakCheck, records } from '../helpers/e2e-lab.ts'
import { alive, expectGone, pidOf, soon, withText } from '../helpers/tree-lab.ts'

/*
 * A tree of real processes in which one of them is killed or stops, in every place and phase: who waits hears it with his own
 * path, what is below ends, and everybody else goes on.
 */

const sudo = process.getuid?.() === 0 ? 'sudo:root' : 'local:'
const SHAPE = {
  hop: { target: 'local:', parent: undefined },
  middle: { target: 'local:', parent: 'hop' },
  grandchild: { target: sudo, parent: 'middle' },
  sibling: { target: 'local:', parent: 'hop' },
  cousin: { target: sudo, parent: 'sibling' },
} as const
type Name = keyof typeof SHAPE
const NAMES = Object.keys(SHAPE) as Name[]

const EVENTS = {
  'kill -9': { signal: 'SIGKILL', keepalive: undefined },
  // Half a second for an answer: this machine may be busy.
  SIGSTOP: { signal: 'SIGSTOP', keepalive: { interval: 500, count: 3 } },
} as const

let dir: string
let log: ReturnType<typeof records>
let ramet: Controller
let tree: Record<Name, Context>
let noLeaks: () => Promise<void>
/** What outlives a stub that had no chance to end it. */
let orphans: number[]

beforeEach(() => {
  noLeaks = leakCheck()
  dir = mkdtempSync(join(tmpdir(), 'ramet-tree-'))
  log = records()
  ramet = new Controller({ logger: log.logger })
  orphans = []
})

afterEach(async () => {
  await ramet.close()
  for (const pid of orphans) {
    try {
      process.kill(-pid, 'SIGKILL')
    } catch {
      // It has ended with its pipes.
    }
  }
  await noLeaks()
  await soon(() => expect(withText(dir)).toEqual([]))
  rmSync(dir, { recursive: true })
})

async function grow(keepalive: { interval: number; count: number } | undefined): Promise<void> {
  const connecting = new Map<Name, Connecting>()
  for (const name of NAMES) {
    const { target, parent } = SHAPE[name]
    const via = parent === undefined ? undefined : connecting.get(parent)
    connecting.set(name, ramet.connect(target, { fresh: true, ...(via === undefined ? {} : { via }), ...(keepalive === undefined ? {} : { keepalive }) }))
  }
  const contexts = await Promise.all([...connecting].map(async ([name, context]) => [name, await context] as const))
  tree = Object.fromEntries(contexts) as Record<Name, Context>
  // The commands' code is there, and so is the Worker.
  await Promise.all(NAMES.map((name) => Promise.all([tree[name].call(() => 0), tree[name].exec('true')])))
}

function isAtOrBelow(name: Name, victim: Name): boolean {
  for (let at: Name | undefined = name; at !== undefined; at = SHAPE[at].parent) if (at === victim) return true
  return false
}

async function expectWell(victim: Name): Promise<void> {
  const others = NAMES.filter((name) => !isAtOrBelow(name, victim))
  expect(Object.fromEntries(others.map((name) => [name, tree[name].state]))).toEqual(Object.fromEntries(others.map((name) => [name, 'connected'])))
  const answers = await Promise.all(others.flatMap((name) => [tree[name].call(() => 'well'), tree[name].exec('echo well').then(({ stdout }) => stdout.trim())]))
  expect(answers).toEqual(answers.map(() => 'well'))
}

/** Process ids of what was started in place of Node. */
function booting(): number[] {
  return readdirSync(dir).flatMap((name) => (name.startsWith('at.') ? [Number(name.slice(3))] : []))
}

interface Work {
  name: Name
  ends: Promise<unknown>[]
  children: RemoteChild[]
}

const WORK: Record<'idle' | 'calling' | 'streaming', (name: Name) => Work> = {
  idle: (name) => ({ name, ends: [], children: [] }),
  calling(name) {
    const child = tree[name].spawn(`sleep 600; : ${dir}`)
    const ends = [tree[name].call(() => new Promise(() => {})), tree[name].exec(`sleep 601; : ${dir}`), child.exited]
    return { name, ends, children: [child] }
  },
  streaming(name) {
    const child = tree[name].spawn(`while :; do printf %04096d 0; sleep 0.02; done; : ${dir}`)
    const up = tree[name].spawn(`sleep 602; : ${dir}`)
    const read = async (): Promise<void> => {
      for await (const chunk of child.stdout) expect((chunk as Buffer).length).toBeGreaterThan(0)
    }
    const items = async (): Promise<void> => {
      const source = tree[name].call(async function* () {
        for (;;) {
          yield new Uint8Array(100)
          await new Promise((resolve) => setTimeout(resolve, 5))
        }
      }) as AsyncIterable<Uint8Array>
      for await (const item of source) expect(item).toHaveLength(100)
    }
    const upload = new Promise((_, reject) => {
      up.stdin.write(Buffer.alloc(3_000_000), (error) => reject(error ?? new Error('it was taken')))
    })
    return { name, ends: [read(), items(), upload, child.exited, up.exited], children: [child, up] }
  },
}

describe.each(Object.entries(EVENTS))('%s', (event, { signal, keepalive }) => {
  describe.each(NAMES)('of the %s', (victim) => {
    test.each(['idle', 'calling', 'streaming'] as const)('while all are %s', async (phase) => {
      await grow(keepalive)
      const pids = Object.fromEntries(NAMES.map((name) => [name, pidOf(tree[name])])) as Record<Name, number>
      const work = NAMES.map((name) => WORK[phase](name))
      const hit = work.filter(({ name }) => isAtOrBelow(name, victim))
      const heard = Promise.all(hit.flatMap(({ name, ends }) => ends.map(async (end) => [name, await failure(end)] as const)))
      let early = false
      const spared = work.filter(({ name }) => !isAtOrBelow(name, victim)).flatMap(({ ends }) => ends)
      for (const end of spared) end.then(() => (early = true), () => (early = true))
      const begun = await Promise.all(work.flatMap(({ name, children }) => children.map(async (child) => ({ name, pid: await child.pid }))))
      await Promise.all(NAMES.map((name) => tree[name].exec('true')))
      // Those of the victim itself have no supervisor any more.
      orphans.push(...withText(dir).map((line) => Number.parseInt(line)))

      process.kill(pids[victim], signal)

      for (const [name, error] of await heard) {
        expect(error).toMatchObject({ code: 'link-lost', outcome: 'unknown', path: tree[name].path })
        expect(error.message).toContain(tree[name].path.join(' > '))
        expect(error.hint).toMatch(/\w+ \w+/)
      }
      const lost = NAMES.filter((name) => isAtOrBelow(name, victim))
      await soon(() => expect(lost.map((name) => tree[name].state)).toEqual(lost.map(() => 'lost')))
      for (const name of lost) expect(await failure(tree[name].exec('true'))).toMatchObject({ code: 'link-lost', outcome: 'not-sent', path: tree[name].path })
      if (event === 'SIGSTOP') {
        const said = log.all.filter(({ context }) => context === tree[victim].path.join(' > ')).map(({ msg }) => msg)
        expect(said.slice(0, 2)).toEqual(['does not answer', expect.stringContaining('has not answered for 1.5 s')])
      }
      // Below it everything ends, and what runs there.
      await expectGone(lost.map((name) => pids[name]))
      await expectGone(begun.filter(({ name }) => name !== victim && isAtOrBelow(name, victim)).map(({ pid }) => pid))
      await expectWell(victim)
      expect(early).toBe(false)
      expect(begun.filter(({ name }) => !isAtOrBelow(name, victim)).map(({ pid }) => alive(pid))).not.toContain(false)
      for (const end of spared) end.catch(() => {})
    }, 30_000)

    test('while a context below it boots', async () => {
      await grow(keepalive)
      const pids = Object.fromEntries(NAMES.map((name) => [name, pidOf(tree[name])])) as Record<Name, number>
      const node = join(dir, 'node.sh')
      writeFileSync(node, `#!/bin/sh\n: >${dir}/at.$$\nexec cat <&3 >/dev/null\n`, { mode: 0o755 })
      const connecting = NAMES.filter((name) => isAtOrBelow(name, victim)).map((name) => ({ name, child: ramet.connect('local:', { via: tree[name], node, fresh: true }) }))
      const called = connecting.map(async ({ name, child }) => [name, await failure(child.call(() => 1))] as const)
      const opened = connecting.map(async ({ name, child }) => [name, await failure(child)] as const)
      await soon(() => expect(booting()).toHaveLength(connecting.length))
      const started = booting()
      process.kill(pids[victim], signal)
      for (const [name, error] of await Promise.all(opened)) {
        // As far as had been heard of it by then.
        expect(error).toMatchObject({ code: 'link-lost', path: [...tree[name].path, 'local'], stage: expect.stringMatching(/^(launch|resolve)$/) as string })
        expect(error.message).toContain(`was lost with its hop ${tree[name].path.join(' > ')}`)
      }
      for (const [name, error] of await Promise.all(called)) expect(error).toMatchObject({ code: 'link-lost', path: [...tree[name].path, 'local'] })
      await expectGone([...started, ...NAMES.filter((name) => isAtOrBelow(name, victim)).map((name) => pids[name])])
      await expectWell(victim)
    }, 30_000)
  })
})

test('a context that dies while it boots, two hops away: its error says how, and nobody else notices', async () => {
  await grow(undefined)
  const node = join(dir, 'node.sh')
  writeFileSync(node, `#!/bin/sh\necho "the last words" >&2\n: >${dir}/at.$$\nexec cat <&3 >/dev/null\n`, { mode: 0o755 })
  const connecting = ramet.connect('local:', { via: tree.grandchild, node })
  const work = failure(connecting.exec('true'))
  const heard = failure(connecting)
  await soon(() => expect(booting()).toHaveLength(1))
  process.kill(booting()[0] as number, 'SIGKILL')
  const error = await heard
  expect(error).toMatchObject({ code: 'boot-eof', stage: 'launch', path: [...tree.grandchild.path, 'local'] })
  expect(error.message).toContain('the last words')
  expect(error.message).toContain('SIGKILL')
  expect(await work).toMatchObject({ code: 'boot-eof', path: [...tree.grandchild.path, 'local'] })
  for (const name of NAMES) expect(tree[name].state).toBe('connected')
})
