import { execFile, execFileSync, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { buildCli } from '../helpers/built-cli.ts'
import { childrenOf } from '../helpers/e2e-lab.ts'
import { freePort, haveSshd, startSshd, type TestServer } from '../helpers/sshd.ts'

interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

interface Item {
  target: string
  status: string
  value: Record<string, unknown> & { _error?: { code: string; kind: string; msg: string; details: Record<string, unknown> } }
}

const havePython = (() => {
  try {
    execFileSync('python3', ['-c', 'import pty'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()

describe.skipIf(!haveSshd)('the command, as it is built, on a real sshd with three addresses', () => {
  const hosts = ['127.0.0.1', '127.0.0.2', '127.0.0.3']
  let place: string
  let cli: string
  let server: TestServer
  let login: string[]
  let targets: string[]

  beforeAll(async () => {
    place = mkdtempSync(join(tmpdir(), 'ramet-cli-'))
    cli = await buildCli(place)

    server = await startSshd({ config: hosts.slice(1).map((host) => `ListenAddress ${host}`) })
    const known = join(place, 'known_hosts')
    writeFileSync(known, hosts.map((host) => `[${host}]:${server.port} ${server.hostKeys[0]}\n`).join(''))
    login = ['--ssh-config', 'none', '--known-hosts', known, '--private-key', server.keyFile, '--user', server.user]
    targets = hosts.map((host) => `${host}:${server.port}`)
    writeFileSync(join(place, 'tasks.ts'), `
      import { hostname } from 'node:os'
      export interface Sum { sum: number; host: string }
      export function add(a: number, b: number): Sum { return { sum: a + b, host: hostname() } }
      export function fails(): never { throw new TypeError('not today') }
      export async function* count(n: number) { for (let i = 0; i < n; i++) yield i }
    `)
  }, 60_000)
  afterAll(async () => {
    await server?.stop()
    rmSync(place, { recursive: true, force: true })
  })
  afterEach(async () => {
    await expect.poll(() => childrenOf(server.pid), { timeout: 10_000 }).toEqual([])
  })

  const start = (...argv: string[]) => {
    const child = spawn(process.execPath, [cli, ...argv], { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env['PATH'], HOME: place } })
    const texts = { stdout: '', stderr: '' }
    child.stdout.setEncoding('utf8').on('data', (text: string) => (texts.stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (texts.stderr += text))
    const ended = new Promise<Ended>((resolve) => child.on('close', (code) => resolve({ code, ...texts })))
    return { child, texts, ended }
  }
  const run = (...argv: string[]): Promise<Ended> => start(...argv).ended
  const on = (list: string[]): string[] => ['-t', list.join(','), ...login]
  const items = ({ stdout }: Ended): Item[] => (JSON.parse(stdout) as { items: Item[] }).items.sort((a, b) => (a.target < b.target ? -1 : 1))

  test('run: human text, per target what it printed, and a summary', async () => {
    const { code, stdout, stderr } = await run('run', 'echo "$SSH_CONNECTION" | cut -d" " -f3; echo oops >&2', ...on(targets))
    expect(code, stderr).toBe(0)
    for (const target of targets) expect(stdout).toContain(`${target}: ok`)
    for (const host of hosts) expect(stdout.split('\n')).toContain(host)
    expect(stdout.match(/^err\| oops$/gm)).toHaveLength(3)
    expect(stderr).toMatch(/^3 targets: 3 ok in /)
  })

  test.each(['raw', 'node'])('run --runtime %s: json in Bolt\'s shape, exit code 1 when a command fails', async (runtime) => {
    const ended = await run('run', 'case "$SSH_CONNECTION" in *127.0.0.2*) exit 7;; esac; printf fine', ...on(targets), '--format', 'json', '--runtime', runtime)
    expect(ended.code, ended.stderr).toBe(1)
    const [one, two, three] = items(ended) as [Item, Item, Item]
    expect([one.status, two.status, three.status]).toEqual(['success', 'failure', 'success'])
    expect(one.value).toMatchObject({ stdout: 'fine', stderr: '', exit_code: 0 })
    expect(two.value).toMatchObject({ exit_code: 7, _error: { kind: 'puppetlabs.tasks/command-error', code: 'exec-failed' } })
    expect(JSON.parse(ended.stdout)).toMatchObject({ target_count: 3, elapsed_time: expect.any(Number) as number })
  })

  test('one dead target among good ones', async () => {
    const dead = `127.0.0.1:${await freePort()}`
    const ended = await run('run', 'true', ...on([...targets, dead, 'no-such-host.invalid']), '--format', 'json')
    expect(ended.code).toBe(1)
    const found = items(ended)
    expect(found.filter(({ status }) => status === 'success').map(({ target }) => target).sort()).toEqual([...targets].sort())
    const failures = found.filter(({ status }) => status === 'failure')
    // 127… stands before names.
    expect(failures.map(({ target, value }) => [target, value._error?.code, value._error?.details['stage'], value._error?.details['outcome']])).toEqual([
      [dead, 'connect-refused', 'tcp', 'not-sent'], ['no-such-host.invalid', 'resolve-failed', 'resolve', 'not-sent'],
    ])
    for (const { value } of failures) expect(value._error?.details['hint']).toMatch(/\w+ \w+/)
  })

  test('the library beside it reads an encrypted key', async () => {
    const key = join(place, 'encrypted')
    cpSync(server.keyFile, key)
    await promisify(execFile)('ssh-keygen', ['-q', '-p', '-P', '', '-N', 'open sesame', '-f', key])
    const program = `
      const [index, target, knownHosts, identityFile] = process.argv.slice(1)
      const { Controller } = await import(index)
      const ramet = new Controller()
      const context = await ramet.connect(target, { sshConfig: false, knownHosts, identityFile, passphrase: 'open sesame', runtime: 'raw' })
      console.log((await context.exec('echo well')).stdout)
      await ramet.close()
    `
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program, `${place}/dist/index.js`, `ssh://${server.user}@${targets[0]}`, login[3] as string, key])
    expect(stdout.trim()).toBe('well')
  })

  test('call: a TypeScript function on three targets, its arguments as JSON', async () => {
    const ended = await run('call', join(place, 'tasks.ts'), 'add', '40', '2', ...on(targets), '--format', 'json')
    expect(ended.code, ended.stderr).toBe(0)
    expect(items(ended).map(({ value }) => (value['result'] as { sum: number }).sum)).toEqual([42, 42, 42])
  })

  test('call: an error comes with its cause in the lines of the file', async () => {
    const ended = await run('call', join(place, 'tasks.ts'), 'fails', ...on(targets.slice(0, 1)))
    expect(ended.code).toBe(1)
    expect(ended.stdout).toContain('caused by TypeError: not today')
    expect(ended.stdout).toMatch(/tasks\.ts:5/)
  })

  test('call: items of a stream as lines of jsonl', async () => {
    const ended = await run('call', join(place, 'tasks.ts'), 'count', '3', ...on(targets.slice(0, 1)), '--format', 'jsonl')
    expect(ended.code, ended.stderr).toBe(0)
    const events = ended.stdout.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(events.every(({ v }) => v === 1)).toBe(true)
    expect(events.filter(({ type }) => type === 'item').map(({ value }) => value)).toEqual([0, 1, 2])
    expect(events.at(0)).toMatchObject({ type: 'run-start', command: 'call' })
    expect(events.at(-1)).toMatchObject({ type: 'summary', ok: 1, exit_code: 0 })
  })

  test('call --list names the files that would leave, and contacts nobody', async () => {
    const ended = await run('call', join(place, 'tasks.ts'), '--list', '--format', 'json')
    expect(ended.code, ended.stderr).toBe(0)
    expect(JSON.parse(ended.stdout)).toMatchObject({ files: [{ file: join(place, 'tasks.ts'), hash: expect.stringMatching(/^[0-9a-f]{64}$/) as string }] })
    expect(server.log()).not.toContain('nobody in particular')
  })

  test('ping: round trip, runtime, and who is there', async () => {
    const ended = await run('ping', ...on(targets), '--format', 'json')
    expect(ended.code, ended.stderr).toBe(0)
    for (const { value } of items(ended)) expect(value).toMatchObject({ runtime: 'node', platform: 'linux', rtt_ms: expect.any(Number) as number })
    expect(await run('ping', ...on(targets), '--runtime', 'raw')).toMatchObject({ code: 0, stdout: expect.stringContaining('raw, no stub') as string })
  })

  test('--timeout ends the work there, and what was printed is shown', async () => {
    const ended = await run('run', 'echo begun; sleep 100', ...on(targets), '--timeout', '1', '--format', 'json')
    expect(ended.code).toBe(1)
    for (const { value } of items(ended)) expect(value).toMatchObject({ stdout: 'begun\n', _error: { code: 'timeout' } })
  }, 30_000)

  test('^C in the middle: 130, what ended is said, and nothing goes on', async () => {
    const flags = join(place, 'begun')
    mkdirSync(flags, { recursive: true })
    const { child, ended } = start('run', `touch ${flags}/$(echo "$SSH_CONNECTION" | cut -d" " -f3); echo partly; exec sleep 1000`, ...on(targets), '--format', 'json')
    await expect.poll(() => hosts.every((host) => existsSync(join(flags, host))), { timeout: 10_000 }).toBe(true)
    child.kill('SIGINT')
    const result = await ended
    expect(result.code).toBe(130)
    expect(result.stderr).toContain('cancelling on 3 targets')
    for (const { status, value } of items(result)) {
      expect(status).toBe('failure')
      expect(value._error?.code).toBe('cancelled')
      expect(value['stdout']).toBe('partly\n')
    }
  }, 30_000)

  test('^C under a function that spins: 130, and nobody is left there', async () => {
    writeFileSync(join(place, 'spin.ts'), `import { writeFileSync } from 'node:fs'\nexport function spin() { writeFileSync(${JSON.stringify(join(place, 'spins'))}, ''); for (;;); }\n`)
    const { child, ended } = start('call', join(place, 'spin.ts'), 'spin', ...on(targets.slice(0, 1)))
    await expect.poll(() => existsSync(join(place, 'spins')), { timeout: 10_000 }).toBe(true)
    child.kill('SIGINT')
    const result = await ended
    expect(result.code).toBe(130)
    expect(result.stderr).toMatch(/outcome unknown \(may have run, may still run\): 127\.0\.0\.1/)
  }, 30_000)

  test('kill -9: nothing of ours is left on the target', async () => {
    writeFileSync(join(place, 'spin2.ts'), `import { writeFileSync } from 'node:fs'\nexport function spin() { writeFileSync(${JSON.stringify(join(place, 'spins2'))}, ''); for (;;); }\n`)
    const { child, ended } = start('call', join(place, 'spin2.ts'), 'spin', ...on(targets.slice(0, 1)))
    await expect.poll(() => existsSync(join(place, 'spins2')), { timeout: 10_000 }).toBe(true)
    expect(childrenOf(server.pid).some((line) => line.includes('ramet'))).toBe(true)
    child.kill('SIGKILL')
    await ended
    await expect.poll(() => childrenOf(server.pid), { timeout: 10_000 }).toEqual([])
  }, 30_000)

  test('output full of escapes: to a file as it is, everything else escaped', async () => {
    const evil = 'printf "\\033]0;title\\007\\033[31mred\\r\\n"; printf "\\033[2Jerr\\n" >&2'
    const { stdout } = await run('run', evil, ...on(targets.slice(0, 1)))
    expect(stdout).toContain('\u001b]0;title\u0007\u001b[31mred\r\n')
    expect(stdout).toContain('err| \\x1b[2Jerr\n')
  })

  test.skipIf(!havePython)('output full of escapes on a terminal: none gets through (a pseudo-terminal of python3)', async () => {
    // Long enough for a status line.
    const evil = 'sleep 0.5; printf "\\033]0;title\\007\\033[31mred\\rover\\n\\233bell\\007"; printf "\\033[2Jerr\\n" >&2'
    const pty = 'import pty, sys, os; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))'
    const argv = ['-c', pty, process.execPath, cli, 'run', evil, ...on(targets.slice(0, 1))]
    const shown = await new Promise<Buffer>((resolve, reject) => {
      const child = spawn('python3', argv, { stdio: ['ignore', 'pipe', 'inherit'], env: { PATH: process.env['PATH'], HOME: place, TERM: 'xterm' } })
      const chunks: Buffer[] = []
      child.stdout.on('data', (bytes: Buffer) => chunks.push(bytes))
      child.on('close', () => resolve(Buffer.concat(chunks)))
      child.on('error', reject)
    })
    const text = shown.toString('latin1')
    expect(text).toContain('\\x1b]0;title\\x07\\x1b[31mred\\rover')
    expect(text).toContain('\\x1b[2Jerr')
    // The only escapes are the colours and the status line of our own.
    const ours = text.replace(/\u001b\[(\d+(;\d+)*)?m|\r\u001b\[2K|\r/g, '')
    expect(ours.match(/[\u0000-\u0009\u000b-\u001f\u007f\u0080-\u009f].{0,20}/g)).toBeNull()
  })

  test.skipIf(!havePython)('^C at a question ends with 130, as everywhere (a pseudo-terminal of python3)', async () => {
    const encrypted = join(place, 'encrypted')
    cpSync(server.keyFile, encrypted)
    execFileSync('ssh-keygen', ['-q', '-p', '-N', 'a passphrase', '-f', encrypted])
    const answer = [
      'import os, pty, sys',
      'pid, fd = pty.fork()',
      'if pid == 0: os.execv(sys.argv[1], sys.argv[1:])',
      'shown = b""',
      'while b"assphrase" not in shown: shown += os.read(fd, 4096)',
      'os.write(fd, b"\\x03")',
      'sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))',
    ].join('\n')
    const argv = ['-c', answer, process.execPath, cli, 'run', 'true', ...on(targets.slice(0, 1)).map((word) => (word === server.keyFile ? encrypted : word))]
    const code = await new Promise((resolve, reject) => {
      spawn('python3', argv, { stdio: 'ignore', env: { PATH: process.env['PATH'], HOME: place, TERM: 'xterm' } }).on('close', resolve).on('error', reject)
    })
    expect(code).toBe(130)
  })

  test('run --stream: lines come while the command runs, and it ends when nobody reads them any more', async () => {
    const { child, texts, ended } = start('run', 'echo begun; echo oops >&2; exec yes', ...on(targets.slice(0, 2)), '--stream')
    const awaited = new Set(targets.slice(0, 2).flatMap((target) => ['begun', 'err| oops', 'y'].map((line) => `${target} | ${line}`)))
    await new Promise<void>((resolve) => child.stdout.on('data', (text: string) => {
      for (const line of text.split('\n')) awaited.delete(line)
      if (awaited.size === 0) resolve()
    }))
    child.stdout.destroy()
    expect({ code: (await ended).code, said: texts.stderr }).toEqual({ code: 1, said: '' })
  }, 30_000)

  test("--agent: the ssh of a hop logs in with a key of this machine; without it, the hint names the flag", async () => {
    const flags = ['-t', targets[0]!, ...login, '--via', 'local:', '--transport', 'openssh', '--host-keys', 'ignore']
    const refused = await run('run', 'echo here', ...flags)
    expect(refused).toMatchObject({ code: 1, stdout: expect.stringContaining('(agent: true, --agent)') as string })
    expect(await run('run', 'echo here', ...flags, '--agent')).toMatchObject({ code: 0, stdout: expect.stringContaining('\nhere\n') as string })
  }, 30_000)

  test('--host-keys accept saves the key of a new host', async () => {
    const known = join(place, 'new_hosts')
    const flags = ['--ssh-config', 'none', '--known-hosts', known, '--private-key', server.keyFile, '--user', server.user, '-t', targets.join(',')]
    const refused = await run('run', 'true', ...flags, '--format', 'json')
    expect(refused.code).toBe(1)
    for (const { value } of items(refused)) expect(value._error).toMatchObject({ code: 'host-key-unknown', details: { stage: 'host-key', outcome: 'not-sent' } })
    expect((await run('run', 'true', ...flags, '--host-keys', 'accept')).code).toBe(0)
    expect(readFileSync(known, 'utf8').trim().split('\n')).toHaveLength(3)
    expect((await run('run', 'true', ...flags)).code).toBe(0)
  })
})
