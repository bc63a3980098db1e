import { readFileSync, readdirSync } from 'node:fs'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { EXEC_TAG, shellText } from '../../src/connect/command.ts'
import type { CommandRequest } from '../../src/connect/command.ts'
import type { ExecError, ExecOptions, ExecResult } from '../../src/controller/api.ts'
import { run } from '../../src/modules/exec.ts'
import type { ProcessTable, ServiceChannel } from '../../src/modules/service.ts'
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

function textOf(lane: ServiceLane, command: string, options: ExecOptions = {}): Promise<ExecResult> {
  return runCommand(lane, command, options, context) as Promise<ExecResult>
}

/** Long enough for descriptors to be closed that are no longer used. */
async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
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

  // A socket that is closed with something unread in it tells the next writer of that, as Node's own children are told. One
  // that waits for room just then is told of a broken pipe, but by Linux without its signal.
  test.each([['pipes', /^yes: 141\n/], ['Node\'s sockets', /^(yes: 141|.*(Connection reset by peer|Broken pipe)\nyes: 1)\n/]])('closes over %s the stream that was destroyed, and no other', async (over, said) => {
    const lane = newLane()
    const none = new Pipes()
    none.close()
    if (over !== 'pipes') Object.assign(placeOf(lane.host), { pipes: none })
    const child = spawnCommand(lane, 'yes; echo "yes: $?" >&2; trap "" PIPE; sleep 0; while echo more; do :; done; exit 7', {}, context)
    let words = ''
    child.stderr.on('data', (bytes: Buffer) => { words += String(bytes) })
    for await (const chunk of child.stdout) if ((chunk as Buffer).length > 0) break
    expect(await child.exited).toEqual({ exitCode: 7, signal: null })
    expect(words).toMatch(said)
    // The pipe that was closed is used by nobody else, and the next command finds one.
    expect(await textOf(lane, 'echo next')).toMatchObject({ stdout: 'next\n' })
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

  test('a timeout does not wait for what has ended and is not collected', async () => {
    // A child of the group whose parent has left it and never looks: a zombie, as orphans are where there is no init.
    const script = 'fork or exec qw(sleep 60); setpgrp(0, 0); syswrite STDOUT, $$; sleep 60'
    const startedAt = Date.now()
    const error = await runCommand(newLane(), `perl -e '${script}' & sleep 61`, { timeout: 300 }, context).catch((caught: unknown) => caught as ExecError)
    expect(error).toMatchObject({ code: 'timeout', result: { signal: 'SIGTERM' } })
    // The grace is 2 s.
    expect(Date.now() - startedAt).toBeLessThan(1500)
    process.kill(Number((error as ExecError).result.stdout), 'SIGKILL')
  })

  test('keeps a group registered while the stub ends, until none of it runs', async () => {
    const lane = newLane()
    const child = spawnCommand(lane, '(trap "" TERM; echo $$; sleep 60; sleep 60) & sleep 61', {}, context)
    await new Promise((resolve) => child.stdout.once('data', resolve))
    const pid = await child.pid
    Object.assign(lane.host.processes, { state: 'ending' })
    process.kill(-pid, 'SIGTERM')
    await until(() => !alive(pid))
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect([...lane.host.groups]).toContain(pid)
    process.kill(-pid, 'SIGKILL')
    await until(() => !lane.host.groups.has(pid))
    expect(await child.exited).toEqual({ exitCode: null, signal: 'SIGTERM' })
  })

  test('sends the output of a command together with its end, and at once when somebody watches', async () => {
    // No time passes, so that nothing leaves because of it.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const events: string[] = []
    const start = (request: CommandRequest) => new Promise<void>((resolve) => {
      const channel: ServiceChannel = {
        onMessage: undefined, onEnd: undefined, onReset: undefined, onWritable: undefined,
        send: (message) => {
          events.push(`${message[0]} ${message[0] === EXEC_TAG.started ? 'pid' : Buffer.from(message).toString('latin1', 1)}`)
          if (events.length === 2) channel.onMessage?.(Buffer.from([EXEC_TAG.stdin, 10]))
          return true
        },
        end: () => {
          events.push('end')
          resolve()
        },
        fail: () => resolve(), consumed() {},
      }
      ;(run as (...args: unknown[]) => void)(channel, testHost(), request)
    })
    await start({ command: 'echo a; sleep 0.05; echo b; sleep 0.05; echo c >&2; sleep 0.05; echo d >&2', stdin: false })
    expect(events.splice(0)).toEqual([`${EXEC_TAG.stdout} a\nb\n`, `${EXEC_TAG.stderr} c\nd\n`, 'end'])
    await start({ command: 'echo a; read x; echo b', live: true })
    expect(events).toEqual([`${EXEC_TAG.started} pid`, `${EXEC_TAG.stdout} a\n`, `${EXEC_TAG.stdout} b\n`, 'end'])
  })

  test('works in the root directory where the home directory is missing', async () => {
    const lane = newLane({ ...process.env, HOME: '/no/such/home' })
    expect((await runCommand(lane, 'pwd; cd ..', {}, context)).stdout).toBe('/\n')
  })
})

describe.skipIf(process.platform !== 'linux')('the streams of a command', () => {
  const byName = 'cat </dev/stdin; echo out >/dev/stdout; echo err >/dev/stderr'

  test('can be opened by their names, in a new shell, a waiting one, and with a stdin', async () => {
    const lane = newLane()
    expect(await runCommand(lane, byName, {}, context)).toMatchObject({ stdout: 'out\n', stderr: 'err\n', exitCode: 0 })
    await until(() => lane.host.groups.size === 2)
    const waiting = [...lane.host.groups]
    const { stdout, stderr } = await textOf(lane, `echo $$; ${byName}`)
    expect(waiting).toContain(Number.parseInt(stdout))
    expect([stdout.replace(/^\d+\n/, ''), stderr]).toEqual(['out\n', 'err\n'])
    expect(await runCommand(lane, byName, { stdin: 'in\n' }, context)).toMatchObject({ stdout: 'in\nout\n', stderr: 'err\n', exitCode: 0 })
    expect(await runCommand(lane, ['sh', '-c', byName], { stdin: 'in\n', cwd: '/' }, context)).toMatchObject({ stdout: 'in\nout\n', stderr: 'err\n' })
  })

  test('are pipes, and /dev/null where nothing is to be read, however many commands run at once', async () => {
    const lane = newLane()
    const kinds = 'for f in 0 1 2; do readlink /proc/$$/fd/$f | cut -c1-9; done'
    const results = await Promise.all(Array.from({ length: 12 }, () => textOf(lane, kinds)))
    for (const { stdout } of results) expect(stdout.split('\n').map((line) => line.slice(0, 6))).toEqual(['/dev/n', 'pipe:[', 'pipe:[', ''])
    const { stdout } = await textOf(lane, kinds, { stdin: 'x' })
    expect(stdout.split('\n').map((line) => line.slice(0, 6))).toEqual(['pipe:[', 'pipe:[', 'pipe:[', ''])
  })

  test('a command that cannot be started costs no descriptor', async () => {
    const lane = newLane()
    const failing = () => runCommand(lane, ['/no/such/program'], { stdin: 'x' }, context).catch(() => {})
    for (let i = 0; i < 3; i++) await failing()
    await turns()
    const before = readdirSync('/proc/self/fd').length
    for (let i = 0; i < 20; i++) await failing()
    await turns()
    // What one round of the maker adds and not used yet may be more than before.
    expect(readdirSync('/proc/self/fd').length).toBeLessThan(before + 12)
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

  test('one that is killed before it has read its command leaves nothing of it to a later one', async () => {
    const lane = newLane()
    await runCommand(lane, 'true', {}, context)
    await until(() => lane.host.groups.size === 2)
    const waiting = [...lane.host.groups]
    for (const pid of waiting) process.kill(pid, 'SIGSTOP')
    await until(() => waiting.every((pid) => /^State:\tT/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))))
    const unread = runCommand(lane, 'echo stale', {}, context)
    await turns()
    for (const pid of waiting) process.kill(pid, 'SIGKILL')
    expect(await unread).toMatchObject({ stdout: '', signal: 'SIGKILL' })
    await turns()
    // By threes and twos all pipes are used that wait, the last one, too.
    const results = await Promise.all(Array.from({ length: 24 }, (_, i) => textOf(lane, 'cat; echo mine', i % 2 === 0 ? { stdin: '' } : { cwd: '/' })))
    expect(results.map(({ stdout, stderr }) => stdout + stderr)).toEqual(results.map(() => 'mine\n'))
  })

  /** A process table that ends at once whatever is started, and says how much that was. */
  function killing(state: ProcessTable['state']): { table: ProcessTable; started: number[] } {
    const started: number[] = []
    const add = (pid: number): void => {
      started.push(pid)
      process.kill(-pid, 'SIGKILL')
    }
    return { table: { state, add, delete() {} }, started }
  }

  test.each(['ending', 'closed'] as const)('none is started in a stub that is %s', async (state) => {
    const pipes = await stocked(6)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const { table, started } = killing(state)
    const shells = new WarmShells({ cwd: '/', env: process.env, processes: table, pipes })
    shells.started()
    shells.ended()
    vi.advanceTimersByTime(100)
    expect(started).toEqual([])
    shells.close()
  })

  test('those that end at once are replaced after the next command, and not before', async () => {
    const pipes = await stocked(12)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const { table, started } = killing('open')
    const shells = new WarmShells({ cwd: '/', env: process.env, processes: table, pipes })
    for (const expected of [2, 4]) {
      shells.started()
      shells.ended()
      for (let i = 0; i < 10; i++) {
        vi.advanceTimersByTime(3)
        while (started.some(alive)) await turns()
        await turns()
      }
      expect(started).toHaveLength(expected)
    }
    shells.close()
  })

  test('end by themselves after 30 s without a command', async () => {
    const pipes = await stocked(6)
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
    const pipes = await stocked(6)
    const shells = new WarmShells({ cwd: '/', env: process.env, processes: host.processes, pipes })
    shells.started()
    shells.ended()
    await until(() => host.groups.size === 2)
    shells.become('exit\n')?.stdout.release()
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
