import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { RametError } from '../../src/router/errors.ts'
import { failureOf } from '../../src/connect/openssh-failure.ts'
import { type OpensshOptions, connectOpenssh } from '../../src/connect/openssh.ts'
import type { Connection } from '../../src/connect/transport.ts'
import { fakePrograms } from '../helpers/fake-program.ts'
import { Collector } from '../helpers/process-io.ts'
import { type TestServer, freePort, haveSshd, makeKey, startSshd } from '../helpers/sshd.ts'
import { startTcp } from '../helpers/tcp.ts'
import { TestClock } from '../helpers/test-clock.ts'

vi.mock(import('node:fs'), async (original) => {
  const fs = await original()
  return { ...fs, writeFileSync: vi.fn(fs.writeFileSync) }
})

const failure = async (connection: Connection): Promise<RametError> => {
  const started = connection.open('cat')
  const io = new Collector(started)
  const error = (await connection.ready.then(() => undefined, (reason: unknown) => reason)) as RametError
  await io.until(() => io.closed > 0)
  expect(io.cause).toMatchObject({ code: error.code })
  await connection.close()
  return error
}

describe.skipIf(!haveSshd)('openssh with a real sshd (left out where there is none)', () => {
  let server: TestServer
  beforeAll(async () => void (server = await startSshd()))
  afterAll(() => server.stop())
  const options = (more: Partial<OpensshOptions> = {}): OpensshOptions => ({
    host: server.host, port: server.port, user: server.user, identityFile: server.keyFile, knownHosts: server.knownHosts, configFile: false, ...more,
  })

  it('classifies what ssh says', async () => {
    const wrong = makeKey(server.dir, `wrong${Date.now()}`)
    expect(await failure(connectOpenssh(options({ identityFile: wrong })))).toMatchObject({ code: 'auth-failed', stage: 'auth' })
    expect(await failure(connectOpenssh(options({ port: await freePort() })))).toMatchObject({ code: 'connect-refused', stage: 'tcp' })
    expect(await failure(connectOpenssh(options({ host: 'no-such-host.invalid' })))).toMatchObject({ code: 'resolve-failed', stage: 'resolve' })
    const empty = join(server.dir, 'nobody_known')
    writeFileSync(empty, '')
    expect(await failure(connectOpenssh(options({ knownHosts: empty })))).toMatchObject({ code: 'host-key-unknown', stage: 'host-key' })
    const other = join(server.dir, 'others_known')
    const { readFileSync } = await import('node:fs')
    writeFileSync(other, `[127.0.0.1]:${server.port} ${readFileSync(`${wrong}.pub`, 'utf8')}`)
    expect(await failure(connectOpenssh(options({ knownHosts: other })))).toMatchObject({ code: 'host-key-changed', stage: 'host-key' })
    expect(await failure(connectOpenssh(options({ args: ['-o', 'KexAlgorithms=diffie-hellman-group1-sha1'] }))))
      .toMatchObject({ code: 'algorithm-mismatch', stage: 'host-key' })
  })

  it('saves a first key in mode accept and takes any in mode ignore', async () => {
    const file = join(server.dir, 'fresh_known')
    for (const hostKeys of ['accept', 'ignore'] as const) {
      const connection = connectOpenssh(options({ knownHosts: file, hostKeys }))
      const started = connection.open('echo hi')
      const io = new Collector(started)
      await connection.ready
      expect(await started.exited).toEqual({ exitCode: 0, signal: null })
      expect([io.text, io.stderrText]).toEqual(['hi\n', hostKeys === 'accept' ? io.stderrText : ''])
      await connection.close()
    }
    const { readFileSync } = await import('node:fs')
    expect(readFileSync(file, 'utf8').split('\n').filter((line) => line !== '')).toHaveLength(1)
  })

  it('shares the first process\'s connection with those that follow', async () => {
    const logins = (): number => server.log().match(/Accepted publickey/g)?.length ?? 0
    const connection = connectOpenssh(options())
    const first = connection.open('echo up; cat')
    const io = new Collector(first)
    await io.until(() => io.bytes > 0)
    await connection.ready
    const before = logins()
    const second = connection.open('exit 7')
    new Collector(second)
    expect(await second.exited).toEqual({ exitCode: 7, signal: null })
    expect(logins()).toBe(before)
    // When the first one is gone a later one connects by itself.
    first.pipe.end()
    await first.exited
    const third = connection.open('exit 8')
    new Collector(third)
    expect(await third.exited).toEqual({ exitCode: 8, signal: null })
    expect(logins()).toBe(before + 1)
    await connection.close()
  })

  it('keeps no file of a process that has ended, however many there were', async () => {
    const before = process.env['XDG_RUNTIME_DIR']
    const runtime = mkdtempSync(join(tmpdir(), 'ramet-runtime-'))
    process.env['XDG_RUNTIME_DIR'] = runtime
    try {
      const connection = connectOpenssh(options({ commands: true }))
      await connection.ready
      const logs = (): string[] => readdirSync(runtime, { recursive: true }).map(String).filter((file) => /log\d+$/.test(file))
      const started = Array.from({ length: 5 }, () => connection.open('echo one of many'))
      for (const each of started) new Collector(each)
      expect(await Promise.all(started.map(({ exited }) => exited))).toEqual(started.map(() => ({ exitCode: 0, signal: null })))
      await vi.waitFor(() => expect(logs()).toEqual([]))
      await connection.close()
      expect(readdirSync(runtime)).toEqual([])
    } finally {
      if (before === undefined) delete process.env['XDG_RUNTIME_DIR']
      else process.env['XDG_RUNTIME_DIR'] = before
      rmSync(runtime, { recursive: true })
    }
  })

  it('is ready when the command has ended without a word, with the code that is the command\'s', async () => {
    const connection = connectOpenssh(options())
    const started = connection.open('exit 97')
    const io = new Collector(started)
    await connection.ready
    expect(await started.exited).toEqual({ exitCode: 97, signal: null })
    expect([io.closed, io.cause]).toEqual([1, undefined])
    await connection.close()
  })
})

describe('openssh without a server', () => {
  it.each([['-oProxyCommand=touch /tmp/owned', undefined], ['host', '-x'], ['a\nb', undefined], ['', undefined]])('refuses the name %j (user %j)', async (host, user) => {
    const connection = connectOpenssh({ host, user })
    await expect(connection.ready).rejects.toMatchObject({ code: 'target-invalid' })
    const io = new Collector(connection.open('true'))
    await io.until(() => io.closed > 0)
    expect(io.cause).toMatchObject({ code: 'target-invalid' })
    await connection.close()
  })

  it('reports a client program that is missing', async () => {
    const error = await failure(connectOpenssh({ host: 'x', program: '/nonexistent/ssh' }))
    expect([error.code, error.stage, error.outcome]).toEqual(['launch-failed', 'launch', 'not-sent'])
  })

  it('gives up in time, and when aborted, and leaves no child', async () => {
    await using hole = await startTcp()
    const clock = new TestClock()
    const slow = connectOpenssh({ host: '127.0.0.1', port: hole.port, configFile: false, clock, timeout: 5000 })
    const done = failure(slow)
    clock.advance(5000)
    expect(await done).toMatchObject({ code: 'connect-timeout', stage: 'ssh' })
    const abort = new AbortController()
    const aborted = failure(connectOpenssh({ host: '127.0.0.1', port: hole.port, configFile: false, clock, signal: abort.signal }))
    abort.abort()
    expect(await aborted).toMatchObject({ code: 'cancelled' })
    expect(clock.pending).toBe(0)
  })

  it('gives ssh the host and the command as the last two words, behind --', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'fake-ssh-'))
    const program = join(dir, 'ssh')
    writeFileSync(program, '#!/bin/sh\nfor word; do printf "%s\\n" "$word"; done\n')
    chmodSync(program, 0o755)
    const connection = connectOpenssh({ host: 'web1', user: 'me', port: 2222, program, configFile: false, knownHosts: ['/a b/k', '/c'], args: ['-v'], hostKeys: 'enforce' })
    const started = connection.open('echo "two words"')
    const io = new Collector(started)
    await started.exited
    const words = io.text.trim().split('\n')
    expect(words.slice(-3)).toEqual(['--', 'web1', 'echo "two words"'])
    expect(words.slice(0, 8)).toEqual(['-v', '-T', '-F', 'none', '-p', '2222', '-l', 'me'])
    for (const word of ['BatchMode=yes', 'StrictHostKeyChecking=yes', 'UserKnownHostsFile="/a b/k" "/c"', 'ConnectTimeout=30', 'ControlMaster=yes']) {
      expect(words).toContain(word)
    }
    await connection.close()
    rmSync(dir, { recursive: true })
  })

  it('tells what ssh said where there is no room left for a file of its words', async () => {
    using programs = fakePrograms()
    // As on a full disk: what is written to the file is lost.
    programs.add('ssh', `for word in "$@"; do [ "$word" = -E ] && exit 255; done; echo 'Permission denied (publickey).' >&2; exit 255`)
    vi.mocked(writeFileSync).mockImplementationOnce(() => {
      throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
    })
    const error = await failure(connectOpenssh({ host: 'web1', program: join(programs.dir, 'ssh'), configFile: false }))
    expect(error).toMatchObject({ code: 'auth-failed', stage: 'auth', message: expect.stringContaining('Permission denied') as string })
  })

  it('tells what the ssh to a jump host said, which stands on stderr, and not that a connection was closed', async () => {
    using programs = fakePrograms()
    const closed = 'kex_exchange_identification: Connection closed by remote host\\nConnection closed by UNKNOWN port 65535\\n'
    programs.add('ssh', `while [ "$1" != -E ]; do shift; done; printf '${closed}' >"$2"; echo 'Host key verification failed.' >&2; exit 255`)
    const connection = connectOpenssh({ host: 'web1', jump: 'gate', program: join(programs.dir, 'ssh'), configFile: false })
    const error = await failure(connection)
    expect(error).toMatchObject({ code: 'host-key-unknown', stage: 'host-key', outcome: 'not-sent', message: expect.stringContaining('Host key verification failed.') as string })
  })

  it('close lets ssh hear how a process ended that has closed its output, though not for ever', async () => {
    using programs = fakePrograms()
    programs.add('ssh', 'echo up; exec >&-; until [ -e $FAKE/go ]; do sleep 0.02; done; : >$FAKE/heard')
    for (const goes of [true, false]) {
      const clock = new TestClock()
      const connection = connectOpenssh({ host: 'web1', program: join(programs.dir, 'ssh'), configFile: false, clock })
      const io = new Collector(connection.open('true'))
      await io.until(() => io.closed > 0)
      const closing = connection.close()
      if (goes) writeFileSync(join(programs.dir, 'go'), '')
      else clock.advance(500)
      await closing
      expect(programs.file('heard') !== undefined).toBe(goes)
      for (const name of ['go', 'heard']) rmSync(join(programs.dir, name), { force: true })
    }
  })

  it('tells the command\'s failure from ssh\'s own, and shows no control characters', () => {
    expect(failureOf('x', { exitCode: 1, signal: null }, 'Permission denied')).toBeUndefined()
    expect(failureOf('x', { exitCode: 255, signal: null }, 'weird \x1b[2J thing')).toMatchObject({ code: 'ssh-failed', stage: 'ssh', outcome: 'unknown' })
    expect(failureOf('x', { exitCode: 255, signal: null }, 'weird \x1b[2J thing')?.message).not.toContain('\x1b')
    expect(failureOf('x', { exitCode: 255, signal: null }, 'kex_exchange_identification: Connection closed by remote host')).toMatchObject({ code: 'connect-failed' })
    expect(failureOf('x', { exitCode: null, signal: 'SIGKILL' }, '')).toMatchObject({ code: 'ssh-failed' })
  })
})
