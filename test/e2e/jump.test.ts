import { spawn } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { once } from 'node:events'
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { ConnectOptions, Context, Controller, PromptRequest } from '../../src/controller/index.ts'
import { expectHelpful, failure, leakCheck, quietController, targetOf } from '../helpers/e2e-lab.ts'
import { descendants, freePort, haveDropbear, haveSshd, makeKey, startDropbear, startSshd, type SshdOptions, type TestServer } from '../helpers/sshd.ts'
import { startTcp } from '../helpers/tcp.ts'

/** A machine to jump through: it starts no process for anybody. */
const GATE = ['ForceCommand /bin/false', 'PermitTTY no']

describe.skipIf(!haveSshd)('jump: TCP through machines that are not trusted', () => {
  let dir: string
  let gate: TestServer
  let second: TestServer
  let third: TestServer
  let web: TestServer
  let ramet: Controller
  let leaks: ReturnType<typeof leakCheck>
  /** Those of one test. */
  let extra: TestServer[] = []
  /** The known_hosts lines of all. */
  let lines = ''

  /** A server that the first one's key opens. */
  const start = async (options: SshdOptions = {}): Promise<TestServer> => {
    const server = await startSshd(options)
    extra.push(server)
    lines += readFileSync(server.knownHosts, 'utf8')
    if (gate !== undefined) appendFileSync(join(server.dir, 'authorized_keys'), readFileSync(`${gate.keyFile}.pub`))
    return server
  }

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'ramet-jump-'))
    gate = await start({ config: GATE })
    ;[second, third, web] = await Promise.all([start({ config: GATE }), start({ config: GATE }), start()])
    extra = []
  })
  afterAll(async () => {
    await Promise.all([gate, second, third, web].map((server) => server.stop()))
    rmSync(dir, { recursive: true, force: true })
  })
  beforeEach(() => {
    leaks = leakCheck()
    ramet = quietController()
  })
  afterEach(async () => {
    await ramet.close()
    await Promise.all(extra.splice(0).map((server) => server.stop()))
    await leaks(gate, second, third, web)
  })

  let files = 0
  const written = new Map<string, string>()
  const file = (text: string): string => {
    const path = written.get(text) ?? join(dir, `file${++files}`)
    written.set(text, path)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }
  const knownHosts = (...servers: TestServer[]): string => file(servers.map((server) => readFileSync(server.knownHosts, 'utf8')).join(''))
  const login = (more: ConnectOptions = {}): ConnectOptions =>
    ({ identityFile: gate.keyFile, knownHosts: file(lines), sshConfig: false, ...more })
  const logins = (server: TestServer): number => server.log().match(/Accepted publickey/g)?.length ?? 0
  /** How many logins a server takes while something is done. */
  const counted = async (server: TestServer, work: () => Promise<unknown>): Promise<number> => {
    const before = logins(server)
    await work()
    return logins(server) - before
  }
  const works = async (context: Context): Promise<void> => {
    expect(await context.exec('echo "$((6 * 7))"')).toMatchObject({ stdout: '42\n', exitCode: 0 })
    if (context.runtime === 'node') expect(await context.call((a: number) => a + 1, 41)).toBe(42)
  }
  /** No two pieces are alike: what changes places shows, too. */
  const echoes = async (context: Context, size: number): Promise<void> => {
    const big = randomFillSync(Buffer.alloc(size))
    const echoed = await context.exec('cat', { stdin: big, encoding: 'buffer' })
    expect({ ...echoed, stdout: echoed.stdout.length, output: undefined }).toMatchObject({ exitCode: 0, signal: null, truncated: false, stdout: big.length })
    expect(echoed.stdout.equals(big)).toBe(true)
  }
  const host = (name: string, server: TestServer, ...more: string[]): string[] =>
    [`Host ${name}`, '  HostName 127.0.0.1', `  Port ${server.port}`, `  User ${server.user}`, ...more.map((line) => `  ${line}`)]
  const config = (...entries: string[]): string => file([...entries, `Host *`, `  IdentityFile ${gate.keyFile}`, '  IdentitiesOnly yes',
    `  UserKnownHostsFile ${file(lines)}`, ''].join('\n'))

  describe('a jump that is named', () => {
    test('commands and functions through a bastion that starts no process', async () => {
      const context = await ramet.connect(targetOf(web), login({ jump: targetOf(gate) }))
      await works(context)
      expect(context.path).toEqual([`${web.user}@127.0.0.1:${web.port}`])
      expect(ramet.stats().links[0]).toMatchObject({ transport: 'ssh2', from: 'controller' })
      expect(gate.log()).not.toMatch(/Starting session/)
      await context.close()
      await leaks(gate, web)
    })

    test.each([1, 2, 3])('a chain of %i, the one nearest to us first', async (length) => {
      const chain = [gate, second, third].slice(0, length)
      const before = chain.map(logins)
      const context = await ramet.connect(targetOf(web), login({ jump: chain.map((server) => targetOf(server).slice('ssh://'.length)).join(' , ') }))
      await works(context)
      expect(chain.map(logins)).toEqual(before.map((count) => count + 1))
      // Each was reached from the one before: a wrong order would show in who connects to whom.
      expect((ramet.describe()['jumpHosts'] as { name: string }[]).map(({ name }) => name)).toEqual(chain.map((server) => `${server.user}@127.0.0.1:${server.port}`))
    })

    test('only commands, where no interpreter is wanted', async () => {
      const context = await ramet.connect(targetOf(web), login({ jump: targetOf(gate), runtime: 'raw' }))
      expect(context.runtime).toBe('raw')
      await works(context)
      await echoes(context, 3_000_000)
    })

    test('thirty targets at once share one connection to the bastion, which ends with the last', async () => {
      const contexts: Context[] = []
      expect(await counted(gate, async () => {
        contexts.push(...await Promise.all(Array.from({ length: 30 }, () => ramet.connect(targetOf(web), login({ jump: targetOf(gate), fresh: true, runtime: 'raw' })))))
        await Promise.all(contexts.map(works))
      })).toBe(1)
      expect(ramet.describe()['jumpHosts']).toMatchObject([{ users: 30, state: 'open' }])
      await Promise.all(contexts.slice(1).map((context) => context.close()))
      expect(ramet.describe()['jumpHosts']).toMatchObject([{ users: 1 }])
      await works(contexts[0] as Context)
      await contexts[0]?.close()
      expect(ramet.describe()['jumpHosts']).toEqual([])
      expect(await counted(gate, async () => works(await ramet.connect(targetOf(web), login({ jump: targetOf(gate) }))))).toBe(1)
    }, 60_000)
    test('other options are another connection to the same bastion', async () => {
      expect(await counted(gate, () => Promise.all([
        ramet.connect(targetOf(web), login({ jump: targetOf(gate) })),
        ramet.connect(targetOf(web), login({ jump: targetOf(gate), hostKeys: 'accept' })),
      ]))).toBe(2)
    })

    test('logins through one bastion to one server are spread: none is turned away', async () => {
      const strict = await start({ config: ['MaxStartups 8:100:8'] })
      const contexts = await Promise.all(Array.from({ length: 40 }, () => ramet.connect(targetOf(strict), login({ jump: targetOf(gate), fresh: true, runtime: 'raw' }))))
      expect(contexts).toHaveLength(40)
      expect(strict.log()).not.toMatch(/drop connection|MaxStartups/)
    }, 60_000)

    test('a server that turns logins away without a word is asked again through the bastion', async () => {
      let refuse = 2
      await using relay = await startTcp((socket) => {
        if (refuse-- > 0) return void socket.destroy()
        const onwards = connect(web.port, '127.0.0.1')
        onwards.on('error', () => socket.destroy())
        socket.on('close', () => onwards.destroy())
        socket.pipe(onwards).pipe(socket)
      })
      const known = file(`[127.0.0.1]:${relay.port} ${web.hostKeys[0]}\n${readFileSync(gate.knownHosts, 'utf8')}`)
      const context = await ramet.connect(`ssh://${web.user}@127.0.0.1:${relay.port}`, login({ jump: targetOf(gate), knownHosts: known }))
      await works(context)
      expect(relay.taken()).toBe(3)
    })

    test.skipIf(!haveDropbear)('dropbear as the bastion (left out where there is none)', async () => {
      await using dropbear = await startDropbear()
      // It takes its own key only.
      appendFileSync(join(dropbear.dir, 'home', '.ssh', 'authorized_keys'), readFileSync(`${gate.keyFile}.pub`))
      const known = file(lines + readFileSync(dropbear.knownHosts, 'utf8'))
      const contexts = await Promise.all([1, 2, 3].map(() => ramet.connect(targetOf(web), login({ jump: targetOf(dropbear), knownHosts: known, fresh: true }))))
      await Promise.all(contexts.map(works))
      const port = await freePort()
      expect(await failure(ramet.connect(`ssh://x@127.0.0.1:${port}`, login({ jump: targetOf(dropbear), knownHosts: known })))).toMatchObject({ code: 'connect-refused', stage: 'tcp' })
      await Promise.all(contexts.map((context) => context.close()))
    })
  })

  describe('what can go wrong on the way', () => {
    const name = (server: TestServer): string => `${server.user}@127.0.0.1:${server.port}`

    test('nothing listens behind the bastion', async () => {
      const target = `x@127.0.0.1:${await freePort()}`
      const error = await failure(ramet.connect(target, login({ jump: targetOf(gate) })))
      expect(error).toMatchObject({ code: 'connect-refused', stage: 'tcp', outcome: 'not-sent', path: [target] })
      expect(error.message).toMatch(new RegExp(`^${target}: jump host ${name(gate)}: nothing listens at 127\\.0\\.0\\.1 port \\d+, seen from there$`))
      expectHelpful(error, target)
    })

    test('a name that the bastion does not know', async () => {
      const error = await failure(ramet.connect('no-such-host.invalid', login({ jump: targetOf(gate) })))
      expect(error).toMatchObject({ code: 'resolve-failed', path: ['no-such-host.invalid'] })
      expect(error.message).toContain(`jump host ${name(gate)}: the name in no-such-host.invalid port 22 has no address there`)
    })

    test.each(['AllowTcpForwarding no', 'PermitOpen 127.0.0.1:9'])('a bastion with %s', async (line) => {
      const strict = await start({ config: [line] })
      const error = await failure(ramet.connect(targetOf(web), login({ jump: targetOf(strict) })))
      expect(error).toMatchObject({ code: 'not-allowed', stage: 'tcp', outcome: 'not-sent', path: [name(web)] })
      expect(error.message).toBe(`${name(web)}: jump host ${name(strict)}: it does not let connections through to 127.0.0.1 port ${web.port}`)
      expect(error.hint).toMatch(/AllowTcpForwarding.*PermitOpen/s)
    })

    test('the bastion refuses the login: all targets hear of one attempt', async () => {
      const other = makeKey(dir, `other${++files}`)
      const before = gate.log().length
      const errors = await Promise.all(Array.from({ length: 5 }, () => failure(ramet.connect(targetOf(web), login({ jump: targetOf(gate), identityFile: other, fresh: true })))))
      for (const error of errors) {
        expect(error).toMatchObject({ code: 'auth-failed', stage: 'auth', outcome: 'not-sent', path: [name(web)] })
        expect(error.message).toMatch(new RegExp(`^${name(web)}: jump host ${name(gate)}: login as `))
        expectHelpful(error, name(web))
      }
      await vi.waitFor(() => expect(gate.log().slice(before).match(/Connection from/g)).toHaveLength(1))
    })
    test('host keys: the bastion\'s under its own name, the target\'s under its own, each named where it fails', async () => {
      const unknownGate = await failure(ramet.connect(targetOf(web), login({ jump: targetOf(gate), knownHosts: knownHosts(web) })))
      expect(unknownGate).toMatchObject({ code: 'host-key-unknown', stage: 'host-key', path: [name(web)] })
      expect(unknownGate.message).toContain(`${name(web)}: jump host ${name(gate)}: the host key of [127.0.0.1]:${gate.port} is in no known_hosts`)
      const unknownWeb = await failure(ramet.connect(targetOf(web), login({ jump: targetOf(gate), knownHosts: knownHosts(gate) })))
      expect(unknownWeb).toMatchObject({ code: 'host-key-unknown', stage: 'host-key', path: [name(web)] })
      expect(unknownWeb.message).toMatch(new RegExp(`^the host key of \\[127\\.0\\.0\\.1\\]:${web.port} is in no known_hosts`))
      const changed = file(`[127.0.0.1]:${gate.port} ${gate.hostKeys[0]}\n[127.0.0.1]:${web.port} ${gate.hostKeys[0]}\n`)
      expect(await failure(ramet.connect(targetOf(web), login({ jump: targetOf(gate), knownHosts: changed })))).toMatchObject({ code: 'host-key-changed', path: [name(web)] })
    })

    test('a bastion that answers for the target gets no login: it has not the target\'s key', async () => {
      // The bastion may connect us to whatever it likes; here to itself.
      const known = file(`[127.0.0.1]:${gate.port} ${gate.hostKeys[0]}\nweb1 ${web.hostKeys[0]}\n`)
      const sshConfig = file([...host('web1', gate, 'HostKeyAlias web1'), ''].join('\n'))
      const before = logins(gate)
      expect(await failure(ramet.connect('web1', login({ jump: targetOf(gate), knownHosts: known, sshConfig })))).toMatchObject({ code: 'host-key-changed', stage: 'host-key' })
      expect(logins(gate)).toBe(before + 1)
    })

    test('a port behind the bastion that never answers: the time limit names stage and way', async () => {
      await using hole = await startTcp()
      const silent = await failure(ramet.connect(`x@127.0.0.1:${hole.port}`, login({ jump: targetOf(gate), timeout: 700 })))
      expect(silent).toMatchObject({ code: 'connect-timeout', stage: 'host-key', outcome: 'not-sent' })
      await using full = await fullPort()
      const target = `x@127.0.0.1:${full.port}`
      const lost = await failure(ramet.connect(target, login({ jump: targetOf(gate), timeout: 700 })))
      expect(lost).toMatchObject({ code: 'connect-timeout', stage: 'tcp', outcome: 'not-sent' })
      expect(lost.message).toBe(`${target} was not connected within 700 ms: jump host ${name(gate)} had no answer from 127.0.0.1 port ${full.port}`)
      expectHelpful(lost, target)
      const gone = await failure(ramet.connect(targetOf(web), login({ jump: `x@127.0.0.1:${hole.port}`, timeout: 700 })))
      expect(gone).toMatchObject({ code: 'connect-timeout', stage: 'tcp' })
      expect(gone.message).toContain(`jump host x@127.0.0.1:${hole.port} was not logged in to (stage host-key)`)
    })

    test('a bastion that dies takes its targets with it: they say so, and a new connect finds a new one', async () => {
      const port = await freePort()
      const key = makeKey(dir, `hostkey${++files}`)
      const frail = await start({ config: GATE, port, hostKeyFiles: [key] })
      const options = login({ jump: targetOf(frail), fresh: true })
      const contexts = await Promise.all([1, 2, 3].map((at) => ramet.connect(targetOf(web), { ...options, ...(at === 3 ? { runtime: 'raw' } : {}) })))
      const work = contexts.map((context) => failure(context.exec('sleep 30')))
      const calls = contexts.slice(0, 2).map((context) => failure(context.call(() => new Promise(() => {}))))
      await vi.waitFor(() => expect(descendants(web.pid).length).toBeGreaterThan(3))
      await frail.stop()
      for (const error of await Promise.all([...work, ...calls])) {
        expect(error.outcome).toBe('unknown')
        const chain: string[] = []
        for (let at: unknown = error; at instanceof Error; at = at.cause) chain.push(at.message)
        expect(chain.join('\n'), chain.join('\n')).toContain(name(frail))
      }
      expect(contexts.map(({ state }) => state)).toEqual(['lost', 'lost', 'lost'])
      expect(await failure(ramet.connect(targetOf(web), options))).toMatchObject({ code: 'connect-refused', stage: 'tcp' })
      const again = await start({ config: GATE, port, hostKeyFiles: [key] })
      await works(await ramet.connect(targetOf(web), { ...options, jump: targetOf(again) }))
    }, 30_000)

    test('a bastion that falls silent is given up when it has left its questions unanswered', async () => {
      const frail = await start({ config: GATE })
      const context = await ramet.connect(targetOf(web), login({ jump: targetOf(frail), runtime: 'raw', keepalive: { interval: 150, count: 2 } }))
      await works(context)
      const sessions = descendants(frail.pid)
      for (const pid of sessions) process.kill(pid, 'SIGSTOP')
      try {
        const error = await failure(context.exec('true'))
        expect(error.outcome).toBe('unknown')
        const chain: string[] = []
        for (let at: unknown = error; at instanceof Error; at = at.cause) chain.push(at.message)
        expect(chain.join('\n')).toContain(`${name(frail)}: the server does not answer any more`)
        expect(context.state).toBe('lost')
      } finally {
        for (const pid of sessions) process.kill(pid, 'SIGCONT')
      }
    })

    test('a bastion that is lost while thirty targets log in: each ends, and names it', async () => {
      const frail = await start({ config: GATE })
      const work = Array.from({ length: 30 }, () => failure(ramet.connect(targetOf(web), login({ jump: targetOf(frail), fresh: true }))))
      await vi.waitFor(() => expect(logins(frail)).toBe(1))
      await frail.stop()
      for (const error of await Promise.all(work)) {
        expect(error.path).toEqual([name(web)])
        expect(error.message).toContain(name(frail))
      }
      expect(ramet.describe()['jumpHosts']).toEqual([])
    }, 30_000)

    test('whoever gives up lets go of the bastion; others keep it', async () => {
      await using hole = await startTcp((socket) => void socket.resume())
      const abort = new AbortController()
      const stays = await ramet.connect(targetOf(web), login({ jump: targetOf(gate) }))
      const goes = failure(ramet.connect(`x@127.0.0.1:${hole.port}`, login({ jump: targetOf(gate), signal: abort.signal })))
      await vi.waitFor(() => expect(hole.taken()).toBe(1))
      abort.abort()
      expect(await goes).toMatchObject({ code: 'cancelled' })
      await vi.waitFor(() => expect(ramet.describe()['jumpHosts']).toMatchObject([{ users: 1, state: 'open' }]))
      await works(stays)
      await vi.waitFor(() => expect(hole.sockets.size).toBe(0))
    })

    test('what is no jump host', async () => {
      for (const jump of ['', 'a,,b', 'docker:x', '-oProxyCommand=x', 'a b']) {
        const error = await failure(ramet.connect(targetOf(web), login({ jump })))
        expect(['target-invalid', 'config-invalid'], error.message).toContain(error.code)
        const forced = await failure(ramet.connect(targetOf(web), login({ jump, transport: 'openssh' })))
        expect(['target-invalid', 'config-invalid', 'resolve-failed', 'ssh-failed'], forced.message).toContain(forced.code)
      }
      expect(await failure(ramet.connect('local:', { jump: targetOf(gate) }))).toMatchObject({ code: 'usage', outcome: 'not-sent' })
      expect((await failure(ramet.connect(targetOf(web), login({ jump: Array.from({ length: 17 }, (_, at) => `h${at}`).join(',') })))).message).toMatch(/more than 16 jump hosts/)
    })
  })

  describe('questions to a person', () => {
    test('a key\'s passphrase is asked once for all targets, and their time stands still', async () => {
      const locked = makeKey(dir, `locked${++files}`, 'ed25519', 'sesame')
      const gateOnly = await start({ config: GATE })
      appendFileSync(join(gateOnly.dir, 'authorized_keys'), readFileSync(`${locked}.pub`))
      const sshConfig = file([...host('bastion', gateOnly, `IdentityFile ${locked}`, 'IdentitiesOnly yes'), ''].join('\n'))
      const asked: PromptRequest[] = []
      const prompt = async (request: PromptRequest): Promise<string> => {
        asked.push(request)
        await new Promise((resolve) => setTimeout(resolve, 1500))
        return 'sesame'
      }
      const options = login({ jump: 'bastion', sshConfig, prompt, timeout: 1200, runtime: 'raw' })
      const contexts = await Promise.all([1, 2, 3].map(() => ramet.connect(targetOf(web), { ...options, fresh: true })))
      await Promise.all(contexts.map(works))
      expect(asked).toMatchObject([{ kind: 'passphrase', path: ['jump host bastion'] }])
    })

    test('the target\'s password is not given to the bastion', async () => {
      const users: string[] = []
      const passwordGate = await start({ config: ['PubkeyAuthentication no', 'PasswordAuthentication yes', 'KbdInteractiveAuthentication no'] })
      const prompt = async ({ text, path, kind }: PromptRequest): Promise<string> => {
        users.push(`${kind} ${path.join(' > ')} ${text}`)
        throw new Error('nobody is here')
      }
      const error = await failure(ramet.connect(targetOf(web), login({ jump: targetOf(passwordGate), password: 'secret', prompt })))
      expect(error).toMatchObject({ code: 'prompt-needed', stage: 'auth', path: [name(web)] })
      expect(error.message).toContain(`jump host ${name(passwordGate)}`)
      expect(users).toEqual([`password jump host ${name(passwordGate)} Password for ${name(passwordGate)}: `])
      expect(passwordGate.log()).not.toMatch(/Failed password/)
    })
    const name = (server: TestServer): string => `${server.user}@127.0.0.1:${server.port}`
  })

  describe('ProxyJump in the SSH configuration', () => {
    const hops = (): (string | undefined)[] => (ramet.describe()['jumpHosts'] as { name: string }[]).map((each) => each.name)
    const transport = (): string | undefined => ramet.stats().links.at(-1)?.transport

    test('means the same, without the ssh program', async () => {
      const sshConfig = config(...host('bastion', gate), ...host('web', web, 'ProxyJump bastion'))
      const path = process.env['PATH']
      process.env['PATH'] = '/nonexistent'
      try {
        await works(await ramet.connect('web', { sshConfig }))
      } finally {
        process.env['PATH'] = path
      }
      expect([transport(), hops()]).toEqual(['ssh2', ['bastion']])
    })

    test('means the same, asked of ssh -G', async () => {
      const sshConfig = config(...host('bastion', gate), 'Match originalhost web exec "true"', `  ProxyJump ${gate.user}@127.0.0.1:${gate.port}`, ...host('web', web))
      await works(await ramet.connect('web', { sshConfig }))
      expect(transport()).toBe('ssh2')
      expect(hops()).toEqual([`${gate.user}@127.0.0.1:${gate.port}`])
    })

    test('means the same with transport openssh, where its own client jumps', async () => {
      const sshConfig = config(...host('bastion', gate), ...host('web', web, 'ProxyJump bastion'), ...host('bare', web))
      expect(await counted(gate, async () => works(await ramet.connect('web', { sshConfig, transport: 'openssh' })))).toBe(1)
      expect([transport(), hops()]).toEqual(['openssh', []])
      expect(await counted(gate, async () => works(await ramet.connect('bare', { sshConfig, transport: 'openssh', jump: 'bastion' })))).toBe(1)
      expect(await counted(gate, async () => works(await ramet.connect('web', { sshConfig, transport: 'openssh', jump: 'none' })))).toBe(0)
    }, 30_000)

    test('a bastion that only OpenSSH can reach is left to OpenSSH, with all that is behind it', async () => {
      const relay = `ProxyCommand bash -c 'trap "" HUP; exec 3<>/dev/tcp/127.0.0.1/${gate.port}; cat <&3 & p=$!; cat >&3; kill $p'`
      const sshConfig = config(...host('bastion', gate, relay), ...host('web', web, 'ProxyJump bastion'))
      await works(await ramet.connect('web', { sshConfig }))
      expect(transport()).toBe('openssh')
      const error = await failure(ramet.connect('web', { sshConfig, transport: 'ssh2' }))
      expect(error).toMatchObject({ code: 'config-invalid', outcome: 'not-sent' })
      expect(error.message).toContain('proxycommand (for bastion)')
    }, 30_000)

    test('the first jump host\'s own ProxyJump counts, and that of no other', async () => {
      const sshConfig = config(...host('outer', gate), ...host('inner', second, 'ProxyJump outer'), ...host('odd', third, 'ProxyJump nowhere'),
        ...host('web', web, 'ProxyJump inner'), ...host('far', web, 'ProxyJump inner,odd'))
      await works(await ramet.connect('web', { sshConfig }))
      expect(hops()).toEqual(['outer', 'inner'])
      await works(await ramet.connect('far', { sshConfig }))
      expect(hops()).toEqual(['outer', 'inner', 'odd'])
    })

    test('a jump that is given comes before it, and "none" is none', async () => {
      const sshConfig = config(...host('outer', gate), ...host('other', second), ...host('web', web, 'ProxyJump outer'), ...host('cmd', web, 'ProxyCommand false'))
      await works(await ramet.connect('web', { sshConfig, jump: 'other' }))
      expect(hops()).toEqual(['other'])
      await works(await ramet.connect('cmd', { sshConfig, jump: 'other', fresh: true }))
      expect(hops()).toEqual(['other'])
      expect(await counted(gate, async () => works(await ramet.connect('web', { sshConfig, jump: 'none' })))).toBe(0)
    })

    test('two ways to write one bastion are one connection', async () => {
      const sshConfig = config(...host('outer', gate), ...host('also', gate), ...host('web1', web, 'ProxyJump outer'), ...host('web2', web, 'ProxyJump also'))
      expect(await counted(gate, () => Promise.all(['web1', 'web2'].map(async (name) => works(await ramet.connect(name, { sshConfig })))))).toBe(1)
    })

    test('a circle is named, not followed', async () => {
      const sshConfig = config(...host('a', gate, 'ProxyJump b'), ...host('b', second, 'ProxyJump a'), ...host('web', web, 'ProxyJump a'))
      expect(await failure(ramet.connect('web', { sshConfig }))).toMatchObject({ code: 'config-invalid', stage: 'resolve', outcome: 'not-sent',
        message: 'web: its jump hosts go in a circle (web > a > b > a)' })
      const all = file(['Host *', '  ProxyJump gate', ''].join('\n'))
      const error = await failure(ramet.connect('web', { sshConfig: all }))
      expect(error.message).toBe('web: its jump hosts go in a circle (web > gate > gate)')
      expect(error.hint).toContain('Host * !gate')
      expect((await failure(ramet.connect('gate', { sshConfig: all }))).message).toBe('gate: its jump hosts go in a circle (gate > gate)')
    })
  })

  describe('a context to jump through', () => {
    test('over its own SSH connection, though it runs nothing', async () => {
      const bastion = await ramet.connect(targetOf(gate), login({ runtime: 'raw' }))
      expect(await counted(gate, async () => {
        const targets = await Promise.all([1, 2, 3].map(() => ramet.connect(targetOf(web), login({ jump: bastion, fresh: true }))))
        await Promise.all(targets.map(works))
        // Closing the way closes what is reached by it, in order.
        await bastion.close()
        expect(targets.map(({ state }) => state)).toEqual(['closed', 'closed', 'closed'])
      })).toBe(0)
    })

    test('over its own SSH connection code on its main thread holds nobody up', async () => {
      const bastion = await ramet.connect(targetOf(web), login())
      const target = await ramet.connect(targetOf(web), login({ jump: bastion, fresh: true }))
      expect(await bastion.with({ isolate: 'none' }).call(() => 1)).toBe(1)
      await works(target)
    })

    test('work can be asked for while it is still connecting', async () => {
      const bastion = ramet.connect(targetOf(gate), login({ runtime: 'raw' }))
      const target = ramet.connect(targetOf(web), login({ jump: bastion }))
      expect((await target.exec('echo x')).stdout).toBe('x\n')
    })

    test.each(['local:', 'openssh'])('by our module in its interpreter: %s', async (kind) => {
      const hop = kind === 'local:' ? await ramet.connect(kind) : await ramet.connect(targetOf(web), login({ transport: 'openssh' }))
      const target = await ramet.connect(targetOf(web), login({ jump: hop, fresh: true }))
      await works(target)
      expect(target.path).toHaveLength(1)
      await echoes(target, 6_000_000)
      const port = await freePort()
      const error = await failure(ramet.connect(`x@127.0.0.1:${port}`, login({ jump: hop })))
      expect(error).toMatchObject({ code: 'connect-refused', stage: 'tcp', outcome: 'not-sent', path: [`x@127.0.0.1:${port}`] })
      expect(error.message).toBe(`x@127.0.0.1:${port}: jump host ${hop.path.join(' > ')}: nothing listens at 127.0.0.1 port ${port}`)
      expect(await failure(ramet.connect('no-such-host.invalid', login({ jump: hop })))).toMatchObject({ code: 'resolve-failed' })
      // What computes on that thread would hold up every byte of the target's.
      expect(await failure(hop.with({ isolate: 'none' }).call(() => 1))).toMatchObject({ code: 'not-allowed', outcome: 'not-sent', path: hop.path })
      await target.close()
      expect(await hop.with({ isolate: 'none' }).call(() => 1)).toBe(1)
    }, 30_000)

    test('much at once, each way, and every byte in its place', async () => {
      const hop = await ramet.connect('local:')
      const targets = await Promise.all([1, 2, 3].map(() => ramet.connect(targetOf(web), login({ jump: hop, fresh: true }))))
      for (let round = 0; round < 2; round++) await Promise.all(targets.map((target) => echoes(target, 6_000_000)))
      expect(targets.map(({ state }) => state)).toEqual(['connected', 'connected', 'connected'])
    }, 60_000)

    test('below a hop', async () => {
      const hop = await ramet.connect('local:')
      const child = await hop.connect('local:')
      const target = await ramet.connect(targetOf(web), login({ jump: child }))
      await works(target)
      await hop.close()
      expect([target.state, child.state]).toEqual(['closed', 'closed'])
    })

    test('and a chain of both: through a hop, then through a bastion that is a context', async () => {
      const hop = await ramet.connect('local:')
      const bastion = await ramet.connect(targetOf(gate), login({ jump: hop, runtime: 'raw' }))
      const target = await ramet.connect(targetOf(web), login({ jump: bastion }))
      await works(target)
    })

    test('a context that is lost takes its targets with it, by name', async () => {
      const hop = await ramet.connect('local:')
      const target = await ramet.connect(targetOf(web), login({ jump: hop }))
      const call = failure(target.call(() => new Promise(() => {})))
      process.kill(hop.info?.pid ?? 0, 'SIGKILL')
      const error = await call
      expect(error).toMatchObject({ code: 'link-lost', outcome: 'unknown', path: target.path })
      const chain: string[] = []
      for (let at: unknown = error; at instanceof Error; at = at.cause) chain.push(at.message)
      expect(chain.join('\n')).toMatch(/\blocal\b/)
      expect(await failure(ramet.connect(targetOf(web), login({ jump: hop })))).toMatchObject({ outcome: 'not-sent' })
    })

    test('contexts through which nothing can be reached', async () => {
      const other = quietController()
      const strange = await other.connect('local:')
      expect(await failure(async () => ramet.connect(targetOf(web), login({ jump: strange })))).toMatchObject({ code: 'usage' })
      await other.close()
      const hop = await ramet.connect('local:')
      expect(await failure(ramet.connect(targetOf(web), login({ jump: hop, via: hop })))).toMatchObject({ code: 'config-invalid', outcome: 'not-sent' })
      expect(await failure(ramet.connect(targetOf(web), login({ jump: hop, transport: 'openssh' })))).toMatchObject({ code: 'config-invalid' })
      await hop.close()
      expect(await failure(async () => ramet.connect(targetOf(web), login({ jump: hop })))).toMatchObject({ code: 'closed' })
    })
  })
})

/** A port whose connection requests the system drops: its owner takes none, and no more may wait. */
async function fullPort(): Promise<{ port: number } & AsyncDisposable> {
  const program = "require('net').createServer().listen({port:0,host:'127.0.0.1',backlog:1},function(){console.log(this.address().port)})"
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(child.stdout, 'data') as [Buffer]
  const port = Number(line.toString())
  child.kill('SIGSTOP')
  const waiting = Array.from({ length: 4 }, () => connect(port, '127.0.0.1').on('error', () => {}))
  await vi.waitFor(() => expect(waiting.filter((socket) => !socket.connecting).length).toBeGreaterThanOrEqual(2))
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of waiting) socket.destroy()
      child.kill('SIGKILL')
      await once(child, 'close')
    },
  }
}
