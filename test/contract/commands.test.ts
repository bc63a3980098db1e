import { randomFillSync } from 'node:crypto'
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import type { CommandLane } from '../../src/connect/command.ts'
import { connectLocal } from '../../src/connect/local.ts'
import { connectOpenssh } from '../../src/connect/openssh.ts'
import { RawLane } from '../../src/connect/raw.ts'
import { connectSsh2 } from '../../src/connect/ssh2.ts'
import { privateKey } from '../../src/connect/ssh2-key.ts'
import type { Connection } from '../../src/connect/transport.ts'
import type { ExecError, ExecOptions, ExecResult } from '../../src/controller/api.ts'
import { runCommand } from '../../src/controller/exec.ts'
import { spawnCommand } from '../../src/controller/spawn.ts'
import { haveSshd, startSshd } from '../helpers/sshd.ts'
import { ServiceLane } from '../helpers/service-lane.ts'

interface OpenLane {
  lane: CommandLane
  home: string
  close(): Promise<void>
}

function raw(connection: Connection, home: string, after?: () => Promise<void>): OpenLane {
  const lane = new RawLane(connection)
  return {
    lane, home,
    async close() {
      await lane.close()
      await connection.close()
      await after?.()
    },
  }
}

const lanes: Record<string, () => Promise<OpenLane>> = {
  'the exec module': async () => ({ lane: new ServiceLane(), home: homedir(), async close() {} }),
  'the raw lane': async () => raw(connectLocal({ name: 'here' }), homedir()),
}
const sshLanes: typeof lanes = {
  'the raw lane by ssh2': async () => {
    const server = await startSshd()
    const { host, port, user } = server
    const connection = connectSsh2({ name: 'here', host, port, user, keys: [privateKey(server.key, { comment: 'id' })], verifyHostKey: () => true })
    return raw(connection, join(server.dir, 'home'), () => server.stop())
  },
  'the raw lane by the system\'s ssh': async () => {
    const server = await startSshd()
    const { host, port, user, keyFile, knownHosts } = server
    const connection = connectOpenssh({ name: 'here', host, port, user, identityFile: keyFile, knownHosts, configFile: false })
    return raw(connection, join(server.dir, 'home'), () => server.stop())
  },
}

const context = { name: 'here', path: ['here'], clock: systemClock }

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  // A process that ended and that nobody has collected yet is no process any more.
  return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

async function text(stream: Readable): Promise<string> {
  let all = ''
  for await (const chunk of stream.setEncoding('utf8')) all += chunk as string
  return all
}

function contract(openLane: () => Promise<OpenLane>): void {
  let open: OpenLane
  let lane: CommandLane
  let folder: string
  beforeAll(async () => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'ramet-commands-')))
    open = await openLane()
    lane = open.lane
  })
  afterAll(async () => {
    await open.close()
    rmSync(folder, { recursive: true })
  })

  const exec = (command: string | string[], options: ExecOptions = {}) => runCommand(lane, command, options, context) as Promise<ExecResult>
  const bytes = (command: string | string[], options: ExecOptions = {}) =>
    runCommand(lane, command, { ...options, encoding: 'buffer' }, context) as Promise<ExecResult<Buffer>>
  const failing = (command: string | string[], options: ExecOptions = {}) =>
    exec(command, options).then(() => { throw new Error('it succeeded') }, (error: unknown) => error as ExecError)

  test('gives stdout and stderr apart, the exit code and a duration', async () => {
    const result = await exec('echo out; echo err >&2; exit 3')
    expect(result).toMatchObject({ stdout: 'out\n', stderr: 'err\n', exitCode: 3, signal: null, truncated: false })
    expect(result.duration).toBeGreaterThan(0)
    expect(result.duration).toBeLessThan(5000)
  })

  test.each([0, 1, 126, 127, 128, 129, 130, 137, 143, 255])('reports `exit %i` as that exit code and no signal', async (code) => {
    expect(await exec(`exit ${code}`)).toMatchObject({ exitCode: code, signal: null })
  })

  test.each(['HUP', 'QUIT', 'KILL', 'SEGV', 'TERM', 'USR1', 'ALRM'])('reports death by SIG%s as that signal', async (signal) => {
    expect(await exec(`ulimit -c 0; kill -${signal} $$`)).toMatchObject({ exitCode: null, signal: `SIG${signal}`, stderr: '' })
  })

  test('reports a program that dies of a signal as that signal, first time and later', async () => {
    writeFileSync(`${folder}/dies`, '#!/bin/sh\nkill -9 $$\n', { mode: 0o755 })
    const ends = []
    for (let i = 0; i < 3; i++) ends.push(await exec(`${folder}/dies now`))
    ends.push(await exec([`${folder}/dies`]))
    for (const end of ends) expect(end).toMatchObject({ exitCode: null, signal: 'SIGKILL' })
  })

  test('reads end of file on stdin by default', async () => {
    expect(await exec('cat; echo end')).toMatchObject({ stdout: 'end\n', exitCode: 0 })
  })

  test('reads text, bytes and a stream on stdin, to the last byte', async () => {
    expect((await exec('cat', { stdin: 'a\nb\n\n' })).stdout).toBe('a\nb\n\n')
    const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
    expect((await bytes('cat', { stdin: all })).stdout).toEqual(all)
    expect((await exec(['cat'], { stdin: Readable.from(['one ', Buffer.from('two ')]) })).stdout).toBe('one two ')
  })

  test('passes 8 MiB through stdin and stdout unchanged', async () => {
    const big = randomFillSync(Buffer.alloc(8 * 1024 * 1024))
    expect((await bytes('cat', { stdin: big })).stdout.equals(big)).toBe(true)
  })

  test('ends well when the command does not read its stdin', async () => {
    expect(await exec('exit 4', { stdin: Buffer.alloc(1024 * 1024) })).toMatchObject({ exitCode: 4 })
    expect(await exec('head -c 3', { stdin: Buffer.alloc(1024 * 1024, 'y') })).toMatchObject({ stdout: 'yyy', exitCode: 0 })
  })

  test('cancels the command when its stdin stream fails', async () => {
    const stdin = new Readable({ read() { this.destroy(new Error('disk on fire')) } })
    expect(await failing('cat; sleep 30', { stdin })).toMatchObject({ code: 'cancelled', cause: { message: 'disk on fire' } })
  })

  test('runs in the home directory, or in cwd: absolute, or relative to home', async () => {
    expect((await exec('pwd -P')).stdout).toBe(`${realpathSync(open.home)}\n`)
    expect((await exec('pwd -P', { cwd: folder })).stdout).toBe(`${folder}\n`)
    expect((await exec(['pwd', '-P'], { cwd: '.' })).stdout).toBe(`${realpathSync(open.home)}\n`)
  })

  test('sets, changes and removes variables, whatever their value', async () => {
    process.env['RAMET_TEST_GONE'] = 'here'
    const value = "it's $HOME `id` \"x\" \\ !1\nsecond line\n é"
    try {
      const result = await exec('printf %s "$A"; echo; echo "${RAMET_TEST_GONE-gone}"; echo "${HOME:+home}"', { env: { A: value, RAMET_TEST_GONE: undefined } })
      expect(result.stdout).toBe(`${value}\ngone\nhome\n`)
    } finally {
      delete process.env['RAMET_TEST_GONE']
    }
  })

  test('looks programs up in the PATH that env gives', async () => {
    expect(await failing(['ls'], { env: { PATH: folder } })).toMatchObject({ code: 'spawn-failed' })
  })

  test('adds no variables of its own', async () => {
    const added = async (options: ExecOptions = {}) => (await exec(['env'], options)).stdout.split('\n').map((line) => line.split('=')[0] ?? '')
      .filter((key) => key.toLowerCase().startsWith('ramet') && !(key in process.env))
    expect(await added()).toEqual([])
    expect(await added({ env: { A: '1' } })).toEqual([])
  })

  test('refuses names that are none for a variable, and NUL anywhere', async () => {
    expect(await failing('true', { env: { 'A=B': '1' } })).toMatchObject({ code: 'spawn-failed', path: ['here'] })
    expect(await failing('true\0')).toMatchObject({ code: 'spawn-failed' })
    expect(await failing(['echo', 'a\0b'])).toMatchObject({ code: 'spawn-failed' })
    expect(await failing([])).toMatchObject({ code: 'spawn-failed' })
  })

  test('tells a missing program from a missing directory, and both from a command that failed', async () => {
    const program = await failing(['/no/such/program', 'x'])
    expect(program).toMatchObject({ code: 'spawn-failed', path: ['here'] })
    expect(program.message).toBe('here: \'/no/such/program x\' could not be started: the program "/no/such/program" was not found')
    expect(program.hint).not.toBe('')
    expect((await failing(['no-such-program-anywhere'])).message).toContain('the program "no-such-program-anywhere" was not found')
    expect((await failing(['/etc/passwd'])).message).toContain('cannot be executed')
    const cwd = await failing('true', { cwd: '/no/such/folder' })
    expect(cwd).toMatchObject({ code: 'spawn-failed' })
    expect(cwd.message).toContain('the working directory "/no/such/folder" does not exist')
    expect((await failing(['true'], { cwd: '/etc/passwd' })).message).toContain('the working directory "/etc/passwd"')
    expect(await exec('no-such-program-anywhere')).toMatchObject({ exitCode: 127 })
  })

  test('refuses an argument that the operating system would not take', async () => {
    expect((await failing(['echo', 'x'.repeat(140_000)])).message).toContain('too long')
    expect((await exec(['echo', '-n', 'x'.repeat(100_000)])).stdout).toHaveLength(100_000)
  })

  test('passes an argv exactly as it is', async () => {
    const argv = ['', ' ', 'a b', "it's", '"', '\\', '\\n', '\n', '$HOME', '`id`', '!', '!!', '*', '~', '-n', '--', '#', 'é漢😀', '\t', '\x01\x7f', 'a\\']
    const result = await bytes(['perl', '-e', 'print map { "$_\\0" } @ARGV', '--', ...argv])
    expect(result.stdout.toString().split('\0').slice(0, -1)).toEqual(argv)
  })

  test('runs text with every printable character, quotes, `!`, backslashes and newlines as sh does', async () => {
    const printable = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join('')
    const quotedText = `'${printable.replace(/'/g, "'\\''")}'`
    expect((await exec(`printf %s ${quotedText}`)).stdout).toBe(printable)
    expect((await exec(`printf %s "a\\\\b"; echo; echo 'x\ny' !1 "\\$HOME"\necho é漢😀 # comment\n\techo tab`)).stdout)
      .toBe('a\\b\nx\ny !1 $HOME\né漢😀\ntab\n')
    expect((await exec('cat <<A\n+ one\n.\n$((1+1))\nA\necho after')).stdout).toBe('+ one\n.\n2\nafter\n')
    expect((await exec("  echo 'a' \\\\ 'b'  ")).stdout).toBe('a \\ b\n')
  })

  test('ends in words on an open quote, an open heredoc, nonsense, a trailing comment, and `exit` inside', async () => {
    const open = await exec('echo "unterminated')
    expect(open.exitCode).not.toBe(0)
    expect(open.stderr).not.toBe('')
    expect((await exec('cat <<X\nabc')).stdout.trim()).toBe('abc')
    expect((await exec('if; then')).exitCode).not.toBe(0)
    expect((await exec('echo hi # comment')).stdout).toBe('hi\n')
    expect(await exec('echo a; exit 5; echo b')).toMatchObject({ stdout: 'a\n', exitCode: 5 })
    expect(await exec('')).toMatchObject({ stdout: '', exitCode: 0 })
    expect(await exec('(exit 7)')).toMatchObject({ exitCode: 7 })
    expect(await exec('exec 0<&- 1>&- 2>&-; exit 6')).toMatchObject({ exitCode: 6 })
  })

  test('knows the shell as /bin/sh, with no arguments and no descriptors but three', async () => {
    for (let i = 0; i < 3; i++) {
      expect((await exec('echo "$0 $#"; for f in 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$f ] && echo "open: $f $(readlink /proc/$$/fd/$f)"; done; :')).stdout.replace(/^open: \d+ \/dev\/null\n/m, '')).toBe('/bin/sh 0\n')
    }
  })

  test('says the same of a program that is not there, first time and later', async () => {
    const words = []
    for (let i = 0; i < 3; i++) words.push((await exec('no-such-program -x')).stderr)
    expect(new Set(words).size).toBe(1)
    expect(words[0]).toContain('no-such-program')
  })

  test('leads a process group of its own', async () => {
    const { stdout } = await exec('echo $$; cut -d" " -f5 /proc/$$/stat')
    const [pid, group] = stdout.split('\n')
    expect(group).toBe(pid)
    expect(Number(pid)).not.toBe(process.pid)
  })

  test('gives 10 MiB whole', async () => {
    const result = await bytes('head -c 10485760 /dev/zero')
    expect(result.stdout).toHaveLength(10 * 1024 * 1024)
    expect(result).toMatchObject({ truncated: false, exitCode: 0 })
  })

  test('keeps maxOutput bytes, lets the command finish, and says so', async () => {
    const result = await exec('head -c 3000000 /dev/zero; echo done >&2; exit 9', { maxOutput: 1000 })
    expect(result.stdout).toHaveLength(1000)
    expect(result).toMatchObject({ truncated: true, exitCode: 9 })
    const cut = await exec('printf éé', { maxOutput: 3 })
    expect(cut).toMatchObject({ stdout: 'é', truncated: true })
  })

  test('keeps bytes that are no UTF-8 in buffers, and marks them in text', async () => {
    expect((await bytes("printf 'a\\377\\303(b'")).stdout).toEqual(Buffer.from([0x61, 0xff, 0xc3, 0x28, 0x62]))
    expect((await exec("printf 'a\\377\\303(b\\303'")).stdout).toBe('a\ufffd\ufffd(b\ufffd')
  })

  test('joins a character that came in two pieces', async () => {
    const child = spawnCommand(lane, "printf '\\303'; read x; printf '\\251'", {}, context)
    const pieces: Buffer[] = []
    child.stdout.on('data', (piece: Buffer) => {
      pieces.push(piece)
      child.stdin.end('\n')
    })
    await child.exited
    const result = await exec("printf '\\303'; sleep 0.05; printf x >&2; sleep 0.05; printf '\\251'")
    expect(pieces).toHaveLength(2)
    expect(result).toMatchObject({ stdout: 'é', output: [{ stream: 'stderr', data: 'x' }, { stream: 'stdout', data: 'é' }] })
  })

  test('keeps the order of both streams, pieces of one stream joined', async () => {
    const result = await exec('echo a; sleep 0.05; echo b >&2; sleep 0.05; echo c; echo d')
    expect(result.output).toEqual([
      { stream: 'stdout', data: 'a\n' }, { stream: 'stderr', data: 'b\n' }, { stream: 'stdout', data: 'c\nd\n' },
    ])
  })

  test('check rejects with the command, its end and its last words', async () => {
    const error = await failing('echo out; echo "no  way" >&2; exit 2', { check: true })
    expect(error).toMatchObject({ code: 'exec-failed', path: ['here'], outcome: 'failed', result: { stdout: 'out\n', exitCode: 2 } })
    expect(error.message).toBe("here: 'echo out; echo \"no  way\" >&2; exit 2' ended with exit code 2: no  way")
    const escaped = await failing("printf '\\033[31mred\\n' >&2; kill -9 $$", { check: true })
    expect(escaped.message).toContain('ended by SIGKILL: \\u001b[31mred')
    expect((await exec('exit 0', { check: true })).exitCode).toBe(0)
  })

  test('a timeout ends the whole group and gives back what was printed', async () => {
    const error = await failing('echo $$; sh -c "sleep 60 & sleep 60 & echo \\$! ; wait" & echo $!; wait', { timeout: 400 })
    expect(error).toMatchObject({ code: 'timeout', path: ['here'], outcome: 'failed', result: { exitCode: null, signal: 'SIGTERM' } })
    const pids = (error.result.stdout as string).trim().split('\n').map(Number)
    expect(pids).toHaveLength(3)
    expect(pids.filter(alive)).toEqual([])
  })

  test('a timeout kills what ignores TERM, once the grace is over', async () => {
    const error = await failing('trap "" TERM; echo $$; sleep 60 & echo $!; while :; do wait; done', { timeout: 300 })
    expect(error).toMatchObject({ code: 'timeout', result: { exitCode: null, signal: 'SIGKILL' } })
    const pids = (error.result.stdout as string).trim().split('\n').map(Number)
    expect(pids).toHaveLength(2)
    expect(pids.filter(alive)).toEqual([])
  })

  test('a timeout kills a grandchild that outlives its parent by ignoring TERM', async () => {
    const error = await failing('(trap "" TERM; echo ready; exec sleep 60) & echo $!; exec sleep 61', { timeout: 300 })
    expect(error.code).toBe('timeout')
    const pid = Number((error.result.stdout as string).replace('ready', '').trim())
    expect(alive(pid)).toBe(false)
  })

  test('an abort ends the command; one that came before starts nothing', async () => {
    const controller = new AbortController()
    const pending = failing(`echo $$; touch ${folder}/started; sleep 60`, { signal: controller.signal })
    const started = () => { try { readFileSync(`${folder}/started`); return true } catch { return false } }
    await until(started)
    controller.abort(new Error('no longer wanted'))
    const error = await pending
    expect(error).toMatchObject({ code: 'cancelled', cause: { message: 'no longer wanted' }, result: { signal: 'SIGTERM' } })
    expect(alive(Number(error.result.stdout))).toBe(false)
    expect(await failing(`touch ${folder}/never`, { signal: controller.signal })).toMatchObject({ code: 'cancelled', outcome: 'not-sent' })
    expect(() => readFileSync(`${folder}/never`)).toThrow()
  })

  test('does not wait for a background job, which lives on, and whose late output is in nobody\'s result', async () => {
    const first = await exec(
      `(while [ ! -e ${folder}/go ]; do sleep 0.02; done; echo LATE; echo LATE >&2; touch ${folder}/late; exec sleep 60) & echo $!; echo first`)
    const job = Number(first.stdout.split('\n')[0])
    try {
      expect(first).toMatchObject({ stdout: `${job}\nfirst\n`, stderr: '', exitCode: 0 })
      const second = await exec(`echo second; touch ${folder}/go; while [ ! -e ${folder}/late ]; do sleep 0.02; done`)
      expect(second).toMatchObject({ stdout: 'second\n', stderr: '', exitCode: 0 })
      expect(alive(job)).toBe(true)
      expect((await exec('echo third')).output).toEqual([{ stream: 'stdout', data: 'third\n' }])
    } finally {
      process.kill(job, 'SIGKILL')
    }
  })

  test('holds everything that the command itself had written, background job or not', async () => {
    for (let i = 0; i < 5; i++) {
      const result = await bytes('sleep 30 & echo $! >&2; head -c 500000 /dev/zero; exit 3')
      process.kill(Number(result.stderr), 'SIGKILL')
      expect(result.exitCode).toBe(3)
      expect(result.stdout).toHaveLength(500_000)
    }
  })

  test('runs twenty commands at once, each with its own end', async () => {
    const results = await Promise.all(Array.from({ length: 20 }, (_, i) => exec(`echo ${i}; exit ${i}`)))
    expect(results.map((result) => [result.stdout, result.exitCode])).toEqual(Array.from({ length: 20 }, (_, i) => [`${i}\n`, i]))
  })

  describe('spawn', () => {
    test('gives live streams, the pid and the end', async () => {
      const child = spawnCommand(lane, 'read a; echo "got $a"; echo err >&2; exit 8', {}, context)
      expect(alive(await child.pid)).toBe(true)
      child.stdin.end('line\n')
      expect(await Promise.all([text(child.stdout), text(child.stderr), child.exited])).toEqual(['got line\n', 'err\n', { exitCode: 8, signal: null }])
    })

    test('the command waits while nobody reads', async () => {
      const command = 'i=0; while [ $i -lt 400 ]; do head -c 32768 /dev/zero; i=$((i+1)); done; echo finished >&2'
      const child = spawnCommand(lane, command, {}, context)
      let finished = false
      child.stderr.on('data', () => { finished = true })
      await new Promise((resolve) => child.stdout.once('readable', resolve))
      // Its twin, which is read, begins later and comes to its end.
      expect((await bytes(command)).stdout).toHaveLength(400 * 32768)
      expect(finished).toBe(false)
      let size = 0
      for await (const chunk of child.stdout) size += (chunk as Buffer).length
      expect(size).toBe(400 * 32768)
      expect(await child.exited).toEqual({ exitCode: 0, signal: null })
    })

    test('kill signals the group', async () => {
      const child = spawnCommand(lane, 'trap "echo usr1; exit 4" USR1; echo ready; while :; do sleep 0.05; done', {}, context)
      await new Promise((resolve) => child.stdout.once('readable', resolve))
      child.kill('SIGUSR1')
      expect(await child.exited).toEqual({ exitCode: 4, signal: null })
      // dash loses a SIGINT that comes in the moment before it becomes the command: wait until the command itself runs.
      const second = spawnCommand(lane, ['cat'], {}, context)
      second.stdin.write('ready')
      await new Promise((resolve) => second.stdout.once('readable', resolve))
      second.kill('SIGINT')
      expect(await second.exited).toEqual({ exitCode: null, signal: 'SIGINT' })
    })

    test('what cannot be started rejects pid and exited and fails the streams, all with one code', async () => {
      const child = spawnCommand(lane, ['no-such-program-anywhere'], {}, context)
      await expect(child.pid).rejects.toMatchObject({ code: 'spawn-failed', path: ['here'] })
      await expect(child.exited).rejects.toMatchObject({ code: 'spawn-failed' })
      await expect(text(child.stdout)).rejects.toMatchObject({ code: 'spawn-failed' })
    })

    test.each([['program', ['/etc/passwd'], {}], ['directory', 'true', { cwd: '/no/such/folder' }]] as const)('what cannot be started for its %s prints nothing', async (_what, command, options) => {
      const child = spawnCommand(lane, typeof command === 'string' ? command : [...command], options, context)
      const printed: Buffer[] = []
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes: Buffer) => printed.push(bytes))
      await expect(child.exited).rejects.toMatchObject({ code: 'spawn-failed' })
      expect(Buffer.concat(printed).toString()).toBe('')
    })

    test.each(['stdout', 'stderr'] as const)('who breaks off reading %s ends a command that prints on, as a closed pipe does', async (name) => {
      const child = spawnCommand(lane, name === 'stdout' ? ['yes'] : 'exec yes >&2', {}, context)
      for await (const chunk of child[name]) if ((chunk as Buffer).length > 0) break
      expect(await child.exited).toEqual({ exitCode: null, signal: 'SIGPIPE' })
      expect(await text(name === 'stdout' ? child.stderr : child.stdout)).toBe('')
    })

    test('an output that nobody wants from the start is none of the command\'s business until it prints', async () => {
      const child = spawnCommand(lane, 'read a; echo "got $a" >&2; read b; yes', {}, context)
      child.stdout.destroy()
      child.stdin.write('1\n')
      for await (const chunk of child.stderr.iterator({ destroyOnReturn: false })) if (String(chunk) === 'got 1\n') break
      child.stdin.write('2\n')
      const { exitCode, signal } = await child.exited
      // Where the stream itself is closed, `yes` alone dies of it, and the shell says so in its status.
      expect(signal ?? exitCode).toBe(signal === null ? 141 : 'SIGPIPE')
    })

    test('a stdin that is destroyed ends what the command reads', async () => {
      const child = spawnCommand(lane, ['cat'], {}, context)
      child.stdin.write('some')
      await new Promise((resolve) => child.stdout.once('data', resolve))
      child.stdin.destroy()
      expect(await child.exited).toEqual({ exitCode: 0, signal: null })
    })

    test('an abort ends it though nobody reads what it prints', async () => {
      const stop = new AbortController()
      const child = spawnCommand(lane, ['yes'], { signal: stop.signal }, context)
      const pid = await child.pid
      // While this one, which is read, comes to its end, the other fills all that is between it and its reader.
      expect((await bytes('head -c 8388608 /dev/zero')).stdout).toHaveLength(8_388_608)
      stop.abort()
      await expect(child.exited).rejects.toMatchObject({ code: 'cancelled', outcome: 'failed' })
      expect(alive(pid)).toBe(false)
    })

    test('an abort ends it with cancelled', async () => {
      const controller = new AbortController()
      const child = spawnCommand(lane, 'sleep 60', { signal: controller.signal }, context)
      const pid = await child.pid
      controller.abort()
      await expect(child.exited).rejects.toMatchObject({ code: 'cancelled' })
      expect(alive(pid)).toBe(false)
    })
  })
}

describe.each(Object.entries(lanes))('a command over %s', (_, openLane) => {
  contract(openLane)
})
describe.skipIf(!haveSshd).each(Object.entries(sshLanes))('a command over %s (left out where there is no sshd)', (_, openLane) => {
  contract(openLane)
})
