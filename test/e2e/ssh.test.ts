import { randomFillSync } from 'node:crypto'
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { secret, type ConnectOptions, type Controller, type HostKey, type PromptRequest } from '../../src/controller/index.ts'
import { childrenOf, expectHelpful, failure, leakCheck, loginTo, quietController, targetOf } from '../helpers/e2e-lab.ts'
import { startRounds } from '../helpers/e2e-rounds.ts'
import { freePort, haveDropbear, haveSshd, makeKey, startDropbear, startSshd, type TestServer } from '../helpers/sshd.ts'
import { startTcp } from '../helpers/tcp.ts'

const isRoot = process.getuid?.() === 0

/** The process of the only session that a server has, once those that were closed before are gone. */
async function sessionOf(server: TestServer): Promise<number> {
  const sessions = (): number[] => childrenOf(server.pid).filter((line) => /sshd: \S+@notty/.test(line)).map((line) => Number.parseInt(line))
  await expect.poll(sessions, { timeout: 10_000 }).toHaveLength(1)
  return sessions()[0]!
}

describe.skipIf(!haveSshd)('SSH as people have it', () => {
  let server: TestServer
  let dir: string
  let ramet: Controller
  let leaks: ReturnType<typeof leakCheck>

  beforeAll(async () => {
    server = await startSshd()
    dir = mkdtempSync(join(tmpdir(), 'ramet-ssh-'))
    chmodSync(dir, 0o755)
  })
  afterAll(async () => {
    await server.stop()
    rmSync(dir, { recursive: true, force: true })
  })
  beforeEach(() => {
    leaks = leakCheck()
    ramet = quietController()
  })
  afterEach(async () => {
    await ramet.close()
    await leaks(server)
  })

  let files = 0
  const file = (text: string): string => {
    const path = join(dir, `file${++files}`)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }
  const config = (...lines: string[]): string => file(`${lines.join('\n')}\n`)
  /** Connects, runs a command and a function, says over what. */
  const works = async (target: string, options: ConnectOptions): Promise<string> => {
    const context = await ramet.connect(target, options)
    expect(await context.exec('echo "$((6 * 7))"')).toMatchObject({ stdout: '42\n', exitCode: 0 })
    if (context.runtime === 'node') expect(await context.call((a: number) => a + 1, 41)).toBe(42)
    const transport = ramet.stats().links[0]?.transport ?? ''
    await context.close()
    return transport
  }
  const login = (): string[] => [`Port ${server.port}`, `User ${server.user}`, `IdentityFile ${server.keyFile}`, 'IdentitiesOnly yes', `UserKnownHostsFile ${server.knownHosts}`]

  describe('the configuration', () => {
    test('a Host alias with HostName, Port, User, IdentityFile and IdentitiesOnly', async () => {
      const sshConfig = config('Host web', '  HostName 127.0.0.1', ...login(), 'Host *', '  User nobody', '  Port 1')
      expect(await works('web', { sshConfig })).toBe('ssh2')
      expect((await failure(ramet.connect('other', { sshConfig, timeout: 5000 }))).code).toMatch(/resolve-failed|connect-refused/)
    })

    test('what stands in the target comes before the configuration', async () => {
      const sshConfig = config('Host web', '  HostName 127.0.0.1', '  User nobody', '  Port 1', ...login().slice(2))
      expect(await works(`${server.user}@web:${server.port}`, { sshConfig })).toBe('ssh2')
    })

    test('BindAddress is where TCP leaves from, and AddressFamily where it goes to', async () => {
      const sshConfig = config('Host web', '  HostName 127.0.0.1', '  BindAddress 127.0.0.9', ...login(), 'Host six', '  HostName localhost', '  AddressFamily inet6', ...login())
      const context = await ramet.connect('web', { sshConfig })
      expect((await context.exec('echo $SSH_CONNECTION')).stdout).toMatch(/^127\.0\.0\.9 /)
      expect(ramet.stats().links[0]?.transport).toBe('ssh2')
      await context.close()
      // The server listens at 127.0.0.1 alone, which this name has, too.
      expect((await failure(ramet.connect('six', { sshConfig, timeout: 5000 }))).code).toMatch(/connect-refused|resolve-failed|connect-failed/)
    })

    test('Include, with a pattern', async () => {
      mkdirSync(join(dir, 'conf.d'), { recursive: true })
      writeFileSync(join(dir, 'conf.d', '10-web'), ['Host web', '  HostName 127.0.0.1', ...login(), ''].join('\n'), { mode: 0o600 })
      expect(await works('web', { sshConfig: config(`Include ${join(dir, 'conf.d')}/*`) })).toBe('ssh2')
    })

    test('Match with host, user and a command', async () => {
      const sshConfig = config(
        'Match host web exec "test -d /"', '  HostName 127.0.0.1', `  Port ${server.port}`, 'Match host web exec "false"', '  User nobody',
        'Match user nobody', '  IdentityFile /none', 'Match all', ...login().slice(1),
      )
      expect(await works('web', { sshConfig })).toBe('ssh2')
    })

    test('a ProxyCommand is met by the system\'s ssh, without being asked for', async () => {
      // It ends with ssh: a proxy that kept its side open would keep the server's session.
      const sshConfig = config('Host web', ...login(), `  ProxyCommand bash -c 'trap "" HUP; exec 3<>/dev/tcp/127.0.0.1/${server.port}; cat <&3 & p=$!; cat >&3; kill $p'`, '  HostKeyAlias [127.0.0.1]:' + server.port)
      expect(await works('web', { sshConfig })).toBe('openssh')
      const error = await failure(ramet.connect('web', { sshConfig, transport: 'ssh2' }))
      expect(error).toMatchObject({ code: 'config-invalid', outcome: 'not-sent', path: ['web'] })
      expect(error.message).toMatch(/proxycommand/i)
      expectHelpful(error, 'web')
    })

    test('a ProxyJump is met over the two connections that it takes', async () => {
      const sshConfig = config('Host bastion', '  HostName 127.0.0.1', ...login(), 'Host web', '  HostName 127.0.0.1', ...login(), '  ProxyJump bastion')
      expect(await works('web', { sshConfig })).toBe('ssh2')
    })

    test('a configuration that is wrong names its file', async () => {
      const sshConfig = config('Host web', '  Hostname')
      const error = await failure(ramet.connect('web', { sshConfig }))
      expect(error).toMatchObject({ code: 'config-invalid', outcome: 'not-sent' })
      expect(error.message).toContain(sshConfig)
      expect(error.hint).toMatch(/\w+ \w+/)
    })
  })

  describe('agents and keys', () => {
    let agent: ChildProcess
    let socket: string
    beforeAll(async () => {
      socket = join(dir, 'agent')
      agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' })
      await vi.waitFor(() => execFileSync('ssh-add', ['-q', server.keyFile], { env: { ...process.env, SSH_AUTH_SOCK: socket }, stdio: 'ignore' }), { timeout: 5000 })
    })
    afterAll(() => void agent.kill())

    test('a key that only an agent holds: by IdentityAgent, and by SSH_AUTH_SOCK', async () => {
      const lines = ['Host web', '  HostName 127.0.0.1', `  Port ${server.port}`, `  User ${server.user}`, `  UserKnownHostsFile ${server.knownHosts}`, '  IdentityFile /none']
      expect(await works('web', { sshConfig: config(...lines, `  IdentityAgent ${socket}`) })).toBe('ssh2')
      const before = process.env['SSH_AUTH_SOCK']
      process.env['SSH_AUTH_SOCK'] = socket
      try {
        expect(await works('web', { sshConfig: config(...lines) })).toBe('ssh2')
        expect(await works(targetOf(server), { sshConfig: false, knownHosts: server.knownHosts })).toBe('ssh2')
        // Named keys only: the agent's is not among them.
        const error = await failure(ramet.connect('web', { sshConfig: config(...lines, '  IdentitiesOnly yes') }))
        expect(error).toMatchObject({ code: 'auth-failed', stage: 'auth' })
      } finally {
        if (before === undefined) delete process.env['SSH_AUTH_SOCK']
        else process.env['SSH_AUTH_SOCK'] = before
      }
    })

    test('an agent that is not there is no reason to fail when a file has the key', async () => {
      const sshConfig = config('Host web', '  HostName 127.0.0.1', ...login(), `  IdentityAgent ${join(dir, 'nothing')}`)
      expect(await works('web', { sshConfig })).toBe('ssh2')
    })

    test('an encrypted key: with the passphrase, with a secret, and with a prompt that is asked once', async () => {
      const locked = makeKey(dir, 'locked', 'ed25519', 'open sesame')
      writeFileSync(join(server.dir, 'authorized_keys'), readFileSync(server.keyFile + '.pub', 'utf8') + readFileSync(`${locked}.pub`, 'utf8'))
      const options = { ...loginTo(server), identityFile: locked }
      expect(await works(targetOf(server), { ...options, passphrase: 'open sesame' })).toBe('ssh2')
      expect(await works(targetOf(server), { ...options, passphrase: secret('open sesame') })).toBe('ssh2')
      const asked: PromptRequest[] = []
      const prompt = async (request: PromptRequest): Promise<string> => {
        asked.push(request)
        return 'open sesame'
      }
      expect(await works(targetOf(server), { ...options, prompt })).toBe('ssh2')
      expect(asked).toEqual([{ kind: 'passphrase', path: [targetOf(server).slice(6)], text: expect.stringContaining(locked) as string }])
      const error = await failure(ramet.connect(targetOf(server), { ...options, prompt: async () => 'wrong' }))
      expect(error).toMatchObject({ code: 'key-unreadable', stage: 'auth', outcome: 'not-sent' })
      expectHelpful(error, targetOf(server).slice(6))
      expect(error.message).toContain(locked)
      // A key that nobody can unlock does not stand in the way of another one.
      expect(await works(targetOf(server), { ...options, identityFile: [locked, server.keyFile] })).toBe('ssh2')
    })

    test('a key that cannot be opened is what the error is about: no passphrase, a wrong one, a prompt without an answer, in any form of key', async () => {
      const openssh = makeKey(dir, 'form', 'rsa', 'open sesame')
      const pem = makeKey(dir, 'form-pem', 'rsa')
      execFileSync('ssh-keygen', ['-q', '-p', '-m', 'PEM', '-N', 'open sesame', '-f', pem])
      const pkcs8 = makeKey(dir, 'form-pkcs8', 'rsa')
      execFileSync('ssh-keygen', ['-q', '-p', '-m', 'PKCS8', '-N', 'open sesame', '-f', pkcs8])
      const before = readFileSync(join(server.dir, 'authorized_keys'), 'utf8')
      writeFileSync(join(server.dir, 'authorized_keys'), before + [openssh, pem, pkcs8].map((file) => readFileSync(`${file}.pub`, 'utf8')).join(''))
      for (const identityFile of [openssh, pem, pkcs8]) {
        const options = { ...loginTo(server), identityFile }
        expect(await works(targetOf(server), { ...options, passphrase: 'open sesame' })).toBe('ssh2')
        const error = async (more: ConnectOptions): Promise<unknown> => {
          const { code, stage, hint, message } = await failure(ramet.connect(targetOf(server), { ...options, ...more }))
          return { code, stage, passphrase: hint.includes('passphrase'), named: message.includes(identityFile) }
        }
        const told = { stage: 'auth', passphrase: true, named: true }
        expect(await error({})).toEqual({ code: 'prompt-needed', ...told })
        expect(await error({ prompt: () => Promise.reject(new Error('no terminal')) })).toEqual({ code: 'prompt-needed', ...told })
        expect(await error({ passphrase: 'wrong' })).toEqual({ code: 'key-unreadable', ...told })
        expect(await error({ prompt: async () => 'wrong' })).toEqual({ code: 'key-unreadable', ...told })
      }
    }, 40_000)

    test('a command that needs no interpreter names the stage at which the system\'s ssh failed, too', async () => {
      const options: ConnectOptions = { ...loginTo(server), transport: 'openssh', runtime: 'raw' }
      const at = async (target: string, more: ConnectOptions = {}): Promise<unknown[]> => {
        const { code, stage, outcome } = await failure(ramet.connect(target, { ...options, ...more }).exec('true'))
        return [code, stage, outcome]
      }
      expect(await at(`${server.user}@127.0.0.1:${await freePort()}`)).toEqual(['connect-refused', 'tcp', 'not-sent'])
      expect(await at('nohost.invalid')).toEqual(['resolve-failed', 'resolve', 'not-sent'])
      expect(await at(targetOf(server), { knownHosts: join(dir, 'knows-nobody') })).toEqual(['host-key-unknown', 'host-key', 'not-sent'])
      expect(await at(targetOf(server), { identityFile: makeKey(dir, 'unknown-there') })).toEqual(['auth-failed', 'auth', 'not-sent'])
    })

    test('what a login shell says is not taken for words of ssh', async () => {
      const liar = file('#!/bin/sh\necho Permission denied >&2\nexit 255\n')
      chmodSync(liar, 0o755)
      await using other = await startSshd({ config: [`ForceCommand ${liar}`] })
      const options: ConnectOptions = { ...loginTo(other), transport: 'openssh' }
      expect(await failure(ramet.connect(targetOf(other), { ...options, runtime: 'raw' }).exec('true'))).toMatchObject({ code: 'launch-failed', stage: 'launch' })
      expect(await failure(ramet.connect(targetOf(other), { ...options, runtime: 'node' }))).toMatchObject({ code: 'ssh-failed', stage: 'ssh' })
    })

    test('a passphrase or a prompt does not reach the system\'s ssh, and the error says so', async () => {
      const locked = makeKey(dir, 'not-for-ssh', 'ed25519', 'open sesame')
      const hint = async (more: ConnectOptions): Promise<boolean> => {
        const error = await failure(ramet.connect(targetOf(server), { ...loginTo(server), identityFile: locked, transport: 'openssh', ...more }))
        expect(error).toMatchObject({ code: 'auth-failed', stage: 'auth' })
        return error.hint.includes("no password or passphrase, and asks nobody: take transport 'ssh2'")
      }
      expect([await hint({}), await hint({ passphrase: 'open sesame' }), await hint({ password: 'x' }), await hint({ prompt: async () => 'open sesame' })]).toEqual([false, true, true, true])
    })

    test('where no key is left the error names the agent that did not answer', async () => {
      const sshConfig = config('Host web', '  HostName 127.0.0.1', ...login().filter((line) => !line.includes('IdentityFile')), `  IdentityFile ${join(dir, 'none')}`, `  IdentityAgent ${join(dir, 'nothing')}`)
      const error = await failure(ramet.connect('web', { sshConfig }))
      expect(error).toMatchObject({ code: 'auth-failed', stage: 'auth', message: expect.stringMatching(/ssh-agent at \S+nothing cannot be reached.*none: there is no such file/) as string })
    })

    test('a prompt may take longer than the time for connecting', async () => {
      const locked = join(dir, 'locked')
      const slow = async (): Promise<string> => {
        await new Promise((resolve) => setTimeout(resolve, 2500))
        return 'open sesame'
      }
      expect(await works(targetOf(server), { ...loginTo(server), identityFile: locked, prompt: slow, timeout: 2000 })).toBe('ssh2')
    })

    test('closing while somebody is asked ends the attempt', async () => {
      const never = new Promise<string>(() => {})
      let asked = (): void => {}
      const asking = new Promise<void>((resolve) => (asked = resolve))
      const connecting = ramet.connect(targetOf(server), { ...loginTo(server), identityFile: join(dir, 'locked'), prompt: () => { asked(); return never } })
      const failed = failure(connecting)
      await asking
      await ramet.close()
      expect(await failed).toMatchObject({ code: 'closed' })
    })
  })

  describe.skipIf(!isRoot)('passwords (an account of its own, as root)', () => {
    const account = `ramet-${process.pid}`
    let pam: TestServer
    let plain: TestServer
    beforeAll(async () => {
      const hash = execFileSync('openssl', ['passwd', '-6', 'right one'], { encoding: 'utf8' }).trim()
      execFileSync('useradd', ['-M', '-d', '/tmp', '-s', '/bin/bash', '-p', hash, account])
      const both = (extra: string[]): Promise<TestServer> => startSshd({ user: account, config: ['PubkeyAuthentication no', ...extra] })
      plain = await both(['PasswordAuthentication yes'])
      pam = await both(['UsePAM yes', 'KbdInteractiveAuthentication yes', 'PasswordAuthentication no'])
    })
    afterAll(async () => {
      await plain.stop()
      await pam.stop()
      execFileSync('userdel', [account], { stdio: 'ignore' })
    })

    for (const kind of ['password', 'interactive'] as const) {
      const at = (): TestServer => (kind === 'password' ? plain : pam)
      const base = (): ConnectOptions => ({ knownHosts: at().knownHosts, sshConfig: false })

      test(`${kind}: given, given as a secret, or asked for; wrong ones end as auth-failed`, async () => {
        const target = targetOf(at())
        expect(await works(target, { ...base(), password: 'right one' })).toBe('ssh2')
        expect(await works(target, { ...base(), password: secret('right one') })).toBe('ssh2')
        const asked: PromptRequest[] = []
        const answers = ['wrong', 'right one']
        const prompt = async (request: PromptRequest): Promise<string> => {
          asked.push(request)
          return answers[asked.length - 1] ?? ''
        }
        expect(await works(target, { ...base(), prompt })).toBe('ssh2')
        expect(asked).toHaveLength(2)
        for (const request of asked) {
          expect(request).toMatchObject({ kind, path: [target.slice(6)] })
          expect(request.text).toMatch(/password/i)
        }
        const error = await failure(ramet.connect(target, { ...base(), password: 'wrong one' }))
        expect(error).toMatchObject({ code: 'auth-failed', stage: 'auth', outcome: 'not-sent' })
        expectHelpful(error, target.slice(6))
        expect(JSON.stringify(error) + error.message + error.hint).not.toContain('wrong one')
        const needed = await failure(ramet.connect(target, base()))
        expect(needed).toMatchObject({ code: 'prompt-needed', stage: 'auth', outcome: 'not-sent' })
        expectHelpful(needed, target.slice(6))
      }, 40_000)
    }
  })

  describe('host keys', () => {
    const base = (): ConnectOptions => ({ identityFile: server.keyFile, sshConfig: false })

    test.each([false, true])('accept saves a key seen for the first time (name hashed: %s), and from then on it has to be that one', async (hashed) => {
      const knownHosts = join(dir, `new-${hashed}`, 'known_hosts')
      const options: ConnectOptions = { identityFile: server.keyFile, knownHosts, sshConfig: config(`HashKnownHosts ${hashed ? 'yes' : 'no'}`) }
      expect((await failure(ramet.connect(targetOf(server), options))).code).toBe('host-key-unknown')
      await works(targetOf(server), { ...options, hostKeys: 'accept' })
      await expect.poll(() => readFileSync(knownHosts, 'utf8').trim().split('\n')).toHaveLength(1)
      const saved = readFileSync(knownHosts, 'utf8')
      expect(saved.startsWith('|1|')).toBe(hashed)
      expect(saved.includes(`[127.0.0.1]:${server.port}`)).toBe(!hashed)
      expect(saved).toContain(server.hostKeys[0])
      await works(targetOf(server), options)
      await works(targetOf(server), { ...options, hostKeys: 'accept' })
      expect(readFileSync(knownHosts, 'utf8')).toBe(saved)
      const other = await startSshd({ port: server.port + 0 === 0 ? 0 : undefined })
      const moved = saved.replace(server.hostKeys[0] as string, other.hostKeys[0] as string)
      writeFileSync(knownHosts, moved)
      for (const hostKeys of ['enforce', 'accept'] as const) {
        expect((await failure(ramet.connect(targetOf(server), { ...options, hostKeys }))).code).toBe('host-key-changed')
      }
      expect(readFileSync(knownHosts, 'utf8')).toBe(moved)
      await other.stop()
    })

    test('ignore asks nobody and saves nothing', async () => {
      const knownHosts = join(dir, 'none', 'known_hosts')
      await works(targetOf(server), { ...base(), hostKeys: 'ignore', knownHosts })
      expect(() => readFileSync(knownHosts)).toThrow(/ENOENT/)
    })

    test('a list of files: one that knows the key suffices', async () => {
      await works(targetOf(server), { ...base(), knownHosts: [join(dir, 'missing'), file('# nothing\n'), server.knownHosts] })
    })

    test('a function gets the key and accepts with the literal true only', async () => {
      const seen: HostKey[] = []
      await works(targetOf(server), { ...base(), hostKeys: (key) => { seen.push(key); return true } })
      const [type, base64] = (server.hostKeys[0] as string).split(' ')
      expect(seen).toHaveLength(1)
      expect(seen[0]).toMatchObject({ host: '127.0.0.1', port: server.port, type, fingerprint: expect.stringMatching(/^SHA256:/) as string })
      expect(Buffer.from(seen[0]?.blob ?? []).toString('base64')).toBe(base64)

      const denying: unknown[] = [
        () => false, () => undefined, () => 1, () => 'true', async () => true, () => Promise.resolve(true), async () => { throw new Error('late') },
        () => { throw new Error('no') }, () => ({ then: (ok: (value: boolean) => void) => ok(true) }),
      ]
      for (const hostKeys of denying) {
        const error = await failure(ramet.connect(targetOf(server), { ...base(), hostKeys: hostKeys as () => boolean }))
        expect(error, String(hostKeys)).toMatchObject({ code: 'host-key-refused', stage: 'host-key', outcome: 'not-sent' })
        expectHelpful(error, targetOf(server).slice(6))
      }
      const error = await failure(ramet.connect(targetOf(server), { ...base(), hostKeys: () => true, transport: 'openssh' }))
      expect(error).toMatchObject({ code: 'config-invalid', stage: 'host-key' })
    })
  })

  describe('transport openssh', () => {
    test('carries everything that the other one does', async () => {
      const context = await ramet.connect(targetOf(server), { ...loginTo(server), transport: 'openssh' })
      expect([context.runtime, context.info?.platform]).toEqual(['node', 'linux'])
      const bytes = randomFillSync(Buffer.alloc(2_000_000))
      expect((await context.exec('cat', { stdin: bytes, encoding: 'buffer' })).stdout.equals(bytes)).toBe(true)
      expect(await context.call((sent: Uint8Array) => sent.length, bytes)).toBe(bytes.length)
      expect(ramet.stats().links[0]).toMatchObject({ transport: 'openssh' })
      await context.close()
    })

    test('accept saves here, too', async () => {
      const knownHosts = join(dir, 'by-ssh')
      const options = { ...loginTo(server), knownHosts, transport: 'openssh' } as const
      await works(targetOf(server), { ...options, hostKeys: 'accept' })
      expect(readFileSync(knownHosts, 'utf8')).toContain(server.hostKeys[0])
      expect(await works(targetOf(server), options)).toBe('openssh')
    })

    test("without a word of the caller's the configuration decides on new hosts, and refuses them where it says nothing", async () => {
      const target = ['Host web', '  HostName 127.0.0.1', `  Port ${server.port}`, `  User ${server.user}`, `  IdentityFile ${server.keyFile}`]
      for (const transport of ['openssh', 'ssh2'] as const) {
        const options = { transport, knownHosts: join(dir, `new-by-${transport}`) }
        expect(await failure(ramet.connect('web', { ...options, sshConfig: file([...target, ''].join('\n')) }))).toMatchObject({ code: 'host-key-unknown', outcome: 'not-sent' })
        const context = await ramet.connect('web', { ...options, sshConfig: file([...target, '  StrictHostKeyChecking accept-new', ''].join('\n')) })
        expect((await context.exec('echo well')).stdout).toBe('well\n')
        expect(readFileSync(options.knownHosts, 'utf8')).toContain(server.hostKeys[0])
        await context.close()
      }
    })
  })

  describe('handles', () => {
    test('equal targets and options share one connection; the last close ends it', async () => {
      const options = loginTo(server)
      const [one, two] = await Promise.all([ramet.connect(targetOf(server), options), ramet.connect(targetOf(server), { ...options })])
      expect(one).not.toBe(two)
      expect(ramet.stats().links).toHaveLength(1)
      const three = await ramet.connect(targetOf(server), { ...options, fresh: true })
      const four = await ramet.connect(targetOf(server), { ...options, runtime: 'raw' })
      expect(ramet.stats().links).toHaveLength(3)
      // The server may still be letting go of what the test before has closed.
      await expect.poll(() => childrenOf(server.pid).filter((line) => /^\d+ sshd: /.test(line)), { timeout: 10_000 }).toHaveLength(3)
      const pid = await one.call(() => process.pid)
      expect(await two.call(() => process.pid)).toBe(pid)
      expect(await three.call(() => process.pid)).not.toBe(pid)
      await one.close()
      await one.close()
      expect([one.state, two.state]).toEqual(['closed', 'connected'])
      expect(await failure(one.exec('true'))).toMatchObject({ code: 'closed', outcome: 'not-sent' })
      expect(await two.call(() => process.pid)).toBe(pid)
      await two.close()
      expect(ramet.stats().links).toHaveLength(2)
      const again = await ramet.connect(targetOf(server), options)
      expect(await again.call(() => process.pid)).not.toBe(pid)
      await Promise.all([three.close(), four.close(), again.close()])
    })

    test('one who gives up waiting does not take the connection from the others', async () => {
      const abort = new AbortController()
      const one = ramet.connect(targetOf(server), { ...loginTo(server), signal: abort.signal })
      const two = ramet.connect(targetOf(server), loginTo(server))
      abort.abort(new Error('enough'))
      expect(await failure(one)).toMatchObject({ code: 'cancelled', outcome: 'not-sent', cause: { message: 'enough' } })
      expect((await (await two).exec('echo fine')).stdout).toBe('fine\n')
    })

    test('a new connection is made where the old one just failed', async () => {
      const options = { ...loginTo(server), knownHosts: join(dir, 'later') }
      const first = await failure(ramet.connect(targetOf(server), options))
      expect(first.code).toBe('host-key-unknown')
      writeFileSync(join(dir, 'later'), readFileSync(server.knownHosts))
      expect(await works(targetOf(server), options)).toBe('ssh2')
    })
  })

  describe('one flight', () => {
    const servers = [
      { name: 'OpenSSH', here: haveSshd, start: () => startSshd() },
      { name: 'dropbear', here: haveDropbear, start: () => startDropbear() },
    ]
    for (const { name, here, start } of servers) {
      test.skipIf(!here)(`connect until the first result takes 4 round trips to ${name}, TCP's own counted`, async () => {
        await using far = await start()
        await using relay = await startRounds(far.port)
        const options: ConnectOptions = { identityFile: far.keyFile, sshConfig: false, hostKeys: 'ignore', timeout: 60_000, runtime: 'node' }
        // Its code is built before, as in a program that calls twice.
        const warm = await ramet.connect(targetOf(server), loginTo(server))
        const work = (a: number): number => a * 2
        await warm.call(work, 1)
        expect(await ramet.connect(`ssh://${far.user}@127.0.0.1:${relay.port}`, options).call(work, 21)).toBe(42)
        expect(1 + relay.rounds()).toBeLessThanOrEqual(4)
        const context = await ramet.connect(`ssh://${far.user}@127.0.0.1:${relay.port}`, options)
        // The pong that follows the HELLO, and the Worker's start, have passed.
        await context.exec('true')
        const before = relay.rounds()
        // A first call with new code, and a warm one.
        expect(await context.call((a: number) => a * 3, 7)).toBe(21)
        expect(relay.rounds() - before).toBe(1)
        expect(await context.call(work, 4)).toBe(8)
        expect(relay.rounds() - before).toBe(2)
        await context.close()
        await warm.close()
      }, 60_000)
    }

    test('one command on a cold target takes no more without an interpreter', async () => {
      await using relay = await startRounds(server.port)
      const options: ConnectOptions = { ...loginTo(server), hostKeys: 'ignore', timeout: 60_000, runtime: 'raw' }
      const target = `ssh://${server.user}@127.0.0.1:${relay.port}`
      expect((await ramet.connect(target, options).exec('echo fine')).stdout).toBe('fine\n')
      expect(1 + relay.rounds()).toBeLessThanOrEqual(4)
      await ramet.close()
    }, 60_000)
  })

  describe('what ends a connection', () => {
    test('an abort while connecting', async () => {
      await using hole = await startTcp((socket) => void socket.resume())
      for (const transport of ['ssh2', 'openssh'] as const) {
        const abort = new AbortController()
        const connecting = ramet.connect(`root@127.0.0.1:${hole.port}`, { sshConfig: false, signal: abort.signal, transport, fresh: true })
        const call = failure(connecting.call(() => 1))
        const failed = failure(connecting)
        await expect.poll(() => hole.sockets.size).toBe(1)
        abort.abort(new Error('enough'))
        const error = await failed
        expect(error).toMatchObject({ code: 'cancelled', stage: transport === 'ssh2' ? 'host-key' : 'ssh', outcome: 'not-sent', cause: { message: 'enough' } })
        expectHelpful(error, `root@127.0.0.1:${hole.port}`)
        expect(await call).toMatchObject({ code: 'cancelled' })
        await expect.poll(() => hole.sockets.size).toBe(0)
      }
      const before = await failure(ramet.connect(targetOf(server), { ...loginTo(server), signal: AbortSignal.abort(new Error('early')) }))
      expect(before).toMatchObject({ code: 'cancelled', cause: { message: 'early' } })
    })

    test('closing while connecting, at every moment', async () => {
      for (let turns = 0; turns < 40; turns += 3) {
        const one = quietController()
        const connecting = one.connect(targetOf(server), loginTo(server))
        const call = connecting.call(() => 1).then(() => undefined, (error: unknown) => error)
        const failed = connecting.then(() => undefined, (error: unknown) => error)
        for (let turn = 0; turn < turns ** 2; turn++) await new Promise((resolve) => setImmediate(resolve))
        await one.close()
        for (const error of [await failed, await call]) if (error !== undefined) expect(error).toMatchObject({ code: 'closed' })
        expect(await failure(async () => one.connect(targetOf(server)))).toMatchObject({ code: 'closed', outcome: 'not-sent' })
      }
    })

    test('the death of the server\'s session: what ran is unknown, and a new connection is a new one', async () => {
      for (const transport of ['ssh2', 'openssh'] as const) {
        const options = { ...loginTo(server), transport }
        const context = await ramet.connect(targetOf(server), options)
        const call = failure(context.call(() => new Promise(() => {})))
        const exec = failure(context.exec('sleep 100'))
        const child = context.spawn('sleep 100')
        await child.pid
        process.kill(await sessionOf(server), 'SIGKILL')
        for (const error of [await call, await exec, await failure(child.exited)]) {
          expect(error).toMatchObject({ code: 'link-lost', outcome: 'unknown', path: context.path })
          expectHelpful(error, targetOf(server).slice(6))
        }
        expect(context.state).toBe('lost')
        expect(await failure(context.exec('true'))).toMatchObject({ code: 'link-lost' })
        await context.close()
        expect(await works(targetOf(server), options)).toBe(transport)
      }
    })

    test('the death of the server\'s session under a command without interpreter', async () => {
      const context = await ramet.connect(targetOf(server), { ...loginTo(server), runtime: 'raw' })
      const child = context.spawn('sleep 1000')
      const pid = await child.pid
      process.kill(await sessionOf(server), 'SIGKILL')
      const error = await failure(child.exited)
      expect(error).toMatchObject({ code: 'link-lost', outcome: 'unknown' })
      expectHelpful(error, targetOf(server).slice(6))
      await expect.poll(() => context.state).toBe('lost')
      expect(await failure(context.exec('true'))).toMatchObject({ code: 'link-lost' })
      // Without anybody of ours there it goes on.
      process.kill(-pid, 'SIGKILL')
    })
  })
})
