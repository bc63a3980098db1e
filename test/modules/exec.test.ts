import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { shellText } from '../../src/connect/command.ts'
import { placeOf } from '../../src/modules/place.ts'
import { Pipes } from '../../src/modules/pipes.ts'
import { WarmShells, warmLine } from '../../src/modules/warm-shells.ts'
import { systemClock } from '../../src/base/clock.ts'
import { runCommand } from '../../src/controller/exec.ts'
import { spawnCommand } from '../../src/controller/spawn.ts'
import { ServiceLane, testHost } from '../helpers/service-lane.ts'

const context = { name: 'here', path: ['here'], clock: systemClock }

function alive(pid: number): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2))
}

const lanes: ServiceLane[] = []
function newLane(environment?: Record<string, string | undefined>): ServiceLane {
  const lane = new ServiceLane(testHost(environment))
  lanes.push(lane)
  return lane
}
/** Pipes of which so many wait. */
async function stocked(count: number): Promise<Pipes> {
  const made = new Pipes()
  opened.push(made)
  const ends = await taken(made, count)
  if (ends !== undefined) made.giveBack(ends)
  return made
}
function taken(pipes: Pipes, count: number): Promise<number[] | undefined> {
  return new Promise((resolve) => pipes.take(count, resolve))
}
const opened: Pipes[] = []
afterEach(() => {
  for (const pipes of opened.splice(0)) pipes.close()
  for (const lane of lanes.splice(0)) placeOf(lane.host).shells.close()
  vi.useRealTimers()
})

describe('the exec module', () => {
  test('sends no more than the channel takes, plus what was read when it said no', async () => {
    const lane = newLane()
    const child = spawnCommand(lane, 'head -c 20000000 /dev/zero', {}, context)
    await until(() => lane.unconsumed >= 256 * 1024)
    let size = 0
    for await (const chunk of child.stdout) size += (chunk as Buffer).length
    expect(size).toBe(20_000_000)
    expect(lane.most).toBeGreaterThanOrEqual(256 * 1024)
    expect(lane.most).toBeLessThan(512 * 1024)
    expect(lane.unconsumed).toBe(0)
  })

  test('a reset ends the group: TERM, half a second, KILL', async () => {
    const lane = newLane()
    const child = spawnCommand(lane, 'trap "" TERM; sleep 60 & echo $!; while :; do wait; done', {}, context)
    const job = Number(String(await new Promise((resolve) => child.stdout.once('data', resolve))))
    const pid = await child.pid
    expect([...lane.host.groups]).toContain(pid)
    lane.resets[0]?.()
    await expect(child.exited).rejects.toMatchObject({ code: 'link-lost' })
    await until(() => !alive(pid) && !alive(job))
    await until(() => !lane.host.groups.has(pid))
    expect([alive(pid), alive(job)]).toEqual([false, false])
  })

  test('a command that never reads stdin costs its sender nothing that is not given back', async () => {
    const result = await runCommand(newLane(), 'exec 0<&-; sleep 0.1; echo done', { stdin: Buffer.alloc(4_000_000) }, context)
    expect(result).toMatchObject({ stdout: 'done\n', exitCode: 0 })
  })

  test('a background job that never stops printing does not keep the result', async () => {
    const result = await runCommand(newLane(), 'yes & echo $! >&2', { maxOutput: 100_000 }, context)
    expect(result.exitCode).toBe(0)
    process.kill(Number(result.stderr), 'SIGKILL')
  })

  test('removes its group from the process table at the end, background job or not', async () => {
    const lane = newLane()
    const result = await runCommand(lane, 'sleep 60 & echo $!', {}, context)
    placeOf(lane.host).shells.close()
    await until(() => lane.host.groups.size === 0)
    expect(alive(Number(result.stdout))).toBe(true)
    process.kill(Number(result.stdout), 'SIGKILL')
  })

  test('works in the root directory where the home directory is missing', async () => {
    const lane = newLane({ ...process.env, HOME: '/no/such/home' })
    expect((await runCommand(lane, 'pwd; cd ..', {}, context)).stdout).toBe('/\n')
  })
})

describe('waiting shells', () => {
  test('are started after the first command and not before, two at most, and used by the next', async () => {
    const lane = newLane()
    expect(lane.host.groups.size).toBe(0)
    await runCommand(lane, 'true', {}, context)
    await until(() => lane.host.groups.size === 2)
    const waiting = [...lane.host.groups]
    const { stdout } = await runCommand(lane, 'echo $$', {}, context)
    expect(waiting).toContain(Number(stdout))
    await until(() => lane.host.groups.size === 2)
  })

  test('are not used for a directory or variables of the command\'s own, nor for several lines', async () => {
    const lane = newLane()
    await runCommand(lane, 'true', {}, context)
    await until(() => lane.host.groups.size === 2)
    const waiting = [...lane.host.groups]
    for (const [command, options] of [['echo $$', { cwd: '/' }], ['echo $$', { env: { A: '1' } }], ['echo\necho $$', {}]] as const) {
      expect(waiting).not.toContain(Number(String((await runCommand(lane, command, options, context)).stdout).trim()))
    }
  })

  test('one that was killed meanwhile is replaced, and no command is given to it', async () => {
    const lane = newLane()
    await runCommand(lane, 'true', {}, context)
    await until(() => lane.host.groups.size === 2)
    const killed = [...lane.host.groups]
    for (const pid of killed) process.kill(pid, 'SIGKILL')
    await until(() => !killed.some((pid) => lane.host.groups.has(pid)))
    expect(await runCommand(lane, 'echo well', {}, context)).toMatchObject({ stdout: 'well\n', exitCode: 0 })
  })

  test('end by themselves after 30 s without a command', async () => {
    const pipes = await stocked(4)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const host = testHost()
    const shells = new WarmShells({ cwd: '/', env: process.env, processes: host.processes, pipes })
    shells.started()
    shells.ended()
    vi.advanceTimersByTime(10)
    expect(host.groups.size).toBe(2)
    const pids = [...host.groups]
    vi.advanceTimersByTime(29_000)
    expect(host.groups.size).toBe(2)
    vi.advanceTimersByTime(2_000)
    vi.useRealTimers()
    await until(() => host.groups.size === 0)
    expect(pids.filter(alive)).toEqual([])
    shells.close()
  })

  test('end when the stub does: their stdin is all that keeps them', async () => {
    const host = testHost()
    const pipes = await stocked(4)
    const shells = new WarmShells({ cwd: '/', env: process.env, processes: host.processes, pipes })
    shells.started()
    shells.ended()
    await until(() => host.groups.size === 2)
    shells.become('exit\n')?.stdout.resume()
    shells.close()
    await until(() => host.groups.size <= 1)
    expect(host.groups.size).toBeLessThanOrEqual(1)
  })
})

describe('the text that a shell becomes a command by', () => {
  test.each([['hostname', ['hostname']], ['ls -la /tmp', ['ls', '-la', '/tmp']], ['/usr/bin/env A=1  x', ['/usr/bin/env', 'A=1', 'x']]])(
    'a plain program is executed: %s', (command, argv) => expect(shellText(command).argv).toEqual(argv))

  test.each(['', 'cd /', 'echo a', 'exec ls', 'a=1', 'A=1 ls', 'ls *', 'ls ~', 'ls $HOME', 'ls;id', 'ls|cat', 'ls > x', 'ls "a"', "ls 'a'", '(ls)', '! ls',
    'ls &', 'ls #x', 'if', '{ ls', '[ a', 'ls\tx', ' ls', 'ls ', 'ls {a,b}', 'ls =x', '-x', '%1', 'ls\\ x', 'ls ?', 'é'])(
    'what a shell reads is left to it: %s', (command) => expect(shellText(command).argv).toBeUndefined())

  test('one line, not too long, or none', () => {
    expect(warmLine("it's")).toBe("exec </dev/null;exec /bin/sh -c 'it'\\''s'\n")
    expect(warmLine('a\nb')).toBeUndefined()
    expect(warmLine('x'.repeat(1025))).toBeUndefined()
  })
})
