import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createPublicKey, verify } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Clock } from '../../src/base/clock.ts'
import { SshAgent, agentFlags, agentSshKey } from '../../src/connect/agent.ts'
import { sshString } from '../../src/connect/key-blob.ts'
import { loginKeys } from '../../src/connect/ssh2-identities.ts'
import { fakeKey, hasProgram, makeKey, readPublicKey, temporaryDirectory } from './ssh-keys.ts'
import type { TestKey } from './ssh-keys.ts'

const dir = temporaryDirectory()
const open: { close(): void }[] = []
afterEach(() => { for (const each of open.splice(0)) each.close() })
afterAll(() => dir.remove())

function agentAt(path: string, options: ConstructorParameters<typeof SshAgent>[1] = {}): SshAgent {
  const agent = new SshAgent(path, options)
  open.push(agent)
  return agent
}

describe.skipIf(!hasProgram('ssh-agent'))('beside the real ssh-agent', () => {
  let process_: ChildProcess
  const socket = dir.file('agent')
  const keys = {} as Record<'ed25519' | 'ecdsa' | 'rsa', TestKey>

  function add(path: string): void {
    execFileSync('ssh-add', ['-q', path], { env: { ...process.env, SSH_AUTH_SOCK: socket }, stdio: 'ignore' })
  }

  beforeAll(async () => {
    process_ = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' })
    for (const kind of ['ed25519', 'ecdsa', 'rsa'] as const) keys[kind] = makeKey(dir.file(kind), kind, '', `my ${kind} key`)
    await vi.waitUntil(() => existsSync(socket), { interval: 5, timeout: 5000 })
    const ca = makeKey(dir.file('ca'))
    execFileSync('ssh-keygen', ['-q', '-s', ca.path, '-I', 'me', '-n', 'deploy', `${keys.ed25519.path}.pub`], { stdio: 'ignore' })
    for (const key of Object.values(keys)) add(key.path)
  })
  afterAll(async () => {
    const ended = new Promise((resolve) => process_.once('exit', resolve))
    process_.kill()
    await ended
  })

  test('lists what ssh-add lists, with types and comments, certificates too', async () => {
    const listed = await agentAt(socket).identities()
    const lines = execFileSync('ssh-add', ['-L'], { env: { ...process.env, SSH_AUTH_SOCK: socket }, encoding: 'utf8' }).trim().split('\n')
    expect(listed.map(({ type, blob, comment }) => `${type} ${Buffer.from(blob).toString('base64')} ${comment}`)).toEqual(lines)
    expect(listed.map(({ type }) => type).sort()).toEqual(['ecdsa-sha2-nistp256', 'ssh-ed25519', 'ssh-ed25519-cert-v01@openssh.com', 'ssh-rsa'])
    expect(listed.map(({ comment }) => comment)).toContain('my ecdsa key')
  })

  test('signs with every type of key so that the signature verifies, RSA with the hash asked for', async () => {
    const agent = agentAt(socket)
    const data = Buffer.from('to be signed')
    const signed = (bytes: Uint8Array): { algorithm: string; signature: Buffer } => {
      const buffer = Buffer.from(bytes)
      const length = buffer.readUInt32BE(0)
      return { algorithm: buffer.toString('latin1', 4, 4 + length), signature: buffer.subarray(8 + length) }
    }
    const pem = (kind: 'rsa' | 'ecdsa'): string => execFileSync('ssh-keygen', ['-e', '-m', 'PKCS8', '-f', `${keys[kind].path}.pub`], { encoding: 'utf8' })
    for (const [algorithm, hash] of [['rsa-sha2-256', 'sha256'], ['rsa-sha2-512', 'sha512']] as const) {
      const { algorithm: used, signature } = signed(await agent.sign(keys.rsa.blob, data, agentFlags(algorithm)))
      expect(used).toBe(algorithm)
      expect(verify(hash, data, createPublicKey(pem('rsa')), signature)).toBe(true)
    }
    const ed25519 = signed(await agent.sign(keys.ed25519.blob, data))
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(keys.ed25519.blob).subarray(-32).toString('base64url') }, format: 'jwk' })
    expect(verify(null, data, key, ed25519.signature)).toBe(true)
    expect(verify(null, Buffer.from('else'), key, ed25519.signature)).toBe(false)
    expect(signed(await agent.sign(keys.ecdsa.blob, data)).algorithm).toBe('ecdsa-sha2-nistp256')
  })

  test('answers many questions at once in their order, over one connection', async () => {
    const agent = agentAt(socket)
    const [first, signature, second] = await Promise.all([agent.identities(), agent.sign(keys.ed25519.blob, Buffer.from('x')), agent.identities()])
    expect(first).toEqual(second)
    expect(signature.length).toBeGreaterThan(64)
    const large = await agent.sign(keys.ed25519.blob, Buffer.alloc(100_000))
    expect(large.length).toBe(signature.length)
  })

  test('a key that the agent does not hold is refused in words, and the connection lives on', async () => {
    const agent = agentAt(socket)
    await expect(agent.sign(fakeKey().blob, Buffer.from('x'))).rejects.toMatchObject({ code: 'key-unreadable', stage: 'auth', message: expect.stringContaining('refused to sign') as string })
    expect(await agent.identities()).toHaveLength(4)
  })

  test('as a key to log in with it signs with the algorithm asked for; a bare key signs for its certificate', async () => {
    const agent = agentAt(socket)
    const rsa = (await agent.identities()).find(({ type }) => type === 'ssh-rsa')
    if (rsa === undefined) throw new Error('no RSA key')
    const key = agentSshKey(agent, rsa)
    expect(key).toMatchObject({ publicBlob: rsa.blob, type: 'ssh-rsa', comment: 'my rsa key', local: false })
    expect(Buffer.from(await key.sign(Buffer.from('x'), 'rsa-sha2-512')).toString('latin1', 4, 16)).toBe('rsa-sha2-512')
    await expect(key.sign(Buffer.from('x'), 'rsa-sha2-1024')).rejects.toMatchObject({ code: 'key-unreadable' })
    const certificate = { ...readPublicKey(`${keys.ed25519.path}-cert`), type: 'ssh-ed25519-cert-v01@openssh.com', comment: 'c' }
    const signature = await agentSshKey(agent, certificate, keys.ed25519.blob).sign(Buffer.from('x'), certificate.type)
    expect(Buffer.from(signature).toString('latin1', 4, 15)).toBe('ssh-ed25519')
  })

  test('closing twice is harmless, and a closed agent refuses', async () => {
    const agent = agentAt(socket)
    await agent.identities()
    agent.close()
    agent.close()
    expect(agent.state).toBe('closed')
    await expect(agent.identities()).rejects.toMatchObject({ code: 'key-unreadable', message: expect.stringContaining('closed') as string })
  })

  test('an idle connection does not keep the process alive', () => {
    const bundle = dir.file('idle.mjs')
    execFileSync('node_modules/.bin/esbuild', ['src/connect/agent.ts', '--bundle', '--platform=node', '--format=esm', `--outfile=${bundle}`, '--log-level=error'])
    const program = `import { SshAgent } from ${JSON.stringify(bundle)}; console.log((await new SshAgent(${JSON.stringify(socket)}).identities()).length)`
    expect(execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', timeout: 10_000 })).toBe('4\n')
  })
})

describe('a bad agent', () => {
  let count = 0
  /** Calls `serve` for each request of each connection. */
  async function fake(serve: (socket: Socket, request: Buffer) => void): Promise<string> {
    const path = dir.file(`fake_${count++}`)
    const sockets = new Set<Socket>()
    const server: Server = createServer((socket) => {
      sockets.add(socket)
      socket.on('error', () => {})
      let bytes = Buffer.alloc(0)
      socket.on('data', (chunk: Buffer) => {
        bytes = Buffer.concat([bytes, chunk])
        while (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32BE(0)) {
          const end = 4 + bytes.readUInt32BE(0)
          serve(socket, bytes.subarray(4, end))
          bytes = bytes.subarray(end)
        }
      })
    })
    await new Promise<void>((resolve) => server.listen(path, resolve))
    open.push({ close: () => { for (const socket of sockets) socket.destroy(); server.close() } })
    return path
  }
  const number = (value: number): Buffer => { const out = Buffer.alloc(4); out.writeUInt32BE(value); return out }
  const list = (total: number, ...strings: (string | Uint8Array)[]): Buffer => sshString(Buffer.concat([Buffer.of(12), number(total), ...strings.map(sshString)]))

  test.each([
    ['no socket', () => Promise.resolve(dir.file('nothing')), /cannot be reached/],
    ['a socket path that is too long', () => Promise.resolve(`/${'x'.repeat(500)}`), /cannot be reached/],
    ['one that hangs up', () => fake((socket) => socket.end()), /hung up/],
    ['a reply of 4 GiB', () => fake((socket) => socket.write(Buffer.alloc(4, 255))), /announced a reply of 4294967295 bytes/],
    ['an empty reply', () => fake((socket) => socket.write(Buffer.alloc(4))), /announced a reply of 0 bytes/],
    ['another message', () => fake((socket) => socket.write(sshString(Buffer.of(6)))), /message 6 in place of 12/],
    ['a refusal', () => fake((socket) => socket.write(sshString(Buffer.of(5)))), /did not list its keys/],
    ['a cut list', () => fake((socket) => socket.write(sshString(Buffer.of(12, 0)))), /cut short/],
    ['a list with less than it says', () => fake((socket) => socket.write(list(2, fakeKey().blob, 'one'))), /cut short/],
    ['a list with a string beyond its end', () => fake((socket) => socket.write(sshString(Buffer.concat([Buffer.of(12), number(1), number(0xffffffff)])))), /cut short/],
    ['a million keys', () => fake((socket) => socket.write(list(1_000_000))), /1000000 keys; 2048 is the limit/],
  ] as [string, () => Promise<string>, RegExp][])('%s is an error in words, and leaves nothing waiting', async (_, make, words) => {
    const agent = agentAt(await make())
    await expect(agent.identities()).rejects.toMatchObject({
      code: 'key-unreadable', stage: 'auth', message: expect.stringMatching(words) as string, hint: expect.stringContaining('ssh-add -l') as string,
    })
  })

  test('that is silent costs the time limit and no more; the next question is asked on a new connection', async () => {
    let answers = false
    const path = await fake((socket) => { if (answers) socket.write(list(1, fakeKey().blob, 'late')) })
    const timers: { ms: number; fn: () => void; on: boolean }[] = []
    const clock: Clock = { now: () => 0, after: (ms, fn) => { const timer = { ms, fn, on: true }; timers.push(timer); return () => { timer.on = false } } }
    const agent = agentAt(path, { clock, timeout: 3000, signTimeout: 60_000 })
    const listing = agent.identities()
    const signing = agent.sign(fakeKey().blob, Buffer.from('x'))
    expect(timers.map(({ ms }) => ms)).toEqual([3000, 60_000])
    timers[0]?.fn()
    await expect(listing).rejects.toMatchObject({ code: 'key-unreadable', message: expect.stringContaining('within 3 s') as string })
    await expect(signing).rejects.toMatchObject({ code: 'key-unreadable' })
    expect(timers.filter(({ on }) => on)).toEqual([])
    expect(agent.state).toBe('idle')
    answers = true
    expect(await agent.identities()).toMatchObject([{ type: 'ssh-ed25519', comment: 'late' }])
  })

  test('that answers in single bytes is understood; entries that are no keys are left out, comments made printable', async () => {
    const key = fakeKey()
    const token = Buffer.concat([sshString('sk-ssh-ed25519@openssh.com'), sshString(Buffer.alloc(32)), sshString('ssh:')])
    const path = await fake((socket) => {
      for (const byte of list(3, key.blob, 'bad\u001b[31m\ncomment', 'junk', 'j', token, 'token')) socket.write(Buffer.of(byte))
    })
    expect(await agentAt(path).identities()).toEqual([
      { blob: Buffer.from(key.blob), type: 'ssh-ed25519', comment: 'bad?[31m?comment' },
      { blob: token, type: 'sk-ssh-ed25519@openssh.com', comment: 'token' },
    ])
  })

  test('that speaks unasked loses the connection, and nothing else', async () => {
    const path = await fake((socket) => socket.write(Buffer.concat([list(0), list(0)])))
    const agent = agentAt(path)
    expect(await agent.identities()).toEqual([])
    expect(agent.state).toBe('idle')
    expect(await agent.identities()).toEqual([])
  })

  test('closing ends what is being asked', async () => {
    const agent = agentAt(await fake(() => {}))
    const question = agent.identities()
    agent.close()
    await expect(question).rejects.toMatchObject({ code: 'key-unreadable', message: expect.stringContaining('closed') as string })
  })

})

// Bounded below the time for which the agent itself would be waited for.
test('an agent that does not answer is waited for no longer when nobody waits for the keys', async () => {
  const path = dir.file('silent')
  const server = createServer().listen(path)
  open.push({ close: () => void server.close() })
  const controller = new AbortController()
  const none = { pubkeyAcceptedAlgorithms: undefined, identityFiles: [], identityFilesGiven: false, certificateFiles: [], identitiesOnly: false, passphrase: undefined, askPassphrase: undefined }
  const asking = loginKeys({ ...none, path: ['web1'], identityAgent: path, signal: controller.signal })
  const [socket] = await once(server, 'connection') as [Socket]
  await once(socket, 'data')
  controller.abort()
  const { keys, close } = await asking
  expect(keys).toEqual([])
  await once(socket.resume(), 'close')
  close()
}, 5000)
