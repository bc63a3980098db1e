import { randomFillSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import ssh2 from 'ssh2'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RametError } from '../../src/router/errors.ts'
import { type Ssh2Options, connectSsh2 } from '../../src/connect/ssh2.ts'
import type { PromptRequest } from '../../src/connect/ssh2-secrets.ts'
import type { OfferedHostKey } from '../../src/connect/ssh2-host-key.ts'
import { isEncryptedKey, lockedKey, privateKey } from '../../src/connect/ssh2-key.ts'
import { knownServer } from '../../src/connect/ssh2-session.ts'
import type { Connection } from '../../src/connect/transport.ts'
import { newKey } from '../helpers/new-key.ts'
import { settle, TestClock } from '../helpers/test-clock.ts'
import { Collector } from '../helpers/process-io.ts'
import { type TestServer, freePort, haveSshd, makeKey, startSshd } from '../helpers/sshd.ts'
import { type TcpServer, startRelay, startTcp } from '../helpers/tcp.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const failure = async (connection: Connection): Promise<RametError> => {
  const error: unknown = await connection.ready.then(() => undefined, (reason: unknown) => reason)
  await connection.close()
  if (!(error instanceof RametError)) throw new Error(`expected a RametError, got ${String(error)}`)
  return error
}

describe.skipIf(!haveSshd)('ssh2 with a real sshd (left out where there is none)', () => {
  let server: TestServer
  beforeAll(async () => void (server = await startSshd({ hostKeyTypes: ['ed25519', 'rsa', 'ecdsa'] })))
  afterAll(() => server.stop())
  const options = (more: Partial<Ssh2Options> = {}): Ssh2Options => ({
    host: server.host, port: server.port, user: server.user, keys: [privateKey(server.key, { comment: 'id' })],
    verifyHostKey: () => true, ...more,
  })
  const run = async (more: Partial<Ssh2Options>, command = 'cat', input = 'x'): Promise<string> => {
    const connection = connectSsh2(options(more))
    const started = connection.open(command)
    const io = new Collector(started)
    started.pipe.write(Buffer.from(input))
    started.pipe.end()
    await connection.ready
    await started.exited
    await connection.close()
    return io.text
  }

  it.each([
    ['undefined', () => undefined], ['1', () => 1], ['"yes"', () => 'yes'], ['false', () => false], ['null', () => null],
    ['a promise of true', () => Promise.resolve(true)], ['an object', () => ({})],
    ['a rejected promise', () => Promise.reject(new Error('no'))], ['a throw', () => { throw new Error('no') }],
  ])('refuses the host key when the verifier gives %s, and sends no login', async (_, verifyHostKey) => {
    await using relay = await startRelay(server.port)
    const error = await failure(connectSsh2(options({ verifyHostKey, port: relay.port, keys: [{
      publicBlob: new Uint8Array(0), type: 'ssh-ed25519', comment: 'must not be asked', local: true,
      sign: () => { throw new Error('asked for a signature') } }] })))
    expect([error.code, error.stage, error.outcome]).toEqual(['host-key-refused', 'host-key', 'not-sent'])
    expect(error.message).toMatch(/ssh-ed25519 SHA256:/)
  })

  it('passes on the error that a verifier throws', async () => {
    const unknown = new RametError('host-key-unknown', 'nobody knows it', { stage: 'host-key', hint: 'ask' })
    expect(await failure(connectSsh2(options({ verifyHostKey: () => { throw unknown } })))).toBe(unknown)
  })

  it('shows the verifier the key as ssh-keygen does, once though the server rekeys', async () => {
    await using rekeying = await startSshd({ config: ['RekeyLimit 300K', 'LogLevel DEBUG1'] })
    const seen: OfferedHostKey[] = []
    const connection = connectSsh2(options({ port: rekeying.port, keys: [privateKey(rekeying.key, { comment: 'id' })],
      verifyHostKey: (key) => seen.push(key) === 1 }))
    const started = connection.open('cat')
    const io = new Collector(started)
    for (let i = 0; i < 30; i++) started.pipe.write(Buffer.alloc(100_000, i))
    started.pipe.end()
    await started.exited
    expect(io.bytes).toBe(3_000_000)
    await connection.close()
    expect(seen).toHaveLength(1)
    expect(`${seen[0]?.type} ${Buffer.from(seen[0]?.blob ?? []).toString('base64')}`).toBe(rekeying.hostKeys[0])
    expect([seen[0]?.host, seen[0]?.port]).toEqual(['127.0.0.1', rekeying.port])
    expect(seen[0]?.fingerprint).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/)
    expect(rekeying.log().match(/SSH2_MSG_KEXINIT received/g)?.length).toBeGreaterThan(3)
  })

  it.each(['ssh-rsa', 'ecdsa-sha2-nistp256', 'ssh-ed25519'])('asks for host keys of type %s only', async (type) => {
    const seen: string[] = []
    const names = type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [type]
    expect(await run({ hostKeyAlgorithms: names, verifyHostKey: (key) => seen.push(key.type) === 1 })).toBe('x')
    expect(seen).toEqual([type])
  })

  it('sends login, channel, command and first bytes before the login is answered', async () => {
    // Three packets in clear text: KEXINIT, the key exchange's reply, NEWKEYS. Nothing that the server says later gets through.
    await using relay = await startRelay(server.port, 3)
    const connection = connectSsh2(options({ port: relay.port }))
    const started = connection.open('cat')
    const io = new Collector(started)
    started.pipe.write(early)
    await new Promise<void>((resolve) => (relay.onClient = () => relay.fromClient > 20_000 && resolve()))
    expect([io.bytes, io.closed]).toEqual([0, 0])
    relay.release()
    await io.until(() => io.bytes === 20_000)
    started.pipe.write(later)
    await io.until(() => io.bytes === 21_000)
    expect(io.buffer.equals(Buffer.concat([early, later]))).toBe(true)
    await connection.close()
  })

  it('sends channel, command and first bytes together with an agent\'s signature, once the server wants the key', async () => {
    // From the moment of signing no answer gets through any more.
    await using relay = await startRelay(server.port)
    const good = privateKey(server.key, { comment: 'id' })
    let atSignature = 0
    let wentOn = false
    const connection = connectSsh2(options({ port: relay.port, keys: [{ ...good, local: false, sign: async (data, algorithm) => {
      atSignature = relay.fromClient
      for (const socket of relay.sockets) socket.cork()
      return good.sign(data, algorithm)
    } }] }))
    const started = connection.open('cat')
    const io = new Collector(started)
    started.pipe.write(early)
    void connection.ready.then(() => (wentOn = true))
    await new Promise<void>((resolve) => (relay.onClient = () => relay.fromClient > 20_000 && resolve()))
    expect([atSignature < 5000, wentOn, io.bytes]).toEqual([true, false, 0])
    for (const socket of relay.sockets) socket.uncork()
    await io.until(() => io.bytes === 20_000)
    expect(io.buffer.equals(early)).toBe(true)
    await connection.close()
  })

  it('with flight slow waits for each answer', async () => {
    await using relay = await startRelay(server.port, 3)
    const connection = connectSsh2(options({ port: relay.port, flight: 'slow' }))
    const started = connection.open('cat')
    const io = new Collector(started)
    started.pipe.write(early)
    const reached = new Promise<number>((resolve) => {
      relay.onClient = () => setImmediate(() => resolve(relay.fromClient))
    })
    expect(await reached).toBeLessThan(5000)
    relay.release()
    await io.until(() => io.bytes === 20_000)
    expect(io.buffer.equals(early)).toBe(true)
    await connection.close()
  })

  it.each(['rsa', 'ecdsa', 'ed25519'] as const)('logs in with a key of type %s', async (keyType) => {
    await using other = await startSshd({ keyType })
    for (const flight of ['auto', 'slow'] as const) {
      expect(await run({ port: other.port, keys: [privateKey(other.key, { comment: 'id' })], flight })).toBe('x')
    }
  })

  it('names the keys it tried and what the server offers when all are refused', async () => {
    const wrong = privateKey(readFileSync(makeKey(server.dir, `wrong${Date.now()}`), 'utf8'), { comment: '~/.ssh/wrong' })
    const connection = connectSsh2(options({ keys: [wrong, { ...wrong, comment: 'agent key', local: false }] }))
    const io = new Collector(connection.open('cat'))
    const error = await failure(connection)
    expect([error.code, error.stage, error.path]).toEqual(['auth-failed', 'auth', [connection.name]])
    expect(error.message).toMatch(/tried key ~\/.ssh\/wrong, key agent key; the server offers publickey/)
    expect([io.closed, io.cause]).toEqual([1, error])
  })

  it('asks the server first about a key that would cost a signature, and never signs with a refused one', async () => {
    const wrong = privateKey(readFileSync(makeKey(server.dir, `agent${Date.now()}`), 'utf8'), { comment: 'wrong' })
    let signatures = 0
    const agent = { ...wrong, local: false, sign: () => { signatures++; return new Uint8Array(0) } }
    const good = privateKey(server.key, { comment: 'id' })
    expect(await run({ keys: [agent, { ...good, local: false, sign: async (data, algorithm) => good.sign(data, algorithm) }] })).toBe('x')
    expect(signatures).toBe(0)
  })

  it('asks for a passphrase only when the server wants the key, and stops the clock meanwhile', async () => {
    const file = makeKey(server.dir, `locked${Date.now()}`, 'ed25519', 'open sesame')
    const text = readFileSync(file, 'utf8')
    expect([isEncryptedKey(text), isEncryptedKey(server.key)]).toEqual([true, false])
    expect(privateKey(text, { comment: 'x', passphrase: 'open sesame' }).type).toBe('ssh-ed25519')
    expect(() => privateKey(text, { comment: 'x', passphrase: 'wrong' })).toThrow(expect.objectContaining({ code: 'key-unreadable' }))
    expect(() => privateKey(readFileSync(`${file}.pub`, 'utf8'), { comment: 'x' })).toThrow(expect.objectContaining({ code: 'key-unreadable' }))
    await using other = await startSshd()
    const { appendFileSync } = await import('node:fs')
    let asked = 0
    const clock = new TestClock()
    const key = lockedKey(text, file, async () => {
      asked++
      clock.advance(3_600_000)
      return 'open sesame'
    })
    if (key === undefined) throw new Error('no key')
    const refused = connectSsh2(options({ port: other.port, keys: [key] }))
    expect((await failure(refused)).code).toBe('auth-failed')
    expect(asked).toBe(0)
    appendFileSync(`${other.dir}/authorized_keys`, readFileSync(`${file}.pub`))
    expect(await run({ port: other.port, keys: [key], clock })).toBe('x')
    expect([asked, clock.pending]).toEqual([1, 0])
  })

  it('reports a server that refuses more sessions, and goes on', async () => {
    await using small = await startSshd({ config: ['MaxSessions 1'] })
    const connection = connectSsh2(options({ port: small.port, keys: [privateKey(small.key, { comment: 'id' })] }))
    const first = connection.open('cat')
    const firstIo = new Collector(first)
    await connection.ready
    const second = connection.open('true')
    const io = new Collector(second)
    expect(await second.exited).toEqual({ exitCode: null, signal: null })
    expect(io.cause).toMatchObject({ code: 'launch-failed', stage: 'launch' })
    expect((io.cause as RametError).hint).toMatch(/MaxSessions/)
    first.pipe.write(Buffer.from('still here'))
    await firstIo.until(() => firstIo.text === 'still here')
    await connection.close()
  })

  it('says which list has no common algorithm', async () => {
    await using modern = await startSshd({ config: ['KexAlgorithms sntrup761x25519-sha512@openssh.com'] })
    const error = await failure(connectSsh2(options({ port: modern.port })))
    expect([error.code, error.stage]).toEqual(['algorithm-mismatch', 'host-key'])
    expect(error.hint).toMatch(/openssh/)
  })

  it('is told when the server dies: pipes, exits and the connection, once', async () => {
    const own = await startSshd()
    const connection = connectSsh2(options({ port: own.port, keys: [privateKey(own.key, { comment: 'id' })] }))
    const started = connection.open('cat')
    const io = new Collector(started)
    await connection.ready
    const causes: (Error | undefined)[] = []
    connection.onClose((cause) => causes.push(cause))
    await own.stop()
    await io.until(() => io.closed > 0)
    expect(io.cause).toMatchObject({ code: 'link-lost', outcome: 'unknown' })
    expect(await started.exited).toEqual({ exitCode: null, signal: null })
    expect(causes).toHaveLength(1)
    started.pipe.write(Buffer.from('into the void'))
    await connection.close()
    expect([io.closed, started.pipe.pending]).toEqual([1, 0])
  })

  it('can be aborted while the login is under way', async () => {
    await using relay = await startRelay(server.port, 3)
    const abort = new AbortController()
    const clock = new TestClock()
    const connection = connectSsh2(options({ port: relay.port, signal: abort.signal, clock }))
    const io = new Collector(connection.open('cat'))
    await new Promise<void>((resolve) => (relay.onClient = () => relay.fromClient > 1300 && resolve()))
    abort.abort(new Error('enough'))
    const error = await failure(connection)
    expect([error.code, error.stage]).toEqual(['cancelled', 'auth'])
    expect([io.closed, io.cause, clock.pending]).toEqual([1, error, 0])
  })

  it('ends with an error when the login is not answered in time', async () => {
    await using relay = await startRelay(server.port, 3)
    const clock = new TestClock()
    const connection = connectSsh2(options({ port: relay.port, clock, timeout: 5000 }))
    connection.open('cat')
    await new Promise<void>((resolve) => (relay.onClient = () => relay.fromClient > 1300 && resolve()))
    clock.advance(5000)
    const error = await failure(connection)
    expect([error.code, error.stage, error.outcome]).toEqual(['connect-timeout', 'auth', 'not-sent'])
  })
})

/** No two pieces are alike: what changes places shows. */
const early = randomFillSync(Buffer.alloc(20_000))
const later = randomFillSync(Buffer.alloc(1000))

describe('ssh2 and servers that fail early', () => {
  const options = (port: number, more: Partial<Ssh2Options> = {}): Ssh2Options =>
    ({ host: '127.0.0.1', port, user: 'nobody', keys: [], verifyHostKey: () => true, random: () => 0.5, ...more })
  const accepted = (server: TcpServer, count: number): Promise<void> => new Promise((resolve) => {
    const look = (): void => void (server.taken() >= count ? resolve() : setImmediate(look))
    look()
  })

  it('reports a refused port', async () => {
    const error = await failure(connectSsh2(options(await freePort())))
    expect([error.code, error.stage, error.path]).toEqual(['connect-refused', 'tcp', [expect.stringContaining('nobody@127.0.0.1')]])
  })

  it('reports a name without address', async () => {
    const error = await failure(connectSsh2(options(22, { host: 'no-such-host.invalid' })))
    expect([error.code, error.stage]).toEqual(['resolve-failed', 'resolve'])
  })

  it('gives up on a port that takes connections and never answers', async () => {
    await using hole = await startTcp()
    const clock = new TestClock()
    const connection = connectSsh2(options(hole.port, { clock, timeout: 20_000 }))
    const io = new Collector(connection.open('cat'))
    await accepted(hole, 1)
    for (let i = 0; i < 5; i++) await turn()
    clock.advance(19_999)
    await turn()
    expect(io.closed).toBe(0)
    clock.advance(1)
    const error = await failure(connection)
    expect([error.code, error.stage, io.cause]).toEqual(['connect-timeout', 'host-key', error])
    expect(clock.pending).toBe(0)
  })

  it('can be aborted before, and while TCP connects', async () => {
    expect((await failure(connectSsh2(options(1, { signal: AbortSignal.abort() })))).code).toBe('cancelled')
    const abort = new AbortController()
    let given: AbortSignal | undefined
    const connection = connectSsh2(options(1, { signal: abort.signal, dial: (signal) => {
      given = signal
      return new Promise(() => {})
    } }))
    await turn()
    abort.abort()
    expect((await failure(connection)).code).toBe('cancelled')
    expect(given?.aborted).toBe(true)
  })

  it('tries eight times, more and more slowly, when the server hangs up before it says who it is', async () => {
    await using busy = await startTcp((socket) => socket.end('Exceeded MaxStartups\r\n'))
    const clock = new TestClock()
    const connection = connectSsh2(options(busy.port, { clock }))
    const done = failure(connection)
    for (let tries = 1; tries < 8; tries++) {
      await accepted(busy, tries)
      // The connect timer and the one until the next try.
      while (clock.pending < 2) await turn()
      clock.advance(3600)
    }
    const error = await done
    expect([error.code, error.stage, busy.taken()]).toEqual(['connect-failed', 'tcp', 8])
    expect(error.message).toMatch(/Exceeded MaxStartups/)
    expect(error.hint).toMatch(/PerSourcePenalties/)
    expect(clock.pending).toBe(0)
  })

  it('does not try again where the server says that it shuts us out', async () => {
    await using server = await startTcp((socket) => socket.end('Not allowed at this time\r\n'))
    const error = await failure(connectSsh2(options(server.port)))
    expect([error.code, server.taken()]).toEqual(['connect-failed', 1])
  })

  it('says so when something else than SSH answers', async () => {
    await using server = await startTcp((socket) => socket.write(`SSH-nonsense \x1b[31m\r\n`))
    const error = await failure(connectSsh2(options(server.port)))
    expect([error.code, error.stage]).toEqual(['connect-failed', 'tcp'])
    expect(error.message).toMatch(/no SSH server/)
    expect(error.message).not.toContain('\x1b')
  })

  it('survives junk instead of a key exchange', async () => {
    await using server = await startTcp((socket) => socket.write(Buffer.concat([Buffer.from('SSH-2.0-Junk\r\n'), Buffer.alloc(100_000, 255)])))
    const error = await failure(connectSsh2(options(server.port)))
    expect([error.code, error.stage]).toEqual(['protocol-error', 'host-key'])
  })

  it('knows by name the servers that may be sent everything at once', () => {
    for (const ident of ['OpenSSH_9.2p1', 'OpenSSH_7.4', 'OpenSSH_10.0p2', 'dropbear_2022.83']) expect(knownServer(ident)).toBeDefined()
    for (const ident of ['', 'OpenSSH_5.3', 'OpenSSH_for_Windows_9.5', 'dropbear_2014.63', 'libssh_0.9.6', 'Teleport', 'XOpenSSH_9.9', 'ssh2js1.17.0']) {
      expect(knownServer(ident)).toBeUndefined()
    }
  })
})

/** ssh2's own server in this process, for servers that behave as no real one here does. */
describe('ssh2 and an odd server', () => {
  type Auth = (context: ssh2.AuthContext) => void
  const start = async (ident: string, onAuth: Auth, onConnection: (connection: ssh2.Connection) => void = () => {}) => {
    const hostKey = newKey()
    const counts = { methods: [] as string[], execs: 0 }
    const server = new ssh2.Server({ hostKeys: [hostKey], ident }, (connection) => {
      onConnection(connection)
      connection.on('error', () => {})
      connection.on('authentication', (context) => {
        counts.methods.push(context.method)
        onAuth(context)
      })
      connection.on('session', (accept) => {
        accept().on('exec', (acceptExec) => {
          counts.execs++
          const channel = acceptExec()
          channel.on('data', (bytes: Buffer) => channel.write(bytes))
          channel.on('end', () => {
            channel.exit(0)
            channel.end()
          })
        })
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
    const { port } = server.address() as { port: number }
    return { port, counts, [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())) }
  }
  const key = (): ReturnType<typeof privateKey> => privateKey(newKey(), { comment: 'id' })
  const options = (port: number, more: Partial<Ssh2Options>): Ssh2Options =>
    ({ host: '127.0.0.1', port, user: 'me', verifyHostKey: () => true, ...more })
  const echo = async (connection: Connection): Promise<string> => {
    const started = connection.open('anything')
    const io = new Collector(started)
    started.pipe.write(Buffer.from('payload'))
    started.pipe.end()
    await connection.ready
    expect(await started.exited).toEqual({ exitCode: 0, signal: null })
    await connection.close()
    return io.text
  }

  it('goes the slow way with an unknown server: nothing but the login before it is answered', async () => {
    let relayed = 0
    let atLogin = 0
    await using server = await start('Odd_1.0', (context) => setImmediate(() => {
      atLogin = relayed
      context.accept()
    }))
    await using relay = await startRelay(server.port)
    relay.onClient = () => (relayed = relay.fromClient)
    const connection = connectSsh2(options(relay.port, { keys: [key()] }))
    const started = connection.open('cat')
    const io = new Collector(started)
    started.pipe.write(Buffer.alloc(10_000))
    await io.until(() => io.bytes === 10_000)
    await connection.close()
    expect(atLogin).toBeGreaterThan(500)
    expect(atLogin).toBeLessThan(5000)
    expect(server.counts.methods).toEqual(['publickey'])
  })

  it('fails cleanly when a server that calls itself OpenSSH ends the connection at what was sent ahead', async () => {
    await using server = await start('OpenSSH_9.9', (context) => context.reject(['publickey']))
    const error = await failure(connectSsh2(options(server.port, { keys: [key()] })))
    expect(error.code).toBe('auth-failed')
  })

  it('sends a given password once, to the method that the server offers', async () => {
    await using server = await start('Odd_1.0', (context) => {
      if (context.method === 'password' && context.password === 'right') context.accept()
      else context.reject(['password'])
    })
    expect(await echo(connectSsh2(options(server.port, { password: 'right' })))).toBe('payload')
    expect(server.counts.methods).toEqual(['none', 'password'])
    server.counts.methods.length = 0
    const error = await failure(connectSsh2(options(server.port, { password: 'wrong' })))
    expect([error.code, server.counts.methods]).toEqual(['auth-failed', ['none', 'password']])
    expect(error.message).not.toContain('wrong')
  })

  it('answers a hidden question with the password, and other questions by the prompt', async () => {
    await using server = await start('Odd_1.0', (context) => {
      if (context.method !== 'keyboard-interactive') return context.reject(['keyboard-interactive'])
      context.prompt([{ prompt: 'Password: ', echo: false }], (password) => {
        context.prompt([{ prompt: 'Code \x1b[5m: ', echo: true }, { prompt: 'Pet: ', echo: false }], (more) => {
          if (password[0] === 'pw' && more.join() === '42,Rex') context.accept()
          else context.reject()
        })
      })
    })
    const asked: PromptRequest[] = []
    const connection = connectSsh2(options(server.port, { name: 'web1', password: 'pw', prompt: async (request) => {
      asked.push(request)
      return request.text.includes('Code') ? '42' : 'Rex'
    } }))
    expect(await echo(connection)).toBe('payload')
    expect(asked).toEqual([{ kind: 'interactive', path: ['web1'], text: 'Code ?[5m: ' }, { kind: 'interactive', path: ['web1'], text: 'Pet: ' }])
  })

  it('asks a person three times at most, and says prompt-needed where nobody can be asked', async () => {
    await using server = await start('Odd_1.0', (context) => context.reject(['password']))
    let asked = 0
    const error = await failure(connectSsh2(options(server.port, { prompt: async () => `guess ${++asked}` })))
    expect([error.code, asked, server.counts.methods]).toEqual(['auth-failed', 3, ['none', 'password', 'password', 'password']])
    const unasked = await failure(connectSsh2(options(server.port, {})))
    expect([unasked.code, unasked.stage]).toEqual(['prompt-needed', 'auth'])
    const refused = await failure(connectSsh2(options(server.port, { prompt: () => Promise.reject(new Error('no terminal')) })))
    expect(refused.code).toBe('prompt-needed')
  })

  it('ends the connection when a later key exchange shows another host key', async () => {
    let other: ssh2.Connection | undefined
    await using server = await start('Odd_1.0', (context) => context.accept(), (connection) => (other = connection))
    const connection = connectSsh2(options(server.port, { keys: [key()] }))
    const io = new Collector(connection.open('cat'))
    await connection.ready
    const inside = other as unknown as { _protocol: { _hostKeys: Record<string, unknown>; rekey(): void } }
    inside._protocol._hostKeys['ssh-ed25519'] = ssh2.utils.parseKey(newKey())
    inside._protocol.rekey()
    await io.until(() => io.closed > 0)
    expect(io.cause).toMatchObject({ code: 'host-key-changed', stage: 'host-key' })
    await connection.close()
  })

  it('close waits until the server has said how a process ended that has closed its output', async () => {
    let channel: ssh2.ServerChannel | undefined
    const server = new ssh2.Server({ hostKeys: [newKey()], ident: 'Odd_1.0' }, (connection) => {
      connection.on('error', () => {})
      connection.on('authentication', (context) => context.accept())
      connection.on('session', (accept) => void accept().on('exec', (grant) => void (channel = grant())))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
    const clock = new TestClock()
    const { port } = server.address() as { port: number }
    const end = async (say: (channel: ssh2.ServerChannel) => void): Promise<void> => {
      const connection = connectSsh2(options(port, { keys: [key()], clock }))
      const started = connection.open('cat')
      const io = new Collector(started)
      await expect.poll(() => channel).toBeDefined()
      const other = channel as ssh2.ServerChannel
      channel = undefined
      other.eof()
      await io.until(() => io.closed > 0)
      let ended = false
      connection.onClose(() => (ended = true))
      const closing = connection.close()
      expect(connection.close()).toBe(closing)
      await settle()
      expect(ended).toBe(false)
      say(other)
      await closing
      expect(ended).toBe(true)
    }
    // ssh2's own method sends nothing after an EOF.
    type Inside = { outgoing: { id: number }; _client: { _protocol: { exitSignal(id: number, name: string, core: boolean, text: string): void } } }
    await end((other) => {
      const { outgoing, _client: client } = other as unknown as Inside
      client._protocol.exitSignal(outgoing.id, 'KILL', false, '')
    })
    await end((other) => other.close())
    // One that closes its output and lives on is not waited for.
    await end(() => clock.advance(500))
    await new Promise<void>((resolve) => server.close(() => resolve()))
  })

  it('reports a server that refuses the command', async () => {
    const hostKey = newKey()
    const server = new ssh2.Server({ hostKeys: [hostKey], ident: 'Odd_1.0' }, (connection) => {
      connection.on('error', () => {})
      connection.on('authentication', (context) => context.accept())
      connection.on('session', (accept) => void accept().on('exec', (_, reject) => reject()))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
    const connection = connectSsh2(options((server.address() as { port: number }).port, { keys: [key()] }))
    const io = new Collector(connection.open('cat'))
    await connection.ready
    await io.until(() => io.closed > 0)
    expect(io.cause).toMatchObject({ code: 'launch-failed', stage: 'launch' })
    await connection.close()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  })
})
