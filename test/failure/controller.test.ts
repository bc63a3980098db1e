import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pino } from 'pino'
import { Controller, type RametError } from '../../src/controller/index.ts'
import { controllerProcesses, type ControllerProcesses, processesOf } from '../helpers/controller-process.ts'
import { haveSshd } from '../helpers/sshd.ts'
import { alive, expectGone, type Machines, pidOf, soon, startMachines } from '../helpers/tree-lab.ts'

/*
 * A controller with a tree of three levels and more is killed while code of every context spins and commands ignore TERM: within
 * ten seconds nothing of it is left on any level.
 */

let processes: ControllerProcesses
let machines: Machines | undefined

beforeAll(async () => {
  processes = await controllerProcesses()
  if (haveSshd) machines = await startMachines(3)
})

afterAll(async () => {
  processes[Symbol.dispose]()
  await machines?.[Symbol.asyncDispose]()
})

const isRoot = process.getuid?.() === 0
const sudo = isRoot ? 'sudo:root' : 'local:'

/** Builds args.levels behind one another, twice, and has everything run everywhere; says the process ids of what must be gone. */
const BUSY = `
  const controller = new ramet.Controller({ logger: quiet })
  const contexts = []
  for (const branch of [1, 2]) {
    let via
    for (const [target, options] of args.levels) {
      via = controller.connect(target, { ...options, ...(via === undefined ? {} : { via }), fresh: contexts.length > 0 })
      contexts.push(via)
    }
  }
  const all = await Promise.all(contexts)
  const pids = []
  for (const context of all) {
    const stubborn = context.spawn('trap "" TERM HUP INT; while :; do sleep 1; done')
    const family = context.spawn('sleep 300 & sleep 301 & wait')
    const blocked = context.spawn('yes')
    const child = await context.call(() => require('child_process').spawn('sleep', ['302'], { stdio: 'inherit' }).pid)
    pids.push(context.info.pid, await stubborn.pid, await family.pid, await blocked.pid, child)
  }
  for (const context of all) {
    void context.call(() => { for (;;); }).catch(() => {})
    void context.ping().catch(() => {})
  }
  const isolated = all[all.length - 1].with({ isolate: 'process' }).call(async function* () {
    yield process.pid
    await new Promise((resolve) => setTimeout(resolve, 100))
    for (;;);
  })
  pids.push((await isolated[Symbol.asyncIterator]().next()).value)
`

describe('kill -9 of a controller', () => {
  const levels = {
    'local, local and sudo': () => [['local:', {}], ['local:', {}], [sudo, {}]],
    ...(haveSshd ? {
      'ssh, ssh, sudo and local': () => [1, 2].map((number) => [machines?.at(number), machines?.login]).concat([[sudo, {}], ['local:', {}]]),
    } : {}),
  }

  test.each(Object.entries(levels))('%s: nothing is left on any level', async (_name, of) => {
    const running = processes.start(`${BUSY}
      say('ready', pids.join(' '))
    `, { levels: of() })
    const pids = (await running.said('ready')).split(' ').map(Number)
    expect(pids.length).toBeGreaterThan(2 * of().length * 5)
    expect(pids.slice(0, -1).filter((pid) => !alive(pid))).toEqual([])
    running.child.kill('SIGKILL')
    await running.ended
    await expectGone(pids)
    await soon(() => {
      expect(processesOf(processes.home)).toEqual([])
      if (machines !== undefined) expect(processesOf(join(machines.server.dir, 'home'))).toEqual([])
    })
  }, 60_000)

  test('while contexts boot on every level: nothing is left either', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'ramet-booting-'))
    const node = join(dir, 'node.sh')
    // Each stands where Node would start until it is let go.
    writeFileSync(node, `#!/bin/sh\n: >${dir}/at.$$\nuntil [ -e ${dir}/go ]; do sleep 0.05; done\nexec node "$@"\n`, { mode: 0o755 })
    const running = processes.start(`
      const controller = new ramet.Controller({ logger: quiet })
      const hop = await controller.connect('local:')
      const middle = await hop.connect('local:')
      for (const via of [hop, middle]) for (let i = 0; i < 5; i++) void via.connect('local:', { node: args.node, fresh: true }).exec('sleep 300').catch(() => {})
      for (let i = 0; i < 5; i++) void controller.connect('local:', { node: args.node, fresh: true }).exec('sleep 300').catch(() => {})
      say('ready', hop.info.pid, middle.info.pid)
    `, { node })
    const pids = (await running.said('ready')).split(' ').map(Number)
    await soon(() => expect(readdirSync(dir).filter((name) => name.startsWith('at.')).length).toBeGreaterThan(5))
    expect(processesOf(processes.home).filter(({ command }) => command.includes('node.sh')).length).toBeGreaterThan(5)
    running.child.kill('SIGKILL')
    await running.ended
    writeFileSync(join(dir, 'go'), '')
    await soon(() => expect(processesOf(processes.home)).toEqual([]))
    expect(pids.filter(alive)).toEqual([])
    rmSync(dir, { recursive: true })
  }, 30_000)
})

describe('kill -9 of a controller ends commands without an interpreter behind a hop, which neither read nor write', () => {
  const ways = {
    'the hop\'s own account': () => [['local:', {}], ['local:', {}]],
    ...(isRoot ? Object.fromEntries(['sudo:root', 'su:root'].map((target) => [target, () => [['local:', {}], [target, {}]]])) : {}),
    ...(haveSshd ? {
      ssh: () => [['local:', {}], [machines?.at(1), machines?.login]],
      'the hop\'s ssh': () => [['local:', {}], [machines?.at(1), { ...machines?.login, transport: 'openssh', agent: true, hostKeys: 'ignore' }]],
      'two hops and ssh': () => [['local:', {}], [machines?.at(1), machines?.login], [machines?.at(2), machines?.login]],
    } : {}),
  }

  test.each(Object.entries(ways))('%s', async (_name, of) => {
    const running = processes.start(`
      const controller = new ramet.Controller({ logger: quiet })
      let context
      for (const [i, [target, options]] of args.levels.entries()) {
        const last = i === args.levels.length - 1
        context = await controller.connect(target, { ...options, ...(last ? { runtime: 'raw' } : {}), ...(context === undefined ? {} : { via: context }) })
      }
      const stubborn = context.spawn('trap "" TERM HUP INT; while :; do sleep 1; done')
      const family = context.spawn('sleep 300 & echo $!; exec >&- 2>&-; sleep 301 & wait')
      const child = await new Promise((resolve) => family.stdout.once('data', (text) => resolve(String(text).trim())))
      // A job that an ended command has left in its group holds the process's channel, and is nobody's to end.
      const { stdout } = await context.exec('sleep 302 & echo $!')
      say('ready', await stubborn.pid, await family.pid, child, stdout.trim())
    `, { levels: of() })
    const pids = (await running.said('ready')).split(' ').map(Number)
    const stays = pids.pop() as number
    expect(pids.filter((pid) => !alive(pid))).toEqual([])
    running.child.kill('SIGKILL')
    await running.ended
    try {
      await expectGone(pids)
      expect(alive(stays)).toBe(true)
    } finally {
      for (const pid of [...pids, stays]) {
        try {
          process.kill(pid, 'SIGKILL')
        } catch {
          // It has ended.
        }
      }
    }
    await soon(() => expect(processesOf(processes.home)).toEqual([]))
  }, 30_000)
})

test.skipIf(!haveSshd)(`a hop that froze and was lost ends commands without an interpreter once it goes on${haveSshd ? '' : ' (left out: there is no sshd)'}`, async () => {
  await using ramet = new Controller({ logger: pino({ level: 'silent' }) })
  const hop = await ramet.connect(machines?.at(1) ?? '', { ...machines?.login, keepalive: { interval: 100, count: 3 } })
  const contexts = await Promise.all([
    hop.connect(machines?.at(2) ?? '', { ...machines?.login, runtime: 'raw' }),
    ...['local:', sudo].map((target) => hop.connect(target, { runtime: 'raw', fresh: true })),
  ])
  const commands = contexts.map((context) => context.spawn('sleep 303 & wait'))
  const ends = commands.map(({ exited }) => exited.then(() => 'ended', (error: RametError) => error.code))
  const pids = await Promise.all(commands.map(({ pid }) => pid))
  await Promise.all(contexts.map((context) => context.exec('true')))
  process.kill(pidOf(hop), 'SIGSTOP')
  try {
    expect(await Promise.all(ends)).toEqual(pids.map(() => 'link-lost'))
    expect(pids.filter((pid) => !alive(pid))).toEqual([])
  } finally {
    process.kill(pidOf(hop), 'SIGCONT')
  }
  await expectGone([...pids, pidOf(hop)])
}, 30_000)

test.skipIf(!isRoot).each(['sudo:root', 'su:root', 'local:'])(`%s: a hop that froze and was lost is let go on, and ends commands without an interpreter${isRoot ? '' : ' (left out: needs root)'}`, async (target) => {
  await using ramet = new Controller({ logger: pino({ level: 'silent' }) })
  const hop = await ramet.connect(target, { keepalive: { interval: 100, count: 3 } })
  const context = await hop.connect('local:', { runtime: 'raw', fresh: true })
  const command = context.spawn('sleep 303 & wait')
  const end = command.exited.then(() => 'ended', (error: RametError) => error.code)
  const pid = await command.pid
  await context.exec('true')
  process.kill(pidOf(hop), 'SIGSTOP')
  try {
    expect(await end).toBe('link-lost')
    await expectGone([pid, pidOf(hop)])
  } finally {
    if (alive(pid)) process.kill(-pid, 'SIGKILL')
  }
}, 30_000)
