import { type Server, type Socket, createServer } from 'node:net'
import { joinBytes } from '../base/bytes.ts'
import type { Ask, HopKey, HostProof } from './hop.ts'
import { endOfString, isCertificate, plainKey, sameBytes, sshString } from './key-blob.ts'

/** OpenSSH's own limit for what is said to an agent. */
const MAX_REQUEST = 256 * 1024
const MAX_CLIENTS = 16

const FAILURE = Buffer.of(5)
const SUCCESS = Buffer.of(6)
const REQUEST_IDENTITIES = 11
const IDENTITIES_ANSWER = 12
const SIGN_REQUEST = 13
const SIGN_RESPONSE = 14
const EXTENSION = 27
const SESSION_BIND = 'session-bind@openssh.com'
const USERAUTH_REQUEST = 50

/**
 * An ssh-agent for a hop's own ssh: it lists keys that the controller has, and asks it for signatures. It signs for a client only
 * that has shown by session-bind (OpenSSH 8.9 and newer) which host it talks to; what the host's signature is worth the
 * controller finds out. Listens at once; errors of single clients are theirs.
 */
export class AgentServer {
  state: 'listening' | 'closed' = 'listening'
  private readonly server: Server
  private readonly clients = new Set<Socket>()

  constructor(path: string, keys: readonly HopKey[], ask: Ask) {
    this.server = createServer((socket) => {
      this.clients.add(socket)
      socket.on('close', () => this.clients.delete(socket))
      socket.on('error', () => socket.destroy())
      new AgentClient(socket, keys, ask)
    })
    this.server.maxConnections = MAX_CLIENTS
    // ssh says itself that it found no agent.
    this.server.on('error', () => this.close())
    this.server.listen(path)
    // Whoever needs it keeps the process alive.
    this.server.unref()
  }

  close(): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.server.close()
    for (const socket of this.clients) socket.destroy()
  }
}

/** One program that talks to the agent. Its requests are answered in their order, one at a time. */
class AgentClient {
  state: 'idle' | 'answering' | 'closed' = 'idle'
  private readonly socket: Socket
  private readonly keys: readonly HopKey[]
  private readonly ask: Ask
  private chunks: Uint8Array[] = []
  private buffered = 0
  /** The host that it talks to, as that has signed; undefined: it has not said, or it lends us to somebody else. */
  private proof: HostProof | undefined
  private bound = false

  constructor(socket: Socket, keys: readonly HopKey[], ask: Ask) {
    this.socket = socket
    this.keys = keys
    this.ask = ask
    socket.on('data', (chunk) => {
      this.chunks.push(chunk)
      this.buffered += chunk.length
      void this.advance()
    })
    socket.on('close', () => (this.state = 'closed'))
  }

  private async advance(): Promise<void> {
    while (this.state === 'idle') {
      const request = this.next()
      if (request === undefined) return
      this.state = 'answering'
      this.socket.pause()
      const answer = await this.answer(request).catch(() => FAILURE)
      if ((this.state as string) === 'closed') return
      this.state = 'idle'
      this.socket.write(sshString(answer))
      this.socket.resume()
    }
  }

  private next(): Buffer | undefined {
    if (this.buffered < 4) return undefined
    const joined = joinBytes(this.chunks)
    const bytes = Buffer.from(joined.buffer, joined.byteOffset, joined.length)
    this.chunks = [bytes]
    const length = bytes.readUInt32BE(0)
    if (length < 1 || length > MAX_REQUEST) {
      this.socket.destroy()
      return undefined
    }
    if (bytes.length < 4 + length) return undefined
    this.chunks = [bytes.subarray(4 + length)]
    this.buffered -= 4 + length
    return bytes.subarray(4, 4 + length)
  }

  private async answer(request: Buffer): Promise<Buffer> {
    switch (request[0]) {
      case REQUEST_IDENTITIES: {
        const count = Buffer.alloc(4)
        count.writeUInt32BE(this.keys.length, 0)
        return Buffer.concat([Buffer.of(IDENTITIES_ANSWER), count, ...this.keys.flatMap(({ publicBlob, comment }) => [sshString(publicBlob), sshString(comment)])])
      }
      case SIGN_REQUEST:
        return this.sign(request)
      case EXTENSION:
        return this.bind(request)
      default:
        return FAILURE
    }
  }

  private bind(request: Buffer): Buffer {
    const [name, blob, sessionId, signature, end] = strings(request, 1, 4)
    if (name?.toString('latin1') !== SESSION_BIND || blob === undefined || sessionId === undefined || signature === undefined) return FAILURE
    // A second binding is one of somebody further on, and so is a forwarded agent: neither is the login that is meant.
    this.proof = this.bound || request.length !== end + 1 || request[end] !== 0 ? undefined : { blob, sessionId, signature }
    this.bound = true
    return this.proof === undefined ? FAILURE : SUCCESS
  }

  private async sign(request: Buffer): Promise<Buffer> {
    const { proof } = this
    const [blob, data] = strings(request, 1, 2)
    const login = data === undefined ? undefined : loginOf(data)
    if (proof === undefined || blob === undefined || data === undefined || login === undefined) return FAILURE
    // With a certificate ssh asks for its bare key; the login is the certificate's, and so is what the controller looks at.
    const certified = isCertificate(login.algorithm) && sameBytes(plainKey(login.key) ?? login.key, blob) ? login.key : blob
    const key = this.keys.findIndex(({ publicBlob }) => sameBytes(publicBlob, certified))
    if (key === -1) return FAILURE
    const signature = await this.ask({ ask: 'sign', proof, key, algorithm: login.algorithm, data })
    return signature instanceof Uint8Array ? Buffer.concat([Buffer.of(SIGN_RESPONSE), sshString(signature)]) : FAILURE
  }
}

/** The signature algorithm and the public key that a login request names. The controller looks at the rest. */
function loginOf(data: Buffer): { algorithm: string; key: Buffer } | undefined {
  const session = endOfString(data, 0)
  if (session === -1 || data[session] !== USERAUTH_REQUEST) return undefined
  // User, service, method, and a byte before the algorithm.
  const method = endOfString(data, endOfString(data, endOfString(data, session + 1)))
  const [algorithm, key] = method === -1 ? [] : strings(data, method + 1, 2)
  return algorithm === undefined || key === undefined ? undefined : { algorithm: algorithm.toString('latin1'), key }
}

type Strings = [...(Buffer | undefined)[], number]

/** So many strings from `at` on, undefined where one is cut short; last, where they end. */
function strings(bytes: Buffer, at: number, count: 2): [Buffer | undefined, Buffer | undefined, number]
function strings(bytes: Buffer, at: number, count: 4): [Buffer | undefined, Buffer | undefined, Buffer | undefined, Buffer | undefined, number]
function strings(bytes: Buffer, at: number, count: number): Strings {
  const found: (Buffer | undefined)[] = []
  for (let i = 0; i < count; i++) {
    const end = endOfString(bytes, at)
    found.push(end === -1 ? undefined : Buffer.from(bytes.subarray(at + 4, end)))
    at = end
  }
  return [...found, at]
}
