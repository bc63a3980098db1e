import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { Controller } from '../../src/controller/index.ts'
import { processesOf } from '../helpers/controller-process.ts'
import { failure, loginTo, quietController, records, targetOf } from '../helpers/e2e-lab.ts'
import { haveSshd } from '../helpers/sshd.ts'
import { WaysLab } from '../helpers/ways-lab.ts'

let lab: WaysLab

beforeAll(async () => {
  lab = await WaysLab.start()
})

afterAll(() => lab.stop())

const WAYS = ['local', 'ssh2', 'openssh'] as const

/** Everything that can be under way at once; says 'ready' with the pids of what must be gone later. */
const BUSY = `
  const controller = new ramet.Controller({ logger: quiet })
  const context = await controller.connect(args.target, { ...args.options, runtime: 'node' })
  await context.exec('true')
  const stubborn = context.spawn('trap "" TERM HUP INT; while :; do sleep 1; done')
  const blocked = context.spawn('yes')
  const family = context.spawn('sleep 300 & sleep 301 & wait')
  const pids = [await stubborn.pid, await blocked.pid, await family.pid]
  await context.exec('true')
  const child = await context.call(() => {
    const { spawn } = require('child_process')
    return spawn('sleep', ['302'], { stdio: 'inherit' }).pid
  })
  void context.call(() => { for (;;); }).catch(() => {})
  void context.ping().catch(() => {})
`

describe('a controller that has closed everything', () => {
  const END = `say('closed')`

  test.each(WAYS.filter((name) => name === 'local' || haveSshd))('over %s ends by itself: nothing keeps its event loop', async (transport) => {
    const { target, options, home } = lab.way(transport)
    const body = `${BUSY}
      const abort = new AbortController()
      const aborted = context.with({ signal: abort.signal }).call(() => new Promise(() => {})).catch((error) => error.code)
      abort.abort()
      say('aborted', await aborted)
      say('timeout', await context.exec('sleep 300', { timeout: 100 }).catch((error) => error.code))
      await Promise.all([context.close(), context.close(), controller.close()])
      await controller.close()
      ${END}
    `
    const running = lab.processes.start(body, { target, options })
    await running.said('closed')
    // What close() has waited for is gone when it returns.
    expect(processesOf(home, [running.child.pid]).filter(({ command }) => /sleep|yes|ramet/.test(command))).toEqual([])
    const { code, lines, stderr } = await running.ended
    expect({ code, stderr, lines }).toEqual({ code: 0, stderr: '', lines: ['aborted cancelled', 'timeout timeout', 'closed'] })
  })

  test('ends by itself after connections that failed or were given up', async () => {
    const running = lab.processes.start(`
      const controller = new ramet.Controller({ logger: quiet })
      const code = (promise) => promise.then(() => 'ok', (error) => error.code)
      const abort = new AbortController()
      const all = [
        controller.connect('ssh://nobody@127.0.0.1:1', { sshConfig: false, hostKeys: 'ignore' }),
        controller.connect('ssh://nobody@127.0.0.1:1', { sshConfig: false, transport: 'openssh' }),
        controller.connect('local:', { node: '/nowhere/node', runtime: 'node' }),
        controller.connect('local:', { node: ['sh', '-c', 'sleep 300'], fresh: true, timeout: 300 }),
        controller.connect('local:', { node: ['sh', '-c', 'sleep 301'], fresh: true, signal: abort.signal }),
      ]
      setTimeout(() => abort.abort(), 100)
      say('codes', (await Promise.all(all.map(code))).join(' '))
      const closing = controller.connect('local:', { node: ['sh', '-c', 'sleep 302'], fresh: true })
      setTimeout(() => void controller.close().then(() => say('closed')), 100)
      say('closing', await code(closing))
    `)
    await running.said('closed')
    expect(processesOf(lab.processes.home, [running.child.pid])).toEqual([])
    const { code, lines } = await running.ended
    expect(code).toBe(0)
    expect(lines).toEqual(['codes connect-refused connect-refused no-interpreter connect-timeout cancelled', 'closing closed', 'closed'])
  })

  test('closes the same way however often and from however many sides it is asked', async () => {
    const controller = quietController()
    const context = await controller.connect('local:')
    const running = context.exec('sleep 300')
    const failed = failure(running)
    await Promise.all([context.close(), controller.close(), context.close(), controller.close()])
    expect(await failed).toMatchObject({ code: 'closed', outcome: 'unknown', path: ['local'] })
    await context.close()
    await controller.close()
    expect(context.state).toBe('closed')
    await expect(context.exec('true')).rejects.toMatchObject({ code: 'closed', outcome: 'not-sent' })
    await expect(async () => controller.connect('local:')).rejects.toMatchObject({ code: 'closed', outcome: 'not-sent' })
  })
})

describe('after kill -9 of the controller', () => {
  test.each(WAYS.filter((name) => name === 'local' || haveSshd))('over %s nothing of ours is left: not what spins, nor ignores TERM, nor is blocked', async (transport) => {
    const { target, options, home } = lab.way(transport)
    const running = lab.processes.start(`${BUSY}
      say('ready', [...pids, child].join(' '))
    `, { target, options })
    const pids = (await running.said('ready')).split(' ').map(Number)
    expect(pids).toHaveLength(4)
    expect(processesOf(home, [running.child.pid]).map(({ pid }) => pid)).toEqual(expect.arrayContaining(pids))
    running.child.kill('SIGKILL')
    await running.ended
    await vi.waitFor(() => expect(processesOf(home)).toEqual([]), { timeout: 10_000, interval: 50 })
  }, 30_000)

  test('a Worker that sits in a system call does not keep the stub', async () => {
    const running = lab.processes.start(`
      const controller = new ramet.Controller({ logger: quiet })
      const context = await controller.connect('local:')
      say('failed', await context.call(() => require('child_process').execSync('sleep 300')).catch((error) => error.message))
    `)
    await vi.waitFor(() => expect(processesOf(lab.processes.home).some(({ command }) => command.endsWith('sleep 300'))).toBe(true), { timeout: 8000, interval: 50 })
    running.child.kill('SIGKILL')
    await running.ended
    await vi.waitFor(() => expect(processesOf(lab.processes.home)).toEqual([]), { timeout: 10_000, interval: 50 })
  }, 30_000)
})

describe('a stub that is ended from outside', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)('by %s ends its commands first, and the controller hears at once', async (signal) => {
    await using controller = quietController()
    const context = await controller.connect('local:', { fresh: true })
    const child = context.spawn('sleep 300 & wait')
    const pid = await child.pid
    const before = context.with({ isolate: 'none' })
    await before.call(() => 0)
    const call = before.call(() => new Promise(() => {}))
    process.kill(context.info?.pid ?? 0, signal)
    expect(await child.exited).toEqual({ exitCode: null, signal: 'SIGTERM' })
    await expect(call).rejects.toMatchObject({ code: 'link-lost', outcome: 'unknown', path: ['local'] })
    await vi.waitFor(() => expect(processesIn(pid)).toEqual([]), 10_000)
    expect(context.state).toBe('lost')
  })

  test('by kill -9 is heard of at once; its commands have no supervisor and stay', async () => {
    await using controller = quietController()
    const context = await controller.connect('local:', { fresh: true })
    const child = context.spawn('trap "" PIPE; sleep 300')
    await context.call(() => 0)
    const call = context.call(() => new Promise(() => {}))
    const pid = await child.pid
    try {
      const start = performance.now()
      process.kill(context.info?.pid ?? 0, 'SIGKILL')
      await expect(child.exited).rejects.toMatchObject({ code: 'link-lost', outcome: 'unknown' })
      await expect(call).rejects.toMatchObject({ code: 'link-lost', outcome: 'unknown' })
      expect(performance.now() - start).toBeLessThan(2000)
      expect(processesIn(pid)).not.toEqual([])
      expect(await controller.connect('local:', { fresh: true }).exec('echo again')).toMatchObject({ stdout: 'again\n' })
    } finally {
      process.kill(-pid, 'SIGKILL')
    }
  })
})

describe.skipIf(!haveSshd)('a silent network', () => {
  test('makes a context unresponsive, then lost, and the stub ends by itself; what comes back later finds nobody', async () => {
    const { logger, all } = records()
    await using controller = new Controller({ logger })
    const context = await controller.connect(targetOf(lab.server), { ...loginTo(lab.server), keepalive: { interval: 200, count: 3 } })
    const stub = context.info?.pid ?? 0
    const session = parentOf(stub)
    const child = context.spawn('sleep 300')
    const pid = await child.pid
    process.kill(session, 'SIGSTOP')
    try {
      const start = performance.now()
      await expect(child.exited).rejects.toMatchObject({ code: 'link-lost', outcome: 'unknown' })
      expect(performance.now() - start).toBeLessThan(2500)
      const said = all.filter(({ level }) => level === 40).map(({ msg }) => msg)
      expect(said).toEqual(['does not answer', expect.stringContaining('has not answered for 0.6 s')])
      expect(context.state).toBe('lost')
      await vi.waitFor(() => expect(alive(stub)).toBe(false), { timeout: 10_000, interval: 20 })
      expect(processesIn(pid)).toEqual([])
    } finally {
      process.kill(session, 'SIGCONT')
    }
  })

  test('that comes back within the limit costs nothing', async () => {
    await using controller = quietController()
    const context = await controller.connect(targetOf(lab.server), { ...loginTo(lab.server), keepalive: { interval: 200, count: 20 } })
    const session = parentOf(context.info?.pid ?? 0)
    const running = context.exec('sleep 0.1; echo done')
    process.kill(session, 'SIGSTOP')
    await vi.waitFor(() => expect(context.state).toBe('unresponsive'), 10_000)
    process.kill(session, 'SIGCONT')
    expect((await running).stdout).toBe('done\n')
    await vi.waitFor(() => expect(context.state).toBe('connected'), 10_000)
  })
})

/** Whether a process lives. One that nobody has collected yet does not. */
function alive(pid: number): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** Those that live in a process group. */
function processesIn(group: number): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number)
  return pids.filter((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]) === group && alive(pid)
    } catch {
      return false
    }
  })
}

function parentOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
}

