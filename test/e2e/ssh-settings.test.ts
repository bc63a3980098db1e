import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { ConnectOptions, Context, Controller } from '../../src/controller/index.ts'
import { expectHelpful, failure, leakCheck, quietController } from '../helpers/e2e-lab.ts'
import { haveSshd, startSshd, type TestServer } from '../helpers/sshd.ts'
import { startRelay, startTcp } from '../helpers/tcp.ts'

const isRoot = process.getuid?.() === 0

/** Each setting over every way on which ssh2 logs in: from here, from a hop, and through a machine that only carries TCP. */
describe.skipIf(!haveSshd)('settings of ~/.ssh/config (left out where there is no sshd)', () => {
  let server: TestServer
  let gate: TestServer
  let dir: string
  let ramet: Controller
  let hop: Context
  let leaks: ReturnType<typeof leakCheck>

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'ramet-settings-'))
    ;[server, gate] = await Promise.all([startSshd(), startSshd()])
  })
  afterAll(async () => {
    await Promise.all([server.stop(), gate.stop()])
    rmSync(dir, { recursive: true, force: true })
  })
  beforeEach(async () => {
    leaks = leakCheck()
    ramet = quietController()
    hop = await ramet.connect('local:')
  })
  afterEach(async () => {
    await ramet.close()
    await leaks(server, gate)
  })

  let files = 0
  const file = (lines: readonly string[]): string => {
    const path = join(dir, `config${++files}`)
    writeFileSync(path, `${lines.join('\n')}\n`, { mode: 0o600 })
    return path
  }
  /** `web` is the server, or what else listens at that port. */
  const config = (lines: readonly string[], at: Pick<TestServer, 'port' | 'user' | 'keyFile'> = server): string => file([
    'Host web', '  HostName 127.0.0.1', `  Port ${at.port}`, `  User ${at.user}`, `  IdentityFile ${at.keyFile}`, ...lines.map((line) => `  ${line}`),
    'Host gate', '  HostName 127.0.0.1', `  Port ${gate.port}`, `  User ${gate.user}`, `  IdentityFile ${gate.keyFile}`,
    'Host *', '  IdentitiesOnly yes', '  StrictHostKeyChecking accept-new', `  UserKnownHostsFile ${join(dir, `known${files}`)}`,
  ])
  const WAYS = ['from here', 'from a hop', 'through a jump host'] as const
  type Way = (typeof WAYS)[number]
  const by = (way: Way): ConnectOptions => (way === 'from a hop' ? { via: hop } : way === 'through a jump host' ? { jump: 'gate' } : {})
  const logins = (of: TestServer, method: string): number => of.log().split('\n').filter((line) => line.includes(`Accepted ${method} `)).length

  describe.each(WAYS)('%s', (way) => {
    test('BatchMode yes: nobody is asked, for a password nor for a passphrase, and the error says why', async () => {
      let asked = 0
      const prompt = async (): Promise<string> => (asked++, 'right')
      const encrypted = join(dir, `encrypted${++files}`)
      copyFileSync(server.keyFile, encrypted)
      execFileSync('ssh-keygen', ['-q', '-p', '-N', 'right', '-f', encrypted])
      const error = await failure(ramet.connect('web', { sshConfig: config(['BatchMode yes'], { ...server, keyFile: encrypted }), prompt, ...by(way) }))
      expect(error).toMatchObject({ code: 'prompt-needed', stage: 'auth', outcome: 'not-sent' })
      expect(error.message).toContain(`the key ${encrypted} needs a passphrase, and the SSH configuration lets nobody be asked (BatchMode yes)`)
      const context = await ramet.connect('web', { sshConfig: config(['BatchMode yes']), prompt, ...by(way) })
      expect((await context.exec('echo in')).stdout).toBe('in\n')
      expect(asked).toBe(0)
    }, 30_000)

    test('PubkeyAuthentication no: no key is tried, and the error says why', async () => {
      const sshConfig = config(['PubkeyAuthentication no'])
      const before = logins(server, 'publickey')
      const error = await failure(ramet.connect('web', { sshConfig, ...by(way) }))
      expect(error).toMatchObject({ code: 'auth-failed', stage: 'auth', outcome: 'not-sent' })
      expect(error.message).toContain('tried nothing; the server offers publickey; the SSH configuration forbids publickey (PubkeyAuthentication no)')
      expect(error.hint).toContain('Change the SSH configuration')
      expectHelpful(error, 'web')
      expect(logins(server, 'publickey')).toBe(before)
    })

    test('PreferredAuthentications without publickey, too; with it the key logs in', async () => {
      const error = await failure(ramet.connect('web', { sshConfig: config(['PreferredAuthentications password,keyboard-interactive']), password: 'x', ...by(way) }))
      expect(error.code).toBe('auth-failed')
      expect(error.message).toContain('publickey (not in PreferredAuthentications)')
      const context = await ramet.connect('web', { sshConfig: config(['PreferredAuthentications gssapi-with-mic,publickey', 'GSSAPIAuthentication yes', 'Compression yes', 'CheckHostIP yes']), ...by(way) })
      expect((await context.exec('echo $((6 * 7))')).stdout).toBe('42\n')
      expect(ramet.stats().links.at(-1)?.transport).toBe('ssh2')
      await context.close()
    })

    test('ConnectTimeout ends the wait for a server that says nothing; a time that the caller gives comes before it', async () => {
      await using silent = await startTcp()
      const sshConfig = config(['ConnectTimeout 1'], { ...server, port: silent.port })
      const error = await failure(ramet.connect('web', { sshConfig, ...by(way) }))
      expect(error).toMatchObject({ code: 'connect-timeout', outcome: 'not-sent' })
      expect(error.message).toContain('not reached within 1000 ms, the ConnectTimeout of the SSH configuration')
      expectHelpful(error, 'web')
      const given = await failure(ramet.connect('web', { sshConfig, timeout: 1500, ...by(way) }))
      expect(given.code).toBe('connect-timeout')
      expect(given.message).toContain('within 1500 ms')
      expect(given.message).not.toContain('ConnectTimeout of')
    }, 20_000)

    test.each(['auto', 'raw'] as const)('ServerAliveInterval and ServerAliveCountMax: a network that falls silent is given up (runtime: %s)', async (runtime) => {
      await using relay = await startRelay(server.port)
      const sshConfig = config(['ServerAliveInterval 1', 'ServerAliveCountMax 1'], { ...server, port: relay.port })
      const context = await ramet.connect('web', { sshConfig, runtime, ...by(way) })
      expect((await context.exec('echo hello')).stdout).toBe('hello\n')
      relay.freeze()
      const error = await failure(context.exec('true'))
      expect(error).toMatchObject({ code: 'link-lost', outcome: 'unknown' })
      // Behind a hop the command's end may come just before its connection's.
      await vi.waitFor(() => expect(context.state).toBe('lost'))
    }, 20_000)
  })

  test('where only GSSAPI is left the system\'s ssh is taken, and ssh2 refused by the setting\'s name', async () => {
    const sshConfig = config(['PreferredAuthentications gssapi-with-mic', 'GSSAPIAuthentication yes'])
    const refused = await failure(ramet.connect('web', { sshConfig, hostKeys: 'accept' }))
    expect([refused.code, refused.stage]).toEqual(['auth-failed', 'auth'])
    expect(refused.message).toContain('ssh failed')
    for (const options of [{ transport: 'ssh2' }, { via: hop }] as const) {
      const error = await failure(ramet.connect('web', { sshConfig, ...options }))
      expect(error.code).toBe('config-invalid')
      expect(error.message).toContain('gssapiauthentication')
    }
  })

  describe.skipIf(!isRoot)('passwords (an account of its own, as root)', () => {
    const account = `rtset${process.pid}`
    let both: TestServer
    beforeAll(async () => {
      const hash = execFileSync('openssl', ['passwd', '-6', 'right one'], { encoding: 'utf8' }).trim()
      execFileSync('useradd', ['-M', '-d', '/tmp', '-s', '/bin/bash', '-p', hash, account])
      both = await startSshd({ user: account, config: ['PasswordAuthentication yes', 'UsePAM yes', 'KbdInteractiveAuthentication yes'] })
    })
    afterAll(async () => {
      await both.stop()
      execFileSync('userdel', [account], { stdio: 'ignore' })
    })

    test.each(WAYS)('%s: the configuration says which method logs in', async (way) => {
      const accepted = async (...lines: string[]): Promise<string[]> => {
        const before = both.log().length
        const context = await ramet.connect('web', { sshConfig: config(lines, both), password: 'right one', fresh: true, ...by(way) })
        expect((await context.exec('id -un')).stdout).toBe(`${account}\n`)
        await context.close()
        return [...both.log().slice(before).matchAll(/Accepted (\S+) for/g)].map(([, method]) => method ?? '')
      }
      expect(await accepted()).toEqual(['publickey'])
      expect(await accepted('PreferredAuthentications password,publickey')).toEqual(['password'])
      expect(await accepted('PreferredAuthentications keyboard-interactive,publickey')).toEqual(['keyboard-interactive/pam'])
      expect(await accepted('PubkeyAuthentication no', 'PasswordAuthentication no')).toEqual(['keyboard-interactive/pam'])
      expect(await accepted('PubkeyAuthentication no', 'KbdInteractiveAuthentication no')).toEqual(['password'])
      expect(await accepted('PubkeyAuthentication no', 'ChallengeResponseAuthentication no')).toEqual(['password'])
      const none = config(['PubkeyAuthentication no', 'PasswordAuthentication no', 'KbdInteractiveAuthentication no'], both)
      const error = await failure(ramet.connect('web', { sshConfig: none, password: 'right one', ...by(way) }))
      expect(error.code).toBe('auth-failed')
      for (const words of ['publickey (PubkeyAuthentication no)', 'password (PasswordAuthentication no)', 'keyboard-interactive (KbdInteractiveAuthentication no)']) {
        expect(error.message).toContain(words)
      }
      expect(error.message + error.hint).not.toContain('right one')
    }, 60_000)

    test.each(WAYS)('%s: NumberOfPasswordPrompts says how often a person is asked', async (way) => {
      for (const prompts of [2, 1, 0]) {
        let asked = 0
        const sshConfig = config([`NumberOfPasswordPrompts ${prompts}`, 'PubkeyAuthentication no', 'KbdInteractiveAuthentication no'], both)
        const error = await failure(ramet.connect('web', { sshConfig, prompt: async () => (asked++, 'wrong'), ...by(way) }))
        expect([asked, error.code]).toEqual([prompts, prompts === 0 ? 'prompt-needed' : 'auth-failed'])
        if (prompts === 0) expect(error.message).toContain('NumberOfPasswordPrompts 0')
      }
      const sshConfig = config(['BatchMode yes', 'PubkeyAuthentication no'], both)
      const error = await failure(ramet.connect('web', { sshConfig, prompt: () => Promise.reject(new Error('asked')), ...by(way) }))
      expect(error.code).toBe('prompt-needed')
      expect(error.message).toContain('the SSH configuration lets nobody be asked (BatchMode yes)')
    }, 60_000)
  })
})
