import { execFile, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { childrenOf } from '../helpers/e2e-lab.ts'
import { freePort, haveSshd, startSshd, type TestServer } from '../helpers/sshd.ts'
import { root } from '../helpers/source-tree.ts'
import { alive } from '../helpers/tree-lab.ts'

interface Wire {
  connections: number
  bytes_out: number
  bytes_in: number
  round_trips: number
}

interface Result {
  contender: string
  kind: string
  calls: number
  p50_ms: number
  cpu_ms: { own: number; children: number | null }
  per_call?: Wire
  opening?: Wire
  samples_ms: number[]
}

interface Value {
  ending: string
  results: Result[]
  left_out: { contender: string; kinds: string[]; reason: string }[]
  rtt_ms: { tcp?: number; ping?: number }
  not_counted?: string
  counted_to?: string
  notes: string[]
}

const CONTENDERS = ['ssh', 'ssh-pinned', 'ssh-master', 'ssh2', 'ramet-raw', 'ramet-cold', 'ramet-warm']

describe.skipIf(!haveSshd)('ramet bench, as it is built, on a real sshd', () => {
  let place: string
  let cli: string
  let temporary: string
  let server: TestServer

  beforeAll(async () => {
    place = mkdtempSync(join(tmpdir(), 'ramet-test-'))
    const dist = `${place}/dist/`
    temporary = join(place, 't')
    for (const dir of [dist, temporary]) mkdirSync(dir)
    const build = `import { buildLibrary } from './build/library.mjs'; await buildLibrary(process.argv[1])`
    await promisify(execFile)(process.execPath, ['--input-type=module', '-e', build, dist], { cwd: root })
    for (const name of ['stub.br', 'modules']) cpSync(join(root, 'dist', name), join(dist, name), { recursive: true })
    cpSync(join(root, 'package.json'), join(place, 'package.json'))
    symlinkSync(join(root, 'node_modules'), join(place, 'node_modules'))
    cli = `${dist}cli.js`
    // A login shell that prints on each login, on both streams.
    server = await startSshd({ bashrc: 'echo "Welcome to noise"; echo "and more" >&2\n' })
  }, 60_000)
  afterAll(async () => {
    await server?.stop()
    rmSync(place, { recursive: true, force: true })
  })
  afterEach(async () => {
    await expect.poll(() => childrenOf(server.pid), { timeout: 10_000 }).toEqual([])
    expect(readdirSync(temporary)).toEqual([])
  })

  const start = (argv: string[], env: Record<string, string> = {}) => {
    const child = spawn(process.execPath, [cli, 'bench', ...argv], {
      stdio: ['ignore', 'pipe', 'pipe'], detached: true, env: { PATH: process.env['PATH'], HOME: place, TMPDIR: temporary, LANG: 'C.UTF-8', ...env },
    })
    const texts = { stdout: '', stderr: '' }
    let look = (): void => {}
    child.stdout.setEncoding('utf8').on('data', (text: string) => (texts.stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      texts.stderr += text
      look()
    })
    const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
      child.on('close', (code) => {
        look()
        resolve({ code, ...texts })
      })
    })
    const says = (text: string): Promise<void> => new Promise((resolve, reject) => {
      look = () => {
        if (texts.stderr.includes(text)) resolve()
        else if (child.exitCode !== null) reject(new Error(`it ended: ${texts.stderr}`))
      }
      look()
    })
    /** What ^C does: every process of the group gets the signal. */
    const interrupt = (): void => void process.kill(-child.pid!, 'SIGINT')
    return { child, ended, says, interrupt }
  }
  const to = (other: Pick<TestServer, 'user' | 'host' | 'port' | 'keyFile' | 'knownHosts'> = server): string[] =>
    ['-t', `${other.user}@${other.host}:${other.port}`, '--ssh-config', 'none', '--known-hosts', other.knownHosts, '--private-key', other.keyFile]
  const valueOf = (stdout: string): Value => (JSON.parse(stdout) as { items: { value: Value }[] }).items[0]!.value

  test('measures every contender with a command and a function, counts what they send, and draws them', async () => {
    const picture = join(place, 'bench.svg')
    const { code, stdout, stderr } = await start([...to(), '--calls', '3', '--format', 'json', '--svg', picture]).ended
    expect(code, stderr).toBe(0)
    expect(stderr).toMatch(/7 ways, 3 calls of each kind by each, 1 at once, in turn in 3 rounds; at most 1 min 0 s\n/)
    expect(stderr).toMatch(/This takes about \d/)
    const { results, left_out: leftOut, rtt_ms: rtt, ending } = valueOf(stdout)
    expect(leftOut).toEqual([])
    expect(ending).toBe('whole')
    expect(results.map(({ contender, kind }) => `${contender} ${kind}`).sort()).toEqual(CONTENDERS.flatMap((id) => [`${id} command`, `${id} function`]).sort())
    for (const { calls, samples_ms: samples, cpu_ms: cpu } of results) {
      expect([calls, samples.length]).toEqual([3, 3])
      expect(cpu.own).toBeGreaterThan(0)
    }
    const of = (contender: string, kind = 'function'): Result => results.find((one) => one.contender === contender && one.kind === kind)!
    for (const id of ['ssh', 'ssh-pinned', 'ramet-cold']) expect([of(id).per_call!.connections, of(id).opening]).toEqual([1, undefined])
    for (const id of ['ssh-master', 'ssh2', 'ramet-raw', 'ramet-warm']) expect([of(id).per_call!.connections, of(id).opening!.connections]).toEqual([0, 1])
    // What a warm call is: one round trip and a few bytes.
    expect(of('ramet-warm').per_call!.round_trips).toBe(1)
    expect(of('ramet-warm').per_call!.bytes_out + of('ramet-warm').per_call!.bytes_in).toBeLessThan(400)
    expect(of('ssh').per_call!.round_trips).toBeGreaterThan(of('ramet-cold').per_call!.round_trips)
    expect(of('ssh').cpu_ms.children).toBeGreaterThan(0)
    expect(rtt.tcp).toBeGreaterThan(0)
    expect(rtt.ping).toBeGreaterThan(0)
    const drawn = readFileSync(picture, 'utf8')
    expect(drawn.match(/<rect [^>]*class="(?:ours|other)"/g)).toHaveLength(14)
    expect(drawn).not.toContain(server.host)
    expect(drawn).not.toMatch(/<script|href=|url\(/)
  }, 60_000)

  test('without an ssh client the others are measured, and those that need one are named', async () => {
    const { code, stdout, stderr } = await start([...to(), '--calls', '3'], { PATH: '/nowhere' }).ended
    expect(code, stderr).toBe(0)
    expect(stdout.match(/^Left out: ssh.*: there is no ssh client on this machine$/gm)).toHaveLength(3)
    expect(stdout.match(/^(ssh2|ramet, (raw|cold|warm)) +[\d.]+ (us|ms|s)/gm)).toHaveLength(8)
    expect(stdout).toMatch(/^ramet, warm +\u2588+ [\d.]+ (us|ms)$/m)
  }, 60_000)

  test('^C shows what was measured by then, ends with 130, and leaves no process, session or file', async () => {
    const { child, ended, says, interrupt } = start([...to(), '--calls', '500'])
    await says('This takes about')
    await expect.poll(() => childrenOf(child.pid!).length).toBeGreaterThan(0)
    const children = childrenOf(child.pid!)
    interrupt()
    const { code, stdout } = await ended
    expect(code).toBe(130)
    expect(stdout).toMatch(/^Interrupted: these are the calls that were made by then\.$/m)
    await expect.poll(() => children.map((line) => Number.parseInt(line)).filter(alive)).toEqual([])
  }, 60_000)

  test('^C before anything is measured says so, and a second one leaves at once', async () => {
    const { ended, says, interrupt } = start([...to(), '--calls', '500'])
    await says('Nothing is installed there')
    interrupt()
    interrupt()
    const { code } = await ended
    expect(code).toBe(130)
  }, 60_000)

  test('when it is killed the shared connection ends too', async () => {
    const { child, ended, says } = start([...to(), '--calls', '500'])
    await says('This takes about')
    child.kill('SIGKILL')
    await ended
    await expect.poll(() => childrenOf(server.pid), { timeout: 10_000 }).toEqual([])
    // Nobody was left to remove it.
    for (const name of readdirSync(temporary)) rmSync(join(temporary, name), { recursive: true })
  }, 60_000)

  test('keeps within --max-time, and says what that cost', async () => {
    const from = performance.now()
    const { code, stdout, stderr } = await start([...to(), '--calls', '2000', '--max-time', '10', '--format', 'json']).ended
    expect(code, stderr).toBe(0)
    expect(performance.now() - from).toBeLessThan(25_000)
    const { results, notes, ending } = valueOf(stdout)
    expect(ending === 'time' || notes.some((note) => note.startsWith('Fewer than 2000 calls, to keep within the time: '))).toBe(true)
    expect(results.length).toBeGreaterThan(0)
  }, 60_000)

  test('a host that can not be reached is an error that says so', async () => {
    const port = await freePort()
    const { code, stdout, stderr } = await start(to({ ...server, port })).ended
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/^ramet: connect-refused at stage tcp: .*nothing listens at 127\.0\.0\.1 port \d+$/m)
    expect(stderr).toMatch(/^hint: /m)
  })

  test('a server that allows one session per connection has no ControlMaster for calls, and that is named', async () => {
    await using narrow = await startSshd({ config: ['MaxSessions 1'] })
    const { code, stdout, stderr } = await start([...to(narrow), '--calls', '2', '--format', 'json']).ended
    expect(code, stderr).toBe(0)
    const { results, left_out: leftOut } = valueOf(stdout)
    const master = leftOut.filter(({ contender }) => contender === 'ssh-master')
    expect(master.map(({ kinds }) => kinds)).toEqual([['command', 'function']])
    expect(master[0]!.reason).toMatch(/session/i)
    // ssh2 may open the next channel before the last one is gone there.
    const rest = CONTENDERS.filter((id) => !['ssh-master', 'ssh2'].includes(id))
    expect([...new Set(results.map(({ contender }) => contender))]).toEqual(expect.arrayContaining(rest))
  }, 60_000)

  test('behind a hop ssh takes -J and ssh2 the same way, and what passes as far as the hop is counted', async () => {
    await using inner = await startSshd({ config: [`AuthorizedKeysFile ${join(server.dir, 'authorized_keys')}`] })
    const known = join(place, 'known')
    writeFileSync(known, [server, inner].map(({ knownHosts }) => readFileSync(knownHosts, 'utf8')).join(''))
    const { code, stdout, stderr } = await start([
      ...to({ ...inner, keyFile: server.keyFile, knownHosts: known }), '--via', `${server.user}@${server.host}:${server.port}`, '--calls', '2', '--format', 'json',
    ]).ended
    expect(code, stderr).toBe(0)
    const value = valueOf(stdout)
    expect([value.left_out, value.not_counted, value.counted_to]).toEqual([[], undefined, 'hop'])
    expect(value.results).toHaveLength(14)
    const of = (contender: string): Result => value.results.find((one) => one.contender === contender && one.kind === 'function')!
    // One connection carries all that is behind the hop.
    for (const id of ['ssh', 'ssh-pinned', 'ramet-cold']) expect([id, of(id).per_call!.connections]).toEqual([id, 1])
    for (const id of ['ssh-master', 'ssh2', 'ramet-raw', 'ramet-warm']) expect([id, of(id).opening!.connections]).toEqual([id, 1])
    expect(of('ramet-warm').per_call!.round_trips).toBe(1)
    expect(of('ssh').per_call!.round_trips).toBeGreaterThan(of('ramet-cold').per_call!.round_trips)
    // The key exchange is pinned on both machines.
    expect(of('ssh-pinned').per_call!.bytes_out).toBeLessThan(of('ssh').per_call!.bytes_out - 2 * 1000)
  }, 60_000)

  test('a configuration that asks for a ProxyCommand and a shared connection of its own', async () => {
    const config = join(place, 'config')
    const tunnel = `const s=require('net').connect(${server.port},'127.0.0.1');process.stdin.pipe(s);s.pipe(process.stdout)`
    writeFileSync(config, [
      'Host web', `  HostName ${server.host}`, `  Port ${server.port}`, `  User ${server.user}`, `  IdentityFile ${server.keyFile}`, `  UserKnownHostsFile ${server.knownHosts}`,
      `  ProxyCommand ${process.execPath} -e "${tunnel}"`, '  ControlMaster auto', `  ControlPath ${join(place, 'shared')}`, '  ControlPersist 60', '',
    ].join('\n'))
    const { code, stdout, stderr } = await start(['-t', 'web', '--ssh-config', config, '--calls', '2', '--format', 'json']).ended
    expect(code, stderr).toBe(0)
    const value = valueOf(stdout)
    expect(value.left_out.map(({ contender, reason }) => [contender, reason])).toEqual([['ssh2', 'the configuration asks for proxycommand']])
    expect(value.not_counted).toBe('the configuration asks for proxycommand')
    expect(value.results).toHaveLength(12)
    expect(existsSync(join(place, 'shared'))).toBe(false)
  }, 60_000)

  test('without a target it measures on a server of its own, which is gone afterwards', async () => {
    const { code, stdout, stderr } = await start(['--calls', '2', '-c', '2', '--payload', '5000']).ended
    expect(code, stderr).toBe(0)
    expect(stdout).toMatch(/^A shell command on a server of its own on this machine, 2 calls in 2 rounds, 2 at once:$/m)
    expect(stderr).toMatch(/cat, 5000 bytes there and back/)
    expect(stdout.match(/^ssh, ControlMaster /gm)).toHaveLength(4)
  }, 60_000)

  test.each([
    [['-t', 'a,b'], /measures one target, and here are 2/],
    [['uptime'], /takes no word: uptime; name the target with -t/],
    [['--format', 'jsonl'], /has no --format jsonl; take json/],
    [['--svg', '/nowhere/x.svg'], /can't write \/nowhere\/x\.svg/],
    [['--calls', '0'], /--calls is a whole number from 1/],
  ])('%j is wrong usage, and nothing is contacted', async (argv, said) => {
    const { code, stderr } = await start(argv).ended
    expect(code).toBe(1)
    expect(stderr).toMatch(said)
  })
})
