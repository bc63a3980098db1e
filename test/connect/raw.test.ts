import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { connectLocal } from '../../src/connect/local.ts'
import { RawLane } from '../../src/connect/raw.ts'
import { MarkScanner } from '../../src/connect/raw-frames.ts'
import { CONTROL_LINE, RAW_LINE, rawPreamble, shellQuote } from '../../src/connect/raw-script.ts'
import { connectSsh2 } from '../../src/connect/ssh2.ts'
import type { PipeSink } from '../../src/router/pipe.ts'
import type { Connection, RemoteProcess } from '../../src/connect/transport.ts'
import type { ExecError, ExecOptions } from '../../src/controller/api.ts'
import { runCommand } from '../../src/controller/exec.ts'
import { RametError } from '../../src/router/errors.ts'
import { TestClock } from '../helpers/test-clock.ts'

function where(program: string): string | undefined {
  return (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, program)).find((path) => existsSync(path))
}

/** A local connection whose lines are changed on their way, as another login shell or another /bin/sh would have it. */
function changed(line: (text: string) => string, input: (text: string) => string = (text) => text, env?: NodeJS.ProcessEnv): Connection {
  const local = connectLocal({ name: 'there', ...(env === undefined ? {} : { env }) })
  return {
    transport: local.transport, stage: local.stage, name: local.name, ready: local.ready, close: () => local.close(), onClose: (listener) => local.onClose(listener), stats: () => local.stats(),
    open(text) {
      const started = local.open(line(text))
      const write = started.pipe.write.bind(started.pipe)
      started.pipe.write = (bytes) => write(Buffer.from(input(Buffer.from(bytes).toString('latin1')), 'latin1'))
      return started
    },
  }
}

const open: { lane: RawLane; connection: Connection }[] = []
afterAll(async () => {
  for (const { lane, connection } of open) {
    await lane.close()
    await connection.close()
  }
})

function laneOver(connection: Connection) {
  const lane = new RawLane(connection)
  open.push({ lane, connection })
  const context = { name: 'there', path: ['there'], clock: systemClock }
  const exec = (command: string | string[], options: ExecOptions = {}) => runCommand(lane, command, options, context)
  const failing = (command: string | string[], options: ExecOptions = {}) =>
    exec(command, options).then(() => { throw new Error('it succeeded') }, (error: unknown) => error as ExecError)
  return { lane, exec, failing }
}

const NASTY = "it's \"x\" \\ \\n !1 !! $HOME `id` %d * ~ {a,b} #\n second line é漢\t."

/** What execve() refuses a shell either runs itself or reports. */
async function reportsWhatCannotBeExecuted({ exec }: ReturnType<typeof laneOver>): Promise<void> {
  const broken = program('#!/no/such/interpreter\n')
  const { exitCode, signal, stderr } = await exec(broken)
  expect({ signal, said: String(stderr).includes(broken), failed: [126, 127].includes(exitCode ?? 0) }).toEqual({ signal: null, said: true, failed: true })
  expect(await exec(program('exit 5\n'))).toMatchObject({ exitCode: 5, stderr: '' })
  // Whatever a shell makes of such an argv: it ends.
  await exec([broken]).catch((error: unknown) => expect(error).toMatchObject({ code: 'spawn-failed' }))
}

async function behavesAsEverywhere({ exec, failing }: ReturnType<typeof laneOver>): Promise<void> {
  expect(await exec('echo out; echo err >&2; exit 3')).toMatchObject({ stdout: 'out\n', stderr: 'err\n', exitCode: 3, signal: null })
  expect(await exec(['printf', '%s', NASTY])).toMatchObject({ stdout: NASTY, stderr: '', exitCode: 0 })
  expect(await exec(`printf %s ${shellQuote(NASTY)}; printf %s "$X"`, { env: { X: NASTY } })).toMatchObject({ stdout: NASTY + NASTY })
  expect(await exec('cat; exit 143', { stdin: NASTY })).toMatchObject({ stdout: NASTY, exitCode: 143, signal: null })
  expect(await exec('kill -9 $$')).toMatchObject({ exitCode: null, signal: 'SIGKILL', stderr: '' })
  expect(await exec('ulimit -c 0; kill -SEGV $$')).toMatchObject({ exitCode: null, signal: 'SIGSEGV', stderr: '' })
  expect(await exec('exit 137')).toMatchObject({ exitCode: 137, signal: null })
  expect(await exec(['true'])).toMatchObject({ exitCode: 0, signal: null, stderr: '' })
  expect(await failing(['no-such-program'])).toMatchObject({ code: 'spawn-failed' })
  expect(await failing('true', { cwd: '/no/such/folder' })).toMatchObject({ code: 'spawn-failed' })
  const error = await failing('sleep 60 & echo $!; sleep 61', { timeout: 400 })
  expect(error).toMatchObject({ code: 'timeout', result: { exitCode: null, signal: 'SIGTERM' } })
  expect(existsSync(`/proc/${String(error.result.stdout).trim()}/exe`)).toBe(false)
  // What is set for the command is not used to start it.
  const elsewhere = { PATH: '/nowhere', LD_LIBRARY_PATH: '/nowhere', PERL5OPT: '-Mno::such::module' }
  expect(await exec('echo $PATH; exit 4', { env: elsewhere })).toMatchObject({ stdout: '/nowhere\n', stderr: '', exitCode: 4 })
  expect(await exec(['/bin/sleep', '0'], { env: { PATH: undefined, X: 'a\nb' } })).toMatchObject({ exitCode: 0, stderr: '' })
  expect(await failing(['sleep', '0'], { env: elsewhere })).toMatchObject({ code: 'spawn-failed' })
  expect(await failing('true', { env: elsewhere, cwd: '/no/such/folder' })).toMatchObject({ code: 'spawn-failed' })
}

/** An executable file in a new folder. */
function program(text: string): string {
  const path = join(mkdtempSync(join(tmpdir(), 'ramet-program-')), 'program')
  writeFileSync(path, text, { mode: 0o755 })
  programs.push(dirname(path))
  return path
}
const programs: string[] = []
afterAll(() => { for (const folder of programs) rmSync(folder, { recursive: true }) })

describe('whatever the login shell', () => {
  for (const shell of ['bash', 'dash', 'zsh', 'fish', 'tcsh', 'mksh']) {
    test.skipIf(where(shell) === undefined)(`commands pass through ${shell} unchanged (needs ${shell})`, async () => {
      const there = laneOver(changed((line) => `exec ${shell} -c ${shellQuote(line)}`))
      await behavesAsEverywhere(there)
      expect(await there.exec('')).toMatchObject({ output: [], exitCode: 0 })
    }, 40_000)
  }

  test('its line holds nothing that sh, csh and fish would read differently', () => {
    for (const line of [RAW_LINE, CONTROL_LINE]) {
      expect(line).toMatch(/^exec sh -c '[^']*'( sh( '[^']*')+)?$/)
      expect(line).not.toMatch(/[\\!\n]/)
    }
  })
})

describe('whatever /bin/sh is', () => {
  let folder: string
  beforeAll(() => { folder = mkdtempSync(join(tmpdir(), 'ramet-shells-')) })
  afterAll(() => rmSync(folder, { recursive: true }))

  /** Lanes to a machine whose /bin/sh is that shell: it goes by its name, and is found in `name`. */
  function withSh(shell: string, name = shell): { sh: string; lane: (env?: NodeJS.ProcessEnv) => ReturnType<typeof laneOver> } {
    mkdirSync(join(folder, name))
    const sh = join(folder, name, 'sh')
    symlinkSync(where(shell) as string, sh)
    const use = (text: string): string => text.replaceAll('/bin/sh', sh)
    return { sh, lane: (env) => laneOver(changed((line) => use(line.replace('exec sh', `exec ${sh}`)), use, env)) }
  }

  for (const shell of ['bash', 'dash', 'busybox', 'mksh']) {
    test.skipIf(where(shell) === undefined)(`${shell} runs commands alike (needs ${shell})`, async () => {
      const { sh, lane } = withSh(shell)
      const there = lane()
      await behavesAsEverywhere(there)
      expect(await there.exec('echo $0')).toMatchObject({ stdout: `${sh}\n` })
      await reportsWhatCannotBeExecuted(there)
      // Whoever lists processes may list their environment.
      expect(await there.exec('p=$PPID; while [ $p -gt 1 ]; do cat /proc/$p/environ; read -r _ _ _ p _ </proc/$p/stat; done | grep -c ramet_')).toMatchObject({ stdout: '0\n', exitCode: 1 })
    }, 40_000)
  }

  test.skipIf(where('bash') === undefined)('what an account sets for every bash changes nothing (needs bash)', async () => {
    const { lane } = withSh('bash', 'bash-options')
    for (const SHELLOPTS of ['errexit', 'nounset', 'xtrace', 'verbose', 'monitor', 'allexport']) {
      const { exec } = lane({ ...process.env, SHELLOPTS })
      expect(await exec('echo out; echo err >&2; exit 3')).toMatchObject({ stdout: 'out\n', stderr: 'err\n', exitCode: 3, signal: null })
      expect(await exec(['printf', '%s', 'a\nb'])).toMatchObject({ stdout: 'a\nb', stderr: '', exitCode: 0 })
      expect(await exec('kill -9 $$')).toMatchObject({ exitCode: null, signal: 'SIGKILL' })
    }
  }, 40_000)

  test.skipIf(where('zsh') === undefined)('the pid is right where the environment holds a variable that another shell would set (needs zsh)', async () => {
    const { lane } = withSh('zsh').lane({ ...process.env, BASHPID: '1' })
    const command = lane.start({ command: 'echo $$', live: true })
    const said = new Promise<string>((resolve) => { command.onOutput = (_stream, bytes) => resolve(Buffer.from(bytes).toString()) })
    expect(await command.pid).toBe(Number(await said))
  })

  test('perl makes the process group where there is no setsid', async () => {
    const bin = join(folder, 'no-setsid')
    mkdirSync(bin)
    for (const name of ['perl', 'sh', 'cat', 'sleep', 'printf', 'cut', 'true']) symlinkSync(where(name) as string, join(bin, name))
    const there = laneOver(changed((line) => line, undefined, { ...process.env, PATH: bin }))
    await behavesAsEverywhere(there)
    await reportsWhatCannotBeExecuted(there)
    const { stdout } = await there.exec('echo $$; cut -d" " -f5 /proc/$$/stat')
    const [pid, group] = String(stdout).split('\n')
    expect(group).toBe(pid)
  }, 40_000)

  test('without setsid and perl the command itself is still ended', async () => {
    const bin = join(folder, 'bare')
    mkdirSync(bin)
    for (const name of ['sh', 'sleep']) symlinkSync(where(name) as string, join(bin, name))
    const there = laneOver(changed((line) => line, undefined, { ...process.env, PATH: bin }))
    expect(await there.exec('echo x; exit 2')).toMatchObject({ stdout: 'x\n', exitCode: 2 })
    expect(await there.failing('sleep 60', { timeout: 300 })).toMatchObject({ code: 'timeout', result: { signal: 'SIGTERM' } })
  })
})

describe('what login scripts do', () => {
  test('what they print before the command is in no result', async () => {
    const { exec } = laneOver(changed((line) => `echo "Welcome!"; echo warning >&2; ${line}`))
    expect(await exec('echo out; echo err >&2')).toMatchObject({ stdout: 'out\n', stderr: 'err\n' })
  })

  test('a shell that prints its own command, or echoes its input, is not taken for the command', async () => {
    const { exec } = laneOver(changed((line) => `printf %s ${shellQuote(line)}; ${line}`))
    expect(await exec('echo out')).toMatchObject({ stdout: 'out\n' })
    const echo = laneOver(changed(() => 'exec cat'))
    expect(await echo.failing('echo out')).toMatchObject({ code: 'launch-failed', stage: 'launch' })
  })

  test('more than 64 KiB of it is boot-noise', async () => {
    const { failing } = laneOver(changed((line) => `head -c 70000 /dev/zero; ${line}`))
    expect(await failing('sleep 60')).toMatchObject({ code: 'boot-noise', stage: 'launch', path: ['there'] })
  })

  test('a login shell that refuses is launch-failed with its words', async () => {
    const { failing } = laneOver(changed(() => 'echo "This account is currently not available."; exit 1'))
    const error = await failing('echo x')
    expect(error).toMatchObject({ code: 'launch-failed', stage: 'launch', path: ['there'] })
    expect(error.message).toBe('there: the login shell ended with exit code 1 before it ran the command: This account is currently not available.')
    // The way to it is no command line: with a hop in it, a shell would take it for a redirection.
    expect(error.hint).not.toContain('there')
    expect(error.hint).not.toBe('')
  })
})

describe('the lane', () => {
  test('a command that is ended has ended when no more than uncollected orphans are left of it', async () => {
    const { lane } = laneOver(connectLocal({ name: 'there' }))
    // A parent in a session of its own that never collects what it left in the command's group.
    const command = lane.start({ command: 'sh -c "sleep 60 & exec setsid sleep 61" >/dev/null 2>&1 & echo $!; wait' })
    const parent = Number(await new Promise<string>((resolve) => { command.onOutput = (_stream, bytes) => resolve(Buffer.from(bytes).toString()) }))
    try {
      await vi.waitFor(() => expect(readFileSync(`/proc/${parent}/cmdline`, 'latin1')).toBe('sleep\x0061\0'), { timeout: 10_000, interval: 20 })
      // Long after this test would have failed.
      command.terminate(600_000)
      expect(await command.ended).toMatchObject({ exitCode: null, signal: 'SIGTERM' })
    } finally {
      process.kill(parent, 'SIGKILL')
    }
  }, 20_000)

  test('values of env, cwd and the command stand in no argument list of ours', async () => {
    const { exec } = laneOver(changed((line) => line))
    const result = await exec('for p in $$ $(cut -d" " -f4 /proc/$$/stat); do tr "\\0" " " < /proc/$p/cmdline; echo; done; tr "\\0" "\\n" < /proc/$PPID/environ', { env: { SECRET_A: 'zq81xv' } })
    expect(String(result.stdout)).toContain('/bin/sh')
    expect(String(result.stdout)).not.toContain('zq81xv')
    expect(RAW_LINE + rawPreamble({ command: 'x' }, 'ab'.repeat(16))).not.toContain('ab'.repeat(16))
  })

  test('opens eight channels at most, in the order of the calls', async () => {
    let now = 0
    let most = 0
    const local = connectLocal({ name: 'there' })
    const counted: Connection = {
      transport: local.transport, stage: local.stage, name: 'there', ready: local.ready, close: () => local.close(), onClose: (listener) => local.onClose(listener), stats: () => local.stats(),
      open(line) {
        const process = local.open(line)
        most = Math.max(most, ++now)
        void process.exited.then(() => { now -= 1 })
        return process
      },
    }
    const { exec } = laneOver(counted)
    const results = await Promise.all(Array.from({ length: 24 }, (_, i) => exec(`sleep 0.05; echo ${i}`)))
    expect(results.map((result) => String(result.stdout).trim())).toEqual(Array.from({ length: 24 }, (_, i) => String(i)))
    expect(most).toBe(8) // no signals here: those have a channel of their own
  })

  test('a server that allows fewer channels gets fewer, and no command is lost', async () => {
    let now = 0
    const local = connectLocal({ name: 'there' })
    const strict: Connection = {
      transport: local.transport, stage: local.stage, name: 'there', ready: local.ready, close: () => local.close(),
      onClose: (listener) => local.onClose(listener), stats: () => local.stats(),
      open(line) {
        if (now >= 3) {
          const refusal = new RametError('launch-failed', 'there: the server refused to open a channel', { stage: 'launch', outcome: 'not-sent' })
          return {
            pipe: { start: (sink) => setImmediate(() => sink.closed(refusal)), write() {}, pending: 0, pause() {}, resume() {}, end() {}, close() {} },
            stderr() {}, kill() {}, exited: Promise.resolve({ exitCode: null, signal: null }),
          }
        }
        const process = local.open(line)
        now += 1
        void process.exited.then(() => { now -= 1 })
        return process
      },
    }
    const { exec } = laneOver(strict)
    const results = await Promise.all(Array.from({ length: 10 }, (_, i) => exec(`sleep 0.05; echo ${i}`)))
    expect(results.map((result) => String(result.stdout).trim())).toEqual(Array.from({ length: 10 }, (_, i) => String(i)))
  })

  test.each([[1, 'is tried again until it is free'], [Infinity, 'is an error in the end']])('a channel that the server still takes for used (%d times) %s', async (refusals) => {
    let taken = false
    let left = 0
    const local = connectLocal({ name: 'there' })
    const slow: Connection = {
      transport: local.transport, stage: local.stage, name: 'there', ready: local.ready, close: () => local.close(),
      onClose: (listener) => local.onClose(listener), stats: () => local.stats(),
      open(line) {
        if (taken || left-- > 0) {
          const refusal = new RametError('launch-failed', 'there: the server refused to open a channel', { stage: 'launch', outcome: 'not-sent' })
          return {
            pipe: { start: (sink) => setImmediate(() => sink.closed(refusal)), write() {}, pending: 0, pause() {}, resume() {}, end() {}, close() {} },
            stderr() {}, kill() {}, exited: Promise.resolve({ exitCode: null, signal: null }),
          }
        }
        const process = local.open(line)
        taken = true
        void process.exited.then(() => {
          taken = false
          left = refusals
        })
        return process
      },
    }
    const { exec, failing } = laneOver(slow)
    expect(await exec('echo 1')).toMatchObject({ stdout: '1\n' })
    if (refusals === Infinity) {
      expect(await failing('echo 2')).toMatchObject({ code: 'launch-failed', outcome: 'not-sent' })
    } else {
      for (const word of ['2', '3']) expect(await exec(`echo ${word}`)).toMatchObject({ stdout: `${word}\n` })
    }
  })

  test('background jobs do not use up the channels', async () => {
    const { exec } = laneOver(changed((line) => line))
    const jobs = []
    try {
      for (let i = 0; i < 12; i++) jobs.push(Number((await exec(`sleep 50 & echo $!; exit ${i}`)).stdout))
      expect(jobs).toHaveLength(12)
      for (const job of jobs) expect(existsSync(`/proc/${job}/exe`)).toBe(true)
    } finally {
      for (const job of jobs) process.kill(job, 'SIGKILL')
    }
  })

  test('eight commands that ignore TERM are all gone 2 s after their timeouts, at once', async () => {
    const { failing } = laneOver(changed((line) => line))
    const errors = await Promise.all(Array.from({ length: 8 }, () => failing('trap "" TERM; echo $$; while :; do sleep 1; done', { timeout: 500 })))
    for (const error of errors) {
      expect(error).toMatchObject({ code: 'timeout', outcome: 'failed', result: { signal: 'SIGKILL' } })
      expect(existsSync(`/proc/${String(error.result.stdout).trim()}/exe`)).toBe(false)
    }
  })

  test('a lane that is closed leaves no command that ignores TERM, though what ends it has had no time', async () => {
    const clock = new TestClock()
    const connection = connectLocal()
    const lane = new RawLane(connection, { clock })
    const pid = new Promise<number>((resolve) => {
      const running = lane.start({ command: 'trap "" TERM; echo $$; while :; do sleep 1; done' })
      running.onOutput = (_, bytes) => resolve(Number(Buffer.from(bytes).toString()))
      running.ended.catch(() => {})
    })
    const path = `/proc/${await pid}/exe`
    expect(existsSync(path)).toBe(true)
    const closed = lane.close()
    clock.advance(10_000)
    await closed
    await connection.close()
    await vi.waitFor(() => expect(existsSync(path)).toBe(false))
  })

  test('a command that waits for a channel can be cancelled, and is not sent', async () => {
    const { exec, failing } = laneOver(changed((line) => line))
    const busy = Array.from({ length: 8 }, () => exec('read x', { stdin: undefined, timeout: 5000 }).catch(() => {}))
    const controller = new AbortController()
    const slow = Array.from({ length: 8 }, () => failing('sleep 60', { timeout: 1500 }))
    const waiting = failing('echo never', { signal: controller.signal })
    controller.abort()
    expect(await waiting).toMatchObject({ code: 'cancelled' })
    await Promise.all([...busy, ...slow])
  }, 20_000)

  test('a command whose time is over before the server has answered is not sent, and nothing is waited for', async () => {
    const accepted: Socket[] = []
    const server = createServer((socket) => accepted.push(socket))
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
    const clock = new TestClock()
    const { port } = server.address() as AddressInfo
    const connection = connectSsh2({ name: 'there', host: '127.0.0.1', port, user: 'ann', keys: [], verifyHostKey: () => true, clock })
    const lane = new RawLane(connection, { clock })
    const command = runCommand(lane, 'echo 1', { timeout: 500 }, { name: 'there', path: ['there'], clock })
    await expect.poll(() => accepted.length).toBe(1)
    clock.advance(500)
    await expect(command).rejects.toMatchObject({ code: 'timeout', outcome: 'not-sent', path: ['there'] })
    await lane.close()
    await connection.close()
    for (const socket of accepted) socket.destroy()
    await new Promise((resolve) => { server.close(resolve) })
  })

  test('a connection that is refused fails every command with its own error', async () => {
    const refused = new RametError('auth-failed', 'there: no key was accepted', { stage: 'auth', outcome: 'not-sent' })
    const ready = Promise.reject(refused)
    ready.catch(() => {})
    const dead: Connection = {
      transport: 'ssh2', stage: 'auth', name: 'there', ready, async close() {}, onClose() {}, stats: () => ({ bytesIn: 0, bytesOut: 0 }),
      open: (): RemoteProcess => ({
        pipe: { start: (sink) => setImmediate(() => sink.closed(refused)), write() {}, pending: 0, pause() {}, resume() {}, end() {}, close() {} },
        stderr() {}, kill() {}, exited: Promise.resolve({ exitCode: null, signal: null }),
      }),
    }
    const { failing } = laneOver(dead)
    const [first, second] = await Promise.all([failing('echo 1'), failing('echo 2')])
    expect(first).toMatchObject({ code: 'auth-failed', stage: 'auth', path: ['there'] })
    expect(second).toMatchObject({ code: 'auth-failed', stage: 'auth' })
  })

  test('a connection lost while a command runs is link-lost, unknown, with what was printed', async () => {
    const connection = connectLocal({ name: 'there' })
    const { lane, failing } = laneOver(connection)
    const command = failing('echo some; sleep 3')
    const probe = lane.start({ command: 'sleep 3' })
    await probe.pid
    await connection.close()
    expect(await command).toMatchObject({ code: 'link-lost', outcome: 'unknown', path: ['there'] })
    await expect(probe.ended).rejects.toMatchObject({ code: 'link-lost' })
    await expect(lane.start({ command: 'true' }).ended).rejects.toMatchObject({ outcome: 'not-sent' })
  })

  test('close ends what runs, with its group', async () => {
    const connection = connectLocal({ name: 'there' })
    const lane = new RawLane(connection)
    const running = lane.start({ command: 'sleep 60 & wait' })
    const pid = await running.pid
    await lane.close()
    await lane.close()
    expect(existsSync(`/proc/${pid}/exe`)).toBe(false)
    await expect(lane.start({ command: 'true' }).ended).rejects.toMatchObject({ code: 'closed', outcome: 'not-sent' })
    await connection.close()
  })

  test('a pid that comes behind much output is told though nobody reads that', async () => {
    let told: ((bytes: Uint8Array) => void) | undefined
    let sink: PipeSink | undefined
    let sent = ''
    let paused = false
    const quiet: Connection = {
      transport: 'ssh2', stage: 'launch', name: 'there', ready: Promise.resolve(), async close() {}, onClose() {}, stats: () => ({ bytesIn: 0, bytesOut: 0 }),
      open: (): RemoteProcess => ({
        pipe: {
          start: (given) => { sink = given }, write: (bytes) => { sent += Buffer.from(bytes).toString() }, pending: 0, end() {}, close() {},
          pause: () => { paused = true }, resume: () => { paused = false },
        },
        stderr: (listener) => { told = listener }, kill() {}, exited: new Promise(() => {}),
      }),
    }
    const running = new RawLane(quiet).start({ command: ['yes'] })
    running.onOutput = () => {}
    await quiet.ready
    const mark = sent.slice(0, sent.indexOf('\n')).replace(' ', '')
    sink?.data(Buffer.from(`${mark}Ssetsid${mark}`))
    const piece = Buffer.alloc(64 * 1024, 'y\n')
    for (let size = 0; size < 2 * 1024 * 1024; size += piece.length) sink?.data(piece)
    expect(paused).toBe(false)
    told?.(Buffer.from(`${mark}Ssetsid${mark}${mark}P4711 ${mark}`))
    expect(await running.pid).toBe(4711)
    sink?.data(piece)
    expect(paused).toBe(true)
  })

  test('close ends at once what nobody reads, and drops what has no room', async () => {
    const connection = connectLocal({ name: 'there' })
    const lane = new RawLane(connection, { clock: new TestClock() })
    const running = lane.start({ command: ['yes'] })
    let size = 0
    running.onOutput = (_stream, bytes) => { size += bytes.length }
    await running.pid
    await expect.poll(() => size).toBeGreaterThan(1024 * 1024)
    // No time passes: what waits for a grace to be over would wait for good.
    await lane.close()
    await expect(running.ended).rejects.toMatchObject({ code: 'closed', outcome: 'unknown' })
    expect(size).toBeLessThan(2 * 1024 * 1024)
    await connection.close()
  }, 10_000)
})

describe('frames within output', () => {
  const mark = 'f00dfeedf00dfeedf00dfeedf00dfee0'
  const scan = (pieces: string[]) => {
    const got: string[] = []
    const scanner = new MarkScanner(mark, (bytes) => got.push(bytes.toString()), (text) => got.push(`<${text}>`))
    for (const piece of pieces) scanner.push(Buffer.from(piece))
    scanner.end()
    return got.join('')
  }

  test('are found however the stream is cut, and nothing else is changed', () => {
    const whole = `noise${mark}Sx${mark}f00df00dfeed${mark}P12 ${mark}tail f00dfeedf00d`
    const expected = 'noise<Sx>f00df00dfeed<P12 >tail f00dfeedf00d'
    expect(scan([whole])).toBe(expected)
    expect(scan([...whole])).toBe(expected)
    for (let cut = 1; cut < whole.length; cut++) expect(scan([whole.slice(0, cut), whole.slice(cut)])).toBe(expected)
  })

  test('a frame that does not end is given up with its bytes kept', () => {
    expect(scan([`${mark}${'x'.repeat(5000)}`, 'y'])).toBe(`${'x'.repeat(5000)}y`)
  })
})

