import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import ssh2 from 'ssh2'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Connection } from '../../src/connect/transport.ts'
import type { PromptRequest } from '../../src/controller/api.ts'
import { RametError } from '../../src/router/errors.ts'
import { newKey } from '../helpers/new-key.ts'
import { Collector } from '../helpers/process-io.ts'
import { type TestServer, haveDropbear, haveSshd, makeKey, startDropbear, startSshd } from '../helpers/sshd.ts'
import { startRelay } from '../helpers/tcp.ts'
import { settle } from '../helpers/test-clock.ts'
import { hopLab, labFor } from './hop-lab.ts'

const echo = async (connection: Connection, input = 'hello'): Promise<string> => {
  const started = connection.open('cat')
  const io = new Collector(started)
  started.pipe.write(Buffer.from(input))
  started.pipe.end()
  await connection.ready
  await started.exited
  await connection.close()
  return io.text
}
const failure = async (connection: Connection): Promise<RametError> => {
  connection.open('cat')
  const error: unknown = await connection.ready.then(() => undefined, (reason: unknown) => reason)
  await connection.close()
  if (!(error instanceof RametError)) throw new Error(`expected a RametError, got ${String(error)}`)
  return error
}
const knownHosts = (server: TestServer, hostKeys: readonly string[], name = `[127.0.0.1]:${server.port}`): string => {
  const file = `${server.dir}/known_${Math.random()}`
  writeFileSync(file, hostKeys.map((key) => `${name} ${key}\n`).join(''))
  return file
}

describe.skipIf(!haveSshd)('SSH from a hop to a real sshd (left out where there is none)', () => {
  let server: TestServer
  let other: TestServer
  beforeAll(async () => void ([server, other] = await Promise.all([startSshd(), startSshd()])))
  afterAll(() => Promise.all([server.stop(), other.stop()]))

  it('takes one question: the signature says that the host key is right, too', async () => {
    const lab = await labFor(server)
    expect(await echo(lab.connect())).toBe('hello')
    expect(lab.asked).toEqual(['sign'])
    expect(lab.records.all.filter(({ level }) => level === 'info')).toEqual([{ level: 'info', text: expect.stringMatching(/signed a login/) as string,
      fields: { context: 'bastion > web1', user: server.user, algorithm: 'ssh-ed25519', key: expect.stringMatching(/^SHA256:/) as string, hostKey: expect.stringMatching(/^SHA256:/) as string } }])
  })

  it('tells the hop no secret and no path', async () => {
    const lab = await labFor(server, { password: 'pw-secret' })
    expect(lab.target).toMatchObject({ kind: 'ssh', host: '127.0.0.1', password: true, prompt: false, keys: [{ type: 'ssh-ed25519', comment: 'id', local: true }] })
    expect(JSON.stringify(lab.target)).not.toMatch(/pw-secret|PRIVATE|\/tmp/)
  })

  it('sends nothing of ours while the controller thinks, and then login, channel, command and first bytes at once', async () => {
    // Three packets in clear text: KEXINIT, the key exchange's reply, NEWKEYS. Nothing that the server says later gets through.
    await using relay = await startRelay(server.port, 3)
    const lab = await labFor(server)
    let answer = (): void => {}
    const asked = new Promise<void>((resolve) => (lab.onWay = () => {
      resolve()
      return new Promise((go) => (answer = go))
    }))
    const connection = lab.connect({ port: relay.port })
    const started = connection.open('cat')
    const io = new Collector(started)
    started.pipe.write(Buffer.alloc(20_000, 1))
    await asked
    await settle(20)
    const before = relay.fromClient
    expect([before < 3000, connection.stage]).toEqual([true, 'host-key'])
    await settle(20)
    expect(relay.fromClient).toBe(before)
    answer()
    await new Promise<void>((resolve) => (relay.onClient = () => relay.fromClient > 20_000 && resolve()))
    expect([io.bytes, connection.stage]).toEqual([0, 'auth'])
    relay.release()
    await io.until(() => io.bytes === 20_000)
    await connection.close()
    expect(lab.asked).toEqual(['sign'])
  })

  it('an agent\'s key is asked for when the server wants it: host first, then the signature, and the rest with it', async () => {
    const lab = await labFor(server)
    const keys = lab.target.keys.map((key) => ({ ...key, local: false }))
    expect(await echo(lab.connect({ keys }))).toBe('hello')
    expect(lab.asked).toEqual(['host', 'sign'])
  })

  it.each(['rsa', 'ecdsa'] as const)('logs in with a key of type %s', async (keyType) => {
    await using with_ = await startSshd({ keyType, hostKeyTypes: [keyType] })
    const lab = await labFor(with_)
    expect(await echo(lab.connect())).toBe('hello')
    expect(lab.asked).toEqual(['sign'])
  })

  it('goes on to the next key when the first is refused', async () => {
    const wrong = makeKey(server.dir, `wrong${Date.now()}`)
    const lab = await labFor(server, { identityFile: [wrong, server.keyFile] })
    expect(await echo(lab.connect())).toBe('hello')
    expect(lab.asked).toEqual(['sign', 'sign'])
  })

  it('goes on to the next key when the controller\'s first cannot sign', async () => {
    const lab = await labFor(server, { identityFile: [makeKey(server.dir, `gone${Date.now()}`), server.keyFile] })
    lab.onWay = (question) => (question.ask === 'sign' && question.key === 0
      ? Promise.reject(new RametError('key-unreadable', 'the token was pulled out')) : Promise.resolve())
    expect(await echo(lab.connect())).toBe('hello')
    expect(lab.asked).toEqual(['sign', 'host', 'sign'])
  })

  it('says which keys were tried when none is let in', async () => {
    const lab = await labFor(server, { identityFile: makeKey(server.dir, 'stranger') })
    const error = await failure(lab.connect())
    expect([error.code, error.stage, error.outcome]).toEqual(['auth-failed', 'auth', 'not-sent'])
    expect(error.message).toMatch(/bastion > web1: login .* tried key stranger;/)
  })

  it.each([
    ['host-key-changed', () => knownHosts(server, other.hostKeys)],
    ['host-key-unknown', () => knownHosts(server, [])],
    ['host-key-revoked', () => knownHosts(server, server.hostKeys, `@revoked *`)],
  ])('ends with %s where the controller\'s known_hosts says so, and no login is tried', async (code, file) => {
    await using relay = await startRelay(server.port)
    for (const local of [true, false]) {
      const lab = await labFor(server, { knownHosts: file() })
      const error = await failure(lab.connect({ port: relay.port, keys: lab.target.keys.map((key) => ({ ...key, local })) }))
      expect([error.code, error.stage, error.outcome]).toEqual([code, 'host-key', 'not-sent'])
      expect(lab.asked).toEqual([local ? 'sign' : 'host'])
      expect(lab.records.all.some(({ level }) => level === 'info')).toBe(false)
      expect(lab.records.all.at(-1)).toMatchObject({ level: 'warn', fields: { code } })
    }
    expect(relay.fromClient).toBeLessThan(2 * 3000)
  })

  it('a hop that goes to another machine than it was told gets no signature there, though our key would open it', async () => {
    appendFileSync(`${other.dir}/authorized_keys`, readFileSync(`${server.keyFile}.pub`))
    const honest = await labFor(other, { identityFile: server.keyFile })
    expect(await echo(honest.connect())).toBe('hello')
    const lab = await hopLab(server, { identityFile: server.keyFile, knownHosts: knownHosts(server, [...server.hostKeys]) })
    const error = await failure(lab.connect({ port: other.port }))
    expect([error.code, lab.asked]).toEqual(['host-key-changed', ['sign']])
    // Once it has been at the right one, too.
    expect(await echo(lab.connect())).toBe('hello')
    expect((await failure(lab.connect({ port: other.port }))).code).toBe('host-key-changed')
    expect(other.log().match(/Accepted publickey/g)).toHaveLength(1)
  })

  it('accept saves a host key seen for the first time on the controller, and not one that is on file for another machine', async () => {
    const file = knownHosts(server, [])
    const lab = await labFor(server, { hostKeys: 'accept', knownHosts: file })
    expect(await echo(lab.connect())).toBe('hello')
    await lab.settled()
    expect(readFileSync(file, 'utf8')).toBe(`[127.0.0.1]:${server.port} ${server.hostKeys[0]}\n`)
    for (const hostKeys of ['accept', 'ignore'] as const) {
      const theirs = knownHosts(server, other.hostKeys, 'db.example')
      const cheated = await labFor(server, { hostKeys, knownHosts: theirs })
      const error = await failure(cheated.connect({ port: other.port }))
      expect([error.code, error.stage]).toEqual(['host-key-refused', 'host-key'])
      expect(error.message).toContain(`on file for another host in ${theirs}:1`)
    }
    const ignoring = await labFor(server, { hostKeys: 'ignore', knownHosts: file })
    expect(await echo(ignoring.connect())).toBe('hello')
  })

  it('ends when the controller is gone, or has given up', async () => {
    for (const code of ['link-lost', 'cancelled', 'not-allowed'] as const) {
      for (const local of [true, false]) {
        const lab = await labFor(server)
        lab.onWay = () => Promise.reject(new RametError(code, 'nobody answers'))
        const error = await failure(lab.connect({ keys: lab.target.keys.map((key) => ({ ...key, local })) }))
        expect([error.code, lab.asked.length]).toEqual([code, 1])
      }
    }
  })

  it('can be closed while the controller thinks', async () => {
    const lab = await labFor(server)
    const asked = new Promise<void>((resolve) => (lab.onWay = () => {
      resolve()
      return new Promise(() => {})
    }))
    const connection = lab.connect()
    const io = new Collector(connection.open('cat'))
    await asked
    await connection.close()
    expect([io.closed, (await connection.ready.catch((error: RametError) => error) as RametError).code]).toEqual([1, 'closed'])
  })
})

describe.skipIf(!haveDropbear)('SSH from a hop to dropbear (left out where there is none, or nobody is root)', () => {
  let server: TestServer
  beforeAll(async () => void (server = await startDropbear()))
  afterAll(() => server.stop())

  it('takes one question', async () => {
    const lab = await labFor(server)
    expect(await echo(lab.connect())).toBe('hello')
    expect(lab.asked).toEqual(['sign'])
  })

  it('connects a second time when the server hangs up on a refused key, and the controller allows that once', async () => {
    const lab = await labFor(server, { identityFile: [makeKey(server.dir, `wrong${Date.now()}`), server.keyFile] })
    expect(await echo(lab.connect())).toBe('hello')
    // Whether it still asks for the second key in the first connection depends on how fast dropbear hangs up.
    expect(lab.asked.join(' ')).toMatch(/^sign (sign )?host sign sign$/)
    expect((await failure(lab.connect())).code).toBe('not-allowed')
  })
})

/** ssh2's own server in this process, for servers that behave as no real one here does. */
describe('SSH from a hop to an odd server', () => {
  type Auth = (context: ssh2.AuthContext) => void
  const start = async (ident: string, onAuth: Auth, onConnection: (connection: ssh2.Connection) => void = () => {}) => {
    const hostKey = newKey()
    const methods: string[] = []
    const server = new ssh2.Server({ hostKeys: [hostKey], ident }, (connection) => {
      onConnection(connection)
      connection.on('error', () => {})
      connection.on('authentication', (context) => {
        methods.push(context.method)
        onAuth(context)
      })
      connection.on('session', (accept) => void accept().on('exec', (acceptExec) => {
        const channel = acceptExec()
        channel.on('data', (bytes: Buffer) => channel.write(bytes))
        channel.on('end', () => {
          channel.exit(0)
          channel.end()
        })
      }))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
    const { port } = server.address() as { port: number }
    return { host: '127.0.0.1', port, user: 'me', methods, [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())) }
  }
  const accepting = (context: ssh2.AuthContext): void => context.accept()
  const passwords = (context: ssh2.AuthContext): void => (context.method === 'password' && context.password === 'right' ? context.accept() : context.reject(['password']))
  const options = { hostKeys: () => true, identityFile: [] as string[] }

  it('asks about the host first, and for the password when the server wants one', async () => {
    await using server = await start('Odd_1.0', passwords)
    const lab = await hopLab(server, { ...options, password: 'right' })
    expect(await echo(lab.connect())).toBe('hello')
    expect([lab.asked, server.methods]).toEqual([['host', 'password'], ['none', 'password']])
  })

  it('sends a password once, and does not have it sent up for a server that takes none', async () => {
    await using server = await start('Odd_1.0', passwords)
    const lab = await hopLab(server, { ...options, password: 'wrong' })
    expect((await failure(lab.connect())).code).toBe('auth-failed')
    expect([lab.asked, server.methods]).toEqual([['host', 'password'], ['none', 'password']])
    await using keysOnly = await start('Odd_1.0', (context) => context.reject(['publickey']))
    const unasked = await hopLab(keysOnly, { ...options, password: 'right' })
    expect((await failure(unasked.connect())).code).toBe('auth-failed')
    expect(unasked.asked).toEqual(['host'])
  })

  it('asks a person at the controller, by the controller\'s own words', async () => {
    await using server = await start('Odd_1.0', passwords)
    const seen: PromptRequest[] = []
    const lab = await hopLab(server, { ...options, prompt: async (request) => (seen.push(request) === 2 ? 'right' : 'guess') })
    expect(await echo(lab.connect())).toBe('hello')
    expect(seen).toEqual([1, 2].map(() => ({ kind: 'password', path: ['bastion', 'web1'], text: 'Password for me@127.0.0.1: ' })))
  })

  it('carries questions and answers of keyboard-interactive', async () => {
    await using server = await start('Odd_1.0', (context) => {
      if (context.method !== 'keyboard-interactive') return context.reject(['keyboard-interactive'])
      context.prompt([{ prompt: 'Password: ', echo: false }], (password) => {
        context.prompt([{ prompt: 'Code \x1b[5m: ', echo: true }], (code) => (password[0] === 'pw' && code[0] === '42' ? context.accept() : context.reject()))
      })
    })
    const seen: PromptRequest[] = []
    const lab = await hopLab(server, { ...options, password: 'pw', prompt: async (request) => (seen.push(request), '42') })
    expect(await echo(lab.connect())).toBe('hello')
    expect(lab.asked).toEqual(['host', 'password', 'interactive'])
    expect(seen).toEqual([{ kind: 'interactive', path: ['bastion', 'web1'], text: 'Code ?[5m: ' }])
  })

  it('answers nothing that the server asks while the controller thinks', async () => {
    type Inside = { _authsQueue: string[]; _handlers: Record<string, unknown>; ping(): void; serviceAccept(name: string): void; authSuccess(): void; rekey(): void }
    let connected: ssh2.Connection | undefined
    await using server = await start('OpenSSH_9.9', accepting, (connection) => (connected = connection))
    const lab = await hopLab(server, options)
    const answers: string[] = []
    lab.onWay = async () => {
      await settle(20)
      const protocol = (connected as unknown as { _protocol: Inside })._protocol
      for (const name of ['REQUEST_FAILURE', 'SERVICE_REQUEST', 'USERAUTH_REQUEST', 'CHANNEL_OPEN', 'CHANNEL_REQUEST']) protocol._handlers[name] = () => answers.push(name)
      protocol.ping()
      protocol.serviceAccept('ssh-userauth')
      protocol._authsQueue.push('publickey')
      protocol.authSuccess()
      // When the key exchange that follows is over, the hop has read all of it.
      const exchanged = new Promise<void>((resolve) => connected?.once('rekey', () => resolve()))
      protocol.rekey()
      await exchanged
      throw new RametError('host-key-unknown', 'never seen', { stage: 'host-key' })
    }
    const error = await failure(lab.connect())
    expect([error.code, lab.asked, answers]).toEqual(['host-key-unknown', ['host'], []])
  })

  it('bears a key exchange while the controller thinks, and not one with another host key', async () => {
    type Inside = { _protocol: { _hostKeys: Record<string, unknown>; rekey(): void } }
    for (const change of [false, true]) {
      let connected: ssh2.Connection | undefined
      await using server = await start('Odd_1.0', accepting, (connection) => (connected = connection))
      const lab = await hopLab(server, options)
      let exchanged = (): void => {}
      lab.onWay = async () => {
        // The server is through with the first exchange.
        await settle(20)
        const { _protocol: protocol } = connected as unknown as Inside
        if (change) protocol._hostKeys['ssh-ed25519'] = ssh2.utils.parseKey(newKey())
        const done = new Promise<void>((resolve) => (exchanged = resolve))
        connected?.once('rekey', () => exchanged())
        protocol.rekey()
        await (change ? new Promise(() => {}) : done)
      }
      if (change) expect((await failure(lab.connect())).code).toBe('host-key-changed')
      else expect(await echo(lab.connect())).toBe('hello')
    }
  })

  it('ends the connection when a later key exchange shows another host key', async () => {
    let connected: ssh2.Connection | undefined
    await using server = await start('Odd_1.0', accepting, (connection) => (connected = connection))
    const lab = await hopLab(server, options)
    const connection = lab.connect()
    const io = new Collector(connection.open('cat'))
    await connection.ready
    const { _protocol: protocol } = connected as unknown as { _protocol: { _hostKeys: Record<string, unknown>; rekey(): void } }
    protocol._hostKeys['ssh-ed25519'] = ssh2.utils.parseKey(newKey())
    protocol.rekey()
    await io.until(() => io.closed > 0)
    expect(io.cause).toMatchObject({ code: 'host-key-changed', stage: 'host-key' })
    await connection.close()
  })
})
