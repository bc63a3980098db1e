import { execFileSync } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs'
import { connect as connectSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { SshAgent } from '../../src/connect/agent.ts'
import { AgentServer } from '../../src/connect/agent-server.ts'
import type { Ask, HopKey, HopOpensshTarget, HopQuestion } from '../../src/connect/hop.ts'
import { sshString } from '../../src/connect/key-blob.ts'
import { loginData, publicKeyRequest } from '../../src/connect/userauth.ts'
import type { ConnectOptions } from '../../src/controller/api.ts'
import type { Jumps } from '../../src/controller/jump-way.ts'
import { LogBook } from '../../src/controller/logs.ts'
import { hopWayByOpenssh } from '../../src/controller/reach-hop-openssh.ts'
import { Pace } from '../../src/connect/pace.ts'
import { RametError } from '../../src/router/errors.ts'
import { opensshFromHop } from '../../src/remote-stub/hop-openssh.ts'
import { newSession } from '../controller/guard-lab.ts'
import { TestHostKey } from '../helpers/host-key.ts'
import { LogRecords } from '../helpers/log-records.ts'
import { Collector } from '../helpers/process-io.ts'
import { type TestServer, haveSshd, makeKey, startSshd } from '../helpers/sshd.ts'

const runtime = mkdtempSync(join(tmpdir(), 'run-'))
const before = process.env['XDG_RUNTIME_DIR']
process.env['XDG_RUNTIME_DIR'] = runtime
afterAll(() => {
  if (before === undefined) delete process.env['XDG_RUNTIME_DIR']
  else process.env['XDG_RUNTIME_DIR'] = before
  rmSync(runtime, { recursive: true })
})

/** Both ends in one process, the hop's ssh being this machine's. Its own known_hosts is left out of it: what is tested is the controller's. */
async function lab(server: TestServer, options: ConnectOptions = {}) {
  const records = new LogRecords()
  const asked: HopQuestion[] = []
  const way = await hopWayByOpenssh({ kind: 'ssh', host: server.host, port: server.port, user: server.user },
    { agent: true, sshConfig: false, identityFile: server.keyFile, knownHosts: server.knownHosts, ...options }, {
      name: 'web1', path: ['bastion', 'web1'], clock: systemClock, signal: new AbortController().signal, prompting: () => {},
      unfinished: () => {}, heed: () => {}, book: new LogBook(records.logger), jumps: {} as Jumps, pace: new Pace(),
    })
  const ask: Ask = async (question) => {
    asked.push(question)
    return way.answer(question)
  }
  const connect = (change: Partial<HopOpensshTarget> = {}) =>
    opensshFromHop({ ...way.target as HopOpensshTarget, hostKeys: 'ignore', ...change }, ask, { name: 'bastion > web1', clock: systemClock })
  return { way, records, asked, connect }
}

describe.skipIf(!haveSshd)('the ssh of a hop with the controller\'s keys behind an agent socket (left out where there is no sshd)', () => {
  let server: TestServer
  let other: TestServer
  beforeAll(async () => void ([server, other] = await Promise.all([startSshd(), startSshd()])))
  afterAll(() => Promise.all([server.stop(), other.stop()]))

  it('logs in by one signature, bound to the host\'s key, and leaves nothing behind', async () => {
    const { asked, connect, records } = await lab(server)
    const connection = connect()
    const started = connection.open('cat')
    const io = new Collector(started)
    started.pipe.write(Buffer.from('hello'))
    await io.until(() => io.bytes === 5)
    const directories = readdirSync(runtime)
    expect(directories).toHaveLength(2)
    for (const name of directories) expect(statSync(join(runtime, name)).mode & 0o777).toBe(0o700)
    started.pipe.end()
    await started.exited
    await connection.close()
    await connection.close()
    expect(readdirSync(runtime)).toEqual([])
    expect(asked.map(({ ask }) => ask)).toEqual(['sign'])
    expect(asked[0]?.ask === 'sign' && Buffer.from(asked[0].data).includes('publickey-hostbound-v00@openssh.com')).toBe(true)
    expect(records.all.filter(({ level }) => level === 'info')).toMatchObject([{ fields: { context: 'bastion > web1', user: server.user, algorithm: 'ssh-ed25519' } }])
  })

  it.each(['rsa', 'ecdsa'] as const)('logs in with a key of type %s', async (keyType) => {
    await using own = await startSshd({ keyType, hostKeyTypes: [keyType] })
    const { asked, connect } = await lab(own)
    const connection = connect()
    const started = connection.open('echo in')
    const io = new Collector(started)
    await started.exited
    expect([io.text, asked.length]).toEqual(['in\n', 1])
    await connection.close()
  })

  it.each(['ed25519', 'rsa'] as const)('logs in with a certificate of a key of type %s, which ssh asks for by the name of the bare key', async (type) => {
    const dir = mkdtempSync(join(tmpdir(), 'ramet-cert-'))
    try {
      const authority = makeKey(dir, 'authority')
      await using own = await startSshd({ config: [`TrustedUserCAKeys ${authority}.pub`] })
      const identityFile = makeKey(dir, 'own', type)
      execFileSync('ssh-keygen', ['-q', '-s', authority, '-I', 'test', '-n', own.user, `${identityFile}.pub`], { stdio: 'ignore' })
      const { connect, records } = await lab(own, { identityFile })
      const connection = connect()
      const started = connection.open('echo in')
      const io = new Collector(started)
      await started.exited
      expect(io.text).toBe('in\n')
      await connection.close()
      expect(records.all.filter(({ level }) => level !== 'debug')).toMatchObject([{ level: 'info', fields: { algorithm: expect.stringMatching(/-cert-v01@openssh\.com$/) as string } }])
    } finally {
      rmSync(dir, { recursive: true })
    }
  })

  it('gets no signature for another host than the one meant, though that would take the key', async () => {
    appendFileSync(`${other.dir}/authorized_keys`, readFileSync(`${server.keyFile}.pub`))
    const { asked, connect, records } = await lab(server)
    const connection = connect({ port: other.port })
    const io = new Collector(connection.open('cat'))
    const error = await connection.ready.then(() => expect.fail('it was let in'), (reason: RametError) => reason)
    expect(error.code).toBe('auth-failed')
    await connection.close()
    expect([io.closed, asked.length]).toEqual([1, 1])
    expect(records.all.filter(({ level }) => level !== 'debug')).toMatchObject([{ level: 'warn', fields: { code: 'host-key-changed' } }])
    expect(other.log()).not.toMatch(/Accepted publickey/)
    expect(readdirSync(runtime)).toEqual([])
  })

  it('needs a place in RAM for the socket', async () => {
    const { connect } = await lab(server)
    process.env['XDG_RUNTIME_DIR'] = '/nowhere'
    const used = existsSync('/dev/shm') ? readdirSync('/dev/shm').filter((name) => name.startsWith('ramet-')) : []
    try {
      const connection = connect()
      const there = readdirSync('/dev/shm').filter((name) => name.startsWith('ramet-') && !used.includes(name))
      expect(there).toHaveLength(1)
      await connection.close()
      expect(existsSync(`/dev/shm/${there[0]}`)).toBe(false)
    } finally {
      process.env['XDG_RUNTIME_DIR'] = runtime
    }
  })

  it.each([
    ['a function for host keys', { hostKeys: () => true }], ['a password', { password: 'x' }],
    ['a key file of this machine without an agent', { agent: false, identityFile: '/k', knownHosts: undefined, sshConfig: undefined }],
  ] as [string, ConnectOptions][])('says what %s cannot do there', async (_, options) => {
    const error = await lab(server, options).then(() => expect.fail('it was taken'), (reason: RametError) => reason)
    expect([error.code, error.path]).toEqual(['config-invalid', ['bastion', 'web1']])
  })

  it('without an agent is told nothing of ours', async () => {
    const { way } = await lab(server, { agent: false, identityFile: undefined, knownHosts: undefined, sshConfig: undefined })
    expect(way.target).toEqual({ kind: 'openssh', host: server.host, port: server.port, user: server.user, hostKeys: undefined, agent: undefined })
    await expect(way.answer({ ask: 'become', text: '' })).rejects.toMatchObject({ code: 'not-allowed' })
  })
})

describe('an agent socket on a hop', () => {
  const host = new TestHostKey('ssh-ed25519')
  const key: HopKey = { publicBlob: Buffer.concat([sshString('ssh-ed25519'), sshString(Buffer.alloc(32, 7))]), type: 'ssh-ed25519', comment: 'id', local: true }
  const bind = (sessionId: Buffer, forwarding = 0, more = Buffer.alloc(0)): Buffer => Buffer.concat([Buffer.of(27), sshString('session-bind@openssh.com'),
    sshString(host.blob), sshString(sessionId), sshString(host.sign(sessionId)), Buffer.of(forwarding), more])
  const signRequest = (sessionId: Buffer, blob: Uint8Array = key.publicBlob): Buffer =>
    Buffer.concat([Buffer.of(13), sshString(blob), sshString(loginData(sessionId, publicKeyRequest('me', 'ssh-ed25519', key.publicBlob, true))), Buffer.alloc(4)])
  const open = async () => {
    const directory = join(runtime, `agent-${Math.random().toString(36).slice(2)}`)
    mkdirSync(directory)
    const path = join(directory, 'agent')
    const asked: HopQuestion[] = []
    const server = new AgentServer(path, [key], async (question) => {
      asked.push(question)
      return Buffer.from('signature')
    })
    /** Sends requests on one connection and gives the answers' bodies, fewer if it is closed before. */
    const talk = (...requests: Uint8Array[]): Promise<Buffer[]> => new Promise((resolve, reject) => {
      const socket = connectSocket(path)
      let bytes = Buffer.alloc(0)
      const answers: Buffer[] = []
      socket.on('error', reject)
      socket.on('close', () => resolve(answers))
      socket.on('data', (chunk) => {
        bytes = Buffer.concat([bytes, chunk])
        while (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32BE(0)) {
          answers.push(bytes.subarray(4, 4 + bytes.readUInt32BE(0)))
          bytes = bytes.subarray(4 + bytes.readUInt32BE(0))
        }
        if (answers.length === requests.length) socket.destroy()
      })
      for (const request of requests) socket.write(request)
    })
    const close = (): void => {
      server.close()
      server.close()
      rmSync(directory, { recursive: true })
    }
    return { path, asked, talk, server, [Symbol.dispose]: close }
  }
  const codes = (answers: Buffer[]): (number | undefined)[] => answers.map((answer) => answer[0])

  it('lists the keys, as an agent\'s client reads them', async () => {
    using agent = await open()
    const client = new SshAgent(agent.path)
    expect(await client.identities()).toMatchObject([{ type: 'ssh-ed25519', comment: 'id' }])
    await expect(client.sign(key.publicBlob, Buffer.from('anything'))).rejects.toMatchObject({ code: 'key-unreadable' })
    client.close()
    expect(agent.asked).toEqual([])
  })

  it('asks for a signature with the proof that the client has shown', async () => {
    using agent = await open()
    const session = newSession()
    const answers = await agent.talk(sshString(bind(session)), sshString(signRequest(session)))
    expect(codes(answers)).toEqual([6, 14])
    expect(answers[1]?.subarray(5).toString()).toBe('signature')
    expect(agent.asked).toMatchObject([{ ask: 'sign', key: 0, algorithm: 'ssh-ed25519', proof: { blob: host.blob, sessionId: session } }])
  })

  it.each([
    ['no host was shown', [] as Buffer[]],
    ['the agent is forwarded', [bind(newSession(), 1)]],
    ['a second host was shown', [bind(newSession()), bind(newSession())]],
    ['the proof has something behind it', [bind(newSession(), 0, Buffer.of(0))]],
    ['the proof is cut short', [bind(newSession()).subarray(0, -2)]],
    ['another extension was called', [Buffer.concat([Buffer.of(27), sshString('query')])]],
  ])('signs nothing where %s', async (_, first) => {
    using agent = await open()
    const answers = await agent.talk(...[...first, signRequest(newSession())].map((request) => sshString(request)))
    expect(answers.at(-1)).toEqual(Buffer.of(5))
    expect(agent.asked).toEqual([])
  })

  it('signs with no key but those listed, and nothing that is no login', async () => {
    using agent = await open()
    const session = newSession()
    const other = Buffer.concat([sshString('ssh-ed25519'), sshString(Buffer.alloc(32, 8))])
    const sshsig = Buffer.concat([Buffer.of(13), sshString(key.publicBlob), sshString('SSHSIG anything'), Buffer.alloc(4)])
    const answers = await agent.talk(...[bind(session), signRequest(session, other), sshsig, Buffer.of(13), Buffer.of(17), Buffer.of(19), Buffer.of(255)].map((request) => sshString(request)))
    expect(codes(answers)).toEqual([6, 5, 5, 5, 5, 5, 5])
    expect(agent.asked).toEqual([])
  })

  it('hangs up on a request of no length or of too much', async () => {
    using agent = await open()
    for (const length of [0, 256 * 1024 + 1, 0xffffffff]) {
      const header = Buffer.alloc(4)
      header.writeUInt32BE(length, 0)
      expect(await agent.talk(header)).toEqual([])
    }
  })

  it('takes requests in pieces, and answers them in their order', async () => {
    using agent = await open()
    const session = newSession()
    const all = Buffer.concat([Buffer.of(11), bind(session), signRequest(session)].map((request) => sshString(request)))
    const pieces = Array.from({ length: Math.ceil(all.length / 7) }, (_, i) => all.subarray(7 * i, 7 * i + 7))
    const answers = await new Promise<Buffer>((resolve) => {
      const socket = connectSocket(agent.path)
      let bytes = Buffer.alloc(0)
      socket.on('data', (chunk) => {
        bytes = Buffer.concat([bytes, chunk])
        if (bytes.includes('signature')) socket.destroy()
      })
      socket.on('close', () => resolve(bytes))
      for (const piece of pieces) socket.write(piece)
    })
    expect([answers[4], answers.includes('signature')]).toEqual([12, true])
  })

  it('leaves its clients when it is closed', async () => {
    using agent = await open()
    const answers = agent.talk(Buffer.of(0, 0))
    await new Promise((resolve) => setImmediate(resolve))
    agent.server.close()
    await answers.catch(() => [])
    expect(existsSync(agent.path)).toBe(false)
  })
})
