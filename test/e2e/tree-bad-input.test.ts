import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Context, Controller, type RametError } from '../../src/controller/index.ts'
import { type Accounts, makeAccounts, noAccounts } from '../helpers/accounts.ts'
import { childrenOf, expectHelpful, failure, leakCheck, loginTo, records, targetOf } from '../helpers/e2e-lab.ts'
import { fakePrograms } from '../helpers/fake-program.ts'
import { haveSshd, makeKey, startSshd } from '../helpers/sshd.ts'
import { type Relay, startRelay, startTcp } from '../helpers/tcp.ts'
import { alive, chain, pidOf, soon, withText } from '../helpers/tree-lab.ts'

const PATH = process.env['PATH']
let log: ReturnType<typeof records>
let ramet: Controller
let noLeaks: () => Promise<void>

beforeEach(() => {
  noLeaks = leakCheck()
  log = records()
  ramet = new Controller({ logger: log.logger })
})
afterEach(async () => {
  process.env['PATH'] = PATH
  await ramet.close()
  await noLeaks()
})

/** Every error names the way to what it is about, the stage where there is one, and what to do. */
function expectNamed(error: RametError, path: string[]): void {
  expect(error.path).toEqual(path)
  expect(error.message).toContain(path.join(' > '))
  expectHelpful(error, path.at(-1) as string)
}

describe('a hop that is not there', () => {
  test('is lost: whatever is asked for through it hears so, at once and as a rejection', async () => {
    const hop = await ramet.connect('local:')
    process.kill(pidOf(hop), 'SIGKILL')
    await soon(() => expect(hop.state).toBe('lost'))
    const connecting = hop.connect('sudo:root')
    const [exec, call, used] = [failure(connecting.exec('id')), failure(connecting.call(() => 1)), failure(connecting.with({ timeout: 10 }).use<{ a(): void }>('/nowhere.ts').a())]
    for (const error of [await failure(connecting), await exec, await call, await used, await failure(ramet.connect('local:', { via: hop }))]) {
      expect(error).toMatchObject({ code: 'link-lost', outcome: 'not-sent' })
      expect(error.message).toContain('cannot be opened: local is lost')
      expectNamed(error, ['local', error.path[1] as string])
    }
    expect(() => connecting.spawn('id')).toThrow(expect.objectContaining({ code: 'link-lost' }) as Error)
    // What is behind such a one hears the same.
    const behind = await failure(ramet.connect('docker:web', { via: connecting }))
    expect(behind).toMatchObject({ code: 'link-lost', outcome: 'not-sent', path: ['local', 'sudo:root', 'docker:web'] })
    // Of thirty that were asked for together none keeps the others from being asked for.
    const settled = await Promise.allSettled(Array.from({ length: 30 }, () => hop.connect('local:', { fresh: true })))
    expect(settled.map(({ status }) => status)).toEqual(Array(30).fill('rejected'))
  })

  test('is lost while a target behind it that has no interpreter is pinged: the error names the way', async () => {
    const hop = await ramet.connect('local:')
    const raw = await hop.connect('local:', { runtime: 'raw' })
    expect(await raw.ping()).toBeGreaterThan(0)
    process.kill(pidOf(hop), 'SIGSTOP')
    const heard = failure(raw.ping())
    process.kill(pidOf(hop), 'SIGKILL')
    const error = await heard
    expect(error).toMatchObject({ code: 'link-lost', outcome: 'unknown' })
    expectNamed(error, ['local', 'local'])
  })

  test('is closed while a target behind it that has no interpreter runs a command: the error names the way', async () => {
    const hop = await ramet.connect('local:')
    const raw = await hop.connect('local:', { runtime: 'raw' })
    const child = raw.spawn('sleep 303')
    const heard = failure(child.exited)
    await child.pid
    await hop.close()
    const error = await heard
    expect(error).toMatchObject({ code: 'closed', outcome: 'unknown' })
    expectNamed(error, ['local', 'local'])
  })

  test('is jumped from, too, which is one way too many', async () => {
    const hop = await ramet.connect('local:')
    const error = await failure(hop.connect('web1', { jump: 'gate' }))
    expect(error).toMatchObject({ code: 'config-invalid', stage: 'resolve', outcome: 'not-sent' })
    expectNamed(error, ['local', 'web1'])
  })

  test('was closed, or is another controller\'s', async () => {
    const hop = await ramet.connect('local:')
    await hop.close()
    const closed = await failure(hop.connect('sudo:root'))
    expect(closed).toMatchObject({ code: 'closed', outcome: 'not-sent' })
    expectNamed(closed, ['local', 'sudo:root'])
    await using other = new Controller({ logger: log.logger })
    const foreign = await other.connect('local:')
    expect(await failure(ramet.connect('sudo:root', { via: foreign }))).toMatchObject({ code: 'usage', outcome: 'not-sent', hint: expect.stringMatching(/\w+ \w+/) as string })
  })

  test('has no Node: what is behind it hears which machine lacks what, also before anybody knew, and two levels on', async () => {
    const hop = ramet.connect('local:', { node: '/nowhere/node' })
    const child = hop.then((context) => context.connect('sudo:root'))
    const early = ramet.connect('local:', { via: hop })
    const behind = ramet.connect('local:', { via: early })
    const errors = [failure(early), failure(behind), failure(early.exec('true')), failure(behind.call(() => 1)), failure(child)]
    // It has commands all the same.
    expect((await hop).runtime).toBe('raw')
    expect((await (await hop).exec('echo raw')).stdout).toBe('raw\n')
    const [one, two, command, call, late] = (await Promise.all(errors)) as [RametError, RametError, RametError, RametError, RametError]
    for (const error of [one, command]) expectNamed(error, ['local', 'local'])
    for (const error of [two, call]) expectNamed(error, ['local', 'local', 'local'])
    for (const error of [one, two, command, call]) {
      expect(error).toMatchObject({ code: 'interpreter-needed', outcome: 'not-sent' })
      expect(error.message).toContain('local has no /nowhere/node')
      expect(error.hint).toMatch(/Node 12/)
    }
    expect(late).toMatchObject({ code: 'interpreter-needed', outcome: 'not-sent' })
    expectNamed(late, ['local', 'sudo:root'])
  })

  test('cannot be reached: what is behind it hears why', async () => {
    const hop = ramet.connect('ssh://nobody@127.0.0.1:1', { sshConfig: false, hostKeys: 'ignore' })
    const early = ramet.connect('local:', { via: hop })
    const behind = ramet.connect('docker:web', { via: early })
    const heard = [failure(early), failure(behind), failure(behind.exec('id'))] as const
    expect(await failure(hop)).toMatchObject({ code: 'connect-refused' })
    const [one, two, work] = await Promise.all(heard)
    expectNamed(one, ['nobody@127.0.0.1:1', 'local'])
    for (const error of [two, work]) expectNamed(error, ['nobody@127.0.0.1:1', 'local', 'docker:web'])
    for (const error of [one, two, work]) expect(error).toMatchObject({ code: 'connect-refused', outcome: 'not-sent' })
  })

  test('takes too long: the child\'s own time does not run meanwhile', async () => {
    const hop = ramet.connect('local:', { node: ['sh', '-c', 'sleep 1; exec node "$@"', 'sh'] })
    const child = ramet.connect('local:', { via: hop, timeout: 900 })
    expect(await child.call(() => 'there')).toBe('there')
    const slow = await failure(ramet.connect('local:', { via: hop, fresh: true, timeout: 300, node: ['sh', '-c', 'sleep 300'] }))
    expect(slow).toMatchObject({ code: 'connect-timeout', stage: 'launch' })
    expectNamed(slow, ['local', 'local'])
  })
})

describe('a way on that does not work, two hops away', () => {
  const two = async (): Promise<Context> => (await chain(ramet, ['local:', 'local:']))[1] as Context

  test('the tool is missing on the hop', async () => {
    const hop = await two()
    const error = await failure(hop.connect('nerdctl:web'))
    expect(error).toMatchObject({ code: 'launch-failed', stage: 'launch', outcome: 'not-sent' })
    expectNamed(error, ['local', 'local', 'nerdctl:web'])
    expect(error.message).toContain('there is no nerdctl')
  })

  test('the container does not exist, or is lost while it boots: the tool\'s last words are there', async () => {
    using fake = fakePrograms()
    fake.add('docker', 'echo "Error response from daemon: No such container: $6" >&2; exit 1')
    fake.add('podman', 'echo "level=warning noise" >&2; echo "cannot set up the namespace" >&2; exit 125')
    process.env['PATH'] = fake.env.PATH
    const hop = await two()
    const connecting = hop.connect('docker:nowhere')
    const work = failure(connecting.exec('id'))
    const error = await failure(connecting)
    expect(error).toMatchObject({ code: 'container-not-found', stage: 'launch', outcome: 'not-sent' })
    expectNamed(error, ['local', 'local', 'docker:nowhere'])
    expect(error.message).toContain('No such container')
    expect(await work).toMatchObject({ code: 'container-not-found', outcome: 'not-sent', path: error.path })
    const broken = await failure(hop.connect('podman:web'))
    expect(broken).toMatchObject({ code: 'launch-failed', stage: 'launch' })
    expectNamed(broken, ['local', 'local', 'podman:web'])
    expect(broken.message).toContain('cannot set up the namespace')
  })

  test('Node is missing there, or is no Node', async () => {
    const hop = await two()
    const error = await failure(hop.connect('local:', { node: '/nowhere/node', runtime: 'node' }))
    expect(error).toMatchObject({ code: 'no-interpreter', stage: 'interpreter', outcome: 'not-sent' })
    expectNamed(error, ['local', 'local', 'local'])
    const noise = await failure(hop.connect('local:', { node: ['sh', '-c', 'echo "library missing" >&2; exit 4'], runtime: 'node' }))
    expect(noise).toMatchObject({ code: 'boot-eof', stage: 'launch', outcome: 'not-sent' })
    expectNamed(noise, ['local', 'local', 'local'])
    expect(noise.message).toMatch(/exit code 4.*library missing/)
  })

  test.each(['node', 'raw'] as const)('a port that swallows connections, runtime %s: the time limit names the stage', async (runtime) => {
    await using swallower = await startTcp((socket) => void socket.resume())
    const hop = await two()
    const target = `ssh://nobody@127.0.0.1:${swallower.port}`
    const error = await failure(hop.connect(target, { sshConfig: false, hostKeys: 'ignore', identityFile: [], runtime, timeout: 1500 }))
    expect(swallower.taken()).toBe(1)
    expect(error).toMatchObject({ code: 'connect-timeout', stage: 'host-key', outcome: 'not-sent' })
    expectNamed(error, ['local', 'local', target.slice(6)])
    await soon(() => expect(swallower.sockets.size).toBe(0))
  })

  test.skipIf(noAccounts !== undefined)(`a wrong password for sudo${noAccounts === undefined ? '' : ` (left out: ${noAccounts})`}`, async () => {
    const accounts: Accounts = makeAccounts(['ask', 'target'], { sudoers: { ask: 'ALL=(ALL) ALL' } })
    try {
      process.env['PATH'] = accounts.pathAs('ask', 'sudo')
      const hop = await two()
      const target = `sudo:${accounts.name('target')}`
      const connecting = hop.connect(target, { password: 'not this one' })
      const work = failure(connecting.exec('id'))
      const error = await failure(connecting)
      expect(error).toMatchObject({ code: 'password-refused', stage: 'auth' })
      expectNamed(error, ['local', 'local', target])
      expect(await work).toMatchObject({ code: 'password-refused', outcome: 'not-sent' })
      expect(JSON.stringify([error.message, error.hint, ...log.all])).not.toContain('not this one')
      expect(accounts.processes('target')).toEqual([])
      expect(await failure(hop.connect(target, { fresh: true }))).toMatchObject({ code: 'password-needed', stage: 'auth', path: ['local', 'local', target] })
      expect(hop.state).toBe('connected')
    } finally {
      accounts[Symbol.dispose]()
    }
  }, 30_000)

  test.skipIf(!haveSshd)('a key that cannot be used: the error says why, though the hop was not told', async () => {
    await using server = await startSshd()
    const hop = await two()
    const name = targetOf(server).slice(6)
    const locked = makeKey(server.dir, 'locked', 'ed25519', 'open sesame')
    for (const runtime of ['node', 'raw'] as const) {
      const login = { ...loginTo(server), fresh: true, runtime }
      const wrong = await failure(hop.connect(targetOf(server), { ...login, identityFile: locked, passphrase: 'not this one' }))
      expect(wrong).toMatchObject({ code: 'key-unreadable', stage: 'auth', outcome: 'not-sent', hint: 'Give the right passphrase, or add the key to an agent.' })
      expect(wrong.message).toContain(`${locked}: `)
      expectNamed(wrong, ['local', 'local', name])
      const missing = await failure(hop.connect(targetOf(server), { ...login, identityFile: ['/nowhere/id', '/nowhere/else'] }))
      expect(missing).toMatchObject({ code: 'auth-failed', stage: 'auth', outcome: 'not-sent' })
      expect(missing.message).toMatch(/tried nothing; .*; \/nowhere\/id: there is no such file; \/nowhere\/else: there is no such file$/)
      expectNamed(missing, ['local', 'local', name])
    }
    const bySsh = await failure(hop.connect(targetOf(server), { ...loginTo(server), transport: 'openssh', agent: true, hostKeys: 'ignore', identityFile: locked, passphrase: 'not this one' }))
    expect(bySsh).toMatchObject({ code: 'key-unreadable', stage: 'auth', outcome: 'not-sent', path: ['local', 'local', name] })
  }, 30_000)

  test.skipIf(!haveSshd || noAccounts !== undefined)('a wrong password for SSH, and a key that the server does not take', async () => {
    const accounts: Accounts = makeAccounts(['ask'])
    const server = await startSshd({ user: accounts.name('ask'), config: ['PasswordAuthentication yes'] })
    try {
      const hop = await two()
      const target = targetOf(server)
      const name = target.slice(6)
      const login = { knownHosts: server.knownHosts, sshConfig: false as const, identityFile: [] }
      const connecting = hop.connect(target, { ...login, password: 'not this one' })
      const work = failure(connecting.exec('id'))
      const error = await failure(connecting)
      expect(error).toMatchObject({ code: 'auth-failed', stage: 'auth', outcome: 'not-sent' })
      expectNamed(error, ['local', 'local', name])
      expect(await work).toMatchObject({ code: 'auth-failed' })
      expect(server.log().match(/Failed password/g)).toHaveLength(1)
      expect(JSON.stringify([error.message, error.hint, ...log.all])).not.toContain('not this one')
      const right = await hop.connect(target, { ...login, password: accounts.password('ask') })
      expect((await right.exec('id -un')).stdout.trim()).toBe(accounts.name('ask'))
      await right.close()
      const unknown = await failure(hop.connect(target, { ...login, password: accounts.password('ask'), knownHosts: '/dev/null' }))
      expect(unknown).toMatchObject({ code: 'host-key-unknown', stage: 'host-key', outcome: 'not-sent' })
      expectNamed(unknown, ['local', 'local', name])
      expect(await failure(hop.connect('ssh://nobody@127.0.0.1:1', { sshConfig: false, hostKeys: 'ignore' }))).toMatchObject({ code: 'connect-refused', stage: 'tcp', path: ['local', 'local', 'nobody@127.0.0.1:1'] })
    } finally {
      await server.stop()
      accounts[Symbol.dispose]()
    }
  }, 30_000)
})

describe.skipIf(!haveSshd || noAccounts !== undefined)('a hop that is lost while what it has started hangs and reads nothing', () => {
  test.each(['local', 'sudo', 'ssh'] as const)('by %s: it is ended before the hop ends', async (kind) => {
    const short = kind[0] as string
    const accounts: Accounts = makeAccounts([short], { sudoers: { [short]: 'ALL=(ALL) ALL' } })
    const server = await startSshd()
    const onward = await startSshd({ user: accounts.name(short) })
    const dir = mkdtempSync(join(tmpdir(), 'ramet-hang-'))
    try {
      chmodSync(dir, 0o777)
      const node = join(dir, 'node.sh')
      writeFileSync(node, `#!/bin/sh\n: >${dir}/at.$$\nsh -c "while :; do sleep 1; done" ${dir}\n`, { mode: 0o755 })
      const hop = await ramet.connect(targetOf(server), loginTo(server))
      const [target, login] = kind === 'ssh' ? [targetOf(onward), loginTo(onward)] : [kind === 'sudo' ? `sudo:${accounts.name(short)}` : 'local:', {}]
      const opened = Array.from({ length: 5 }, () => failure(hop.connect(target, { ...login, fresh: true, node })))
      await soon(() => expect(readdirSync(dir).filter((name) => name.startsWith('at.'))).toHaveLength(5))
      await hop.exec('true')
      expect(withText(dir).length).toBeGreaterThanOrEqual(10)
      // Its connection ends; the hop itself has all the time that it needs.
      for (const session of childrenOf(server.pid).filter((line) => line.includes('sshd'))) process.kill(Number.parseInt(session), 'SIGKILL')
      for (const error of await Promise.all(opened)) expect(error).toMatchObject({ code: 'link-lost', stage: 'launch' })
      await soon(() => expect(withText(dir)).toEqual([]))
    } finally {
      await ramet.close()
      await server.stop()
      await onward.stop()
      accounts[Symbol.dispose]()
      rmSync(dir, { recursive: true })
    }
  }, 40_000)
})

describe.skipIf(!haveSshd)('a hop that loses its network while 30 children boot', () => {
  test.each([
    ['is cut', 'local'], ['falls silent', 'local'], ['is cut', 'ssh'], ['falls silent', 'ssh'],
  ] as const)('the network %s, the children are %s: every one gets its error, and no process is left', async (how, kind) => {
    const dir = mkdtempSync(join(tmpdir(), 'ramet-boot-'))
    const node = join(dir, 'node.sh')
    writeFileSync(node, `#!/bin/sh\n: >${dir}/at.$$\nexec cat <&3 >/dev/null\n`, { mode: 0o755 })
    const booting = (): number[] => readdirSync(dir).flatMap((name) => (name.startsWith('at.') ? [Number(name.slice(3))] : []))
    const server = await startSshd()
    const relay: Relay = await startRelay(server.port)
    try {
      const crowd = new Controller({ logger: log.logger, limits: { interpreters: 100 } })
      const hop = await crowd.connect(`ssh://${server.user}@127.0.0.1:${relay.port}`, { ...loginTo(server), hostKeys: 'ignore', keepalive: { interval: 400, count: 3 } })
      const other = await crowd.connect('local:')
      const pid = pidOf(hop)
      const [target, login, name] = kind === 'local' ? ['local:', {}, 'local'] : [targetOf(server), loginTo(server), targetOf(server).slice(6)]
      const children = Array.from({ length: 30 }, () => hop.connect(target, { ...login, fresh: true, node }))
      const work = children.map((child) => failure(child.exec('true')))
      const opened = children.map((child) => failure(child))
      await soon(() => expect(booting()).toHaveLength(30))
      // How far each has come was said before this answer, and is known with it.
      await hop.exec('true')
      if (how === 'falls silent') relay.freeze()
      else for (const socket of relay.sockets) socket.destroy()
      for (const error of await Promise.all(opened)) {
        expect(error).toMatchObject({ code: 'link-lost', stage: 'launch' })
        expectNamed(error, [...hop.path, name])
        expect(error.message).toContain(`was lost with its hop ${hop.path[0]}`)
      }
      for (const error of await Promise.all(work)) expect(error).toMatchObject({ code: 'link-lost', path: [...hop.path, name] })
      expect(hop.state).toBe('lost')
      await soon(() => expect([pid, ...booting()].filter(alive)).toEqual([]))
      expect(await other.call(() => 'well')).toBe('well')
      await crowd.close()
      expect(crowd.describe()).toMatchObject({ contexts: [], channels: [] })
      // The sessions that the hop had opened are over, too.
      await relay[Symbol.asyncDispose]()
      await soon(() => expect(childrenOf(server.pid)).toEqual([]))
    } finally {
      await relay[Symbol.asyncDispose]()
      await server.stop()
      rmSync(dir, { recursive: true })
    }
  }, 40_000)
})
