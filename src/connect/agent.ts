import { createConnection } from 'node:net'
import type { Socket } from 'node:net'
import { joinBytes } from '../base/bytes.ts'
import { systemClock } from '../base/clock.ts'
import type { Clock } from '../base/clock.ts'
import { deferred } from '../base/deferred.ts'
import type { Deferred } from '../base/deferred.ts'
import { printableLine } from '../base/printable.ts'
import { RametError } from '../router/errors.ts'
import { MAX_KEY_BLOB, endOfString, keyType, sshString } from './key-blob.ts'
import type { SshKey } from './ssh-key.ts'

/** A key that the agent holds, of whatever type: certificates and keys on tokens (sk-…) too. */
export interface AgentKey {
  /** Public key or certificate as SSH sends it. */
  readonly blob: Uint8Array
  readonly type: string
  /** Control characters replaced; at most 256 characters. */
  readonly comment: string
}

export interface AgentOptions {
  clock?: Clock
  /** Milliseconds for connecting and listing. Default 10 s. */
  timeout?: number
  /** Milliseconds for one signature: a person may have to confirm it or touch a token. Default 2 minutes. */
  signTimeout?: number
}

/** Flags of a signature request, which decide the hash of an RSA signature. */
const AGENT_RSA_SHA2_256 = 2
const AGENT_RSA_SHA2_512 = 4

/** OpenSSH's own limits for what an agent may say. */
const MAX_REPLY = 256 * 1024
const MAX_KEYS = 2048
/** Characters of a comment, a path or an algorithm's name that are shown. */
const LONGEST = 256

const REQUEST_IDENTITIES = 11
const IDENTITIES_ANSWER = 12
const SIGN_REQUEST = 13
const SIGN_RESPONSE = 14
/** SSH_AGENT_FAILURE and its two older forms. */
const FAILURES = [5, 30, 102]

/**
 * A client of one ssh-agent, over its UNIX socket. It connects when first asked, keeps the connection, connects again after the
 * agent has hung up, and does not keep the process alive while nothing is asked. Requests are answered in their order.
 * Everything rejects with RametError 'key-unreadable', stage 'auth'.
 */
export class SshAgent {
  state: 'idle' | 'connected' | 'closed' = 'idle'
  readonly socketPath: string
  private readonly clock: Clock
  private readonly timeout: number
  private readonly signTimeout: number
  private socket: Socket | undefined
  private chunks: Uint8Array[] = []
  private buffered = 0
  /** Bytes that make the next step possible: the four of a length, then the whole reply. */
  private needed = 4
  private readonly waiting: Deferred<Buffer>[] = []

  constructor(socketPath: string, options: AgentOptions = {}) {
    this.socketPath = socketPath
    this.clock = options.clock ?? systemClock
    this.timeout = options.timeout ?? 10_000
    this.signTimeout = options.signTimeout ?? 120_000
  }

  /** In the agent's order. Entries whose type cannot be read are left out. */
  async identities(): Promise<AgentKey[]> {
    const reply = await this.request(Buffer.of(REQUEST_IDENTITIES), IDENTITIES_ANSWER, this.timeout, 'did not list its keys')
    if (reply.length < 5) throw this.broken('sent a list that is cut short')
    const count = reply.readUInt32BE(1)
    if (count > MAX_KEYS) throw this.broken(`says it holds ${count} keys; ${MAX_KEYS} is the limit`)
    const keys: AgentKey[] = []
    let at = 5
    for (let i = 0; i < count; i++) {
      const end = endOfString(reply, at)
      const next = endOfString(reply, end)
      if (next === -1) throw this.broken('sent a list that is cut short')
      const blob = Buffer.from(reply.subarray(at + 4, end))
      const type = keyType(blob)
      if (type !== undefined) keys.push({ blob, type, comment: printableLine(reply.toString('utf8', end + 4, next), LONGEST) })
      at = next
    }
    return keys
  }

  /** Resolves with SSH's signature blob (string algorithm, string signature, for tokens flags and counter). */
  async sign(blob: Uint8Array, data: Uint8Array, flags = 0): Promise<Uint8Array> {
    if (blob.length > MAX_KEY_BLOB) throw this.broken('was asked to sign with something that is no key')
    const tail = Buffer.alloc(4)
    tail.writeUInt32BE(flags, 0)
    const body = Buffer.concat([Buffer.of(SIGN_REQUEST), sshString(blob), sshString(data), tail])
    const reply = await this.request(body, SIGN_RESPONSE, this.signTimeout, 'refused to sign')
    const end = endOfString(reply, 1)
    if (end === -1) throw this.broken('sent a signature that is cut short')
    return Buffer.from(reply.subarray(5, end))
  }

  /** Ends the connection; what is being asked rejects. Harmless when repeated. */
  close(): void {
    this.state = 'closed'
    this.drop(this.broken('is no longer used: it was closed'))
  }

  private async request(body: Buffer, expected: number, timeout: number, refusal: string): Promise<Buffer> {
    if (this.state === 'closed') throw this.broken('is no longer used: it was closed')
    const answer = deferred<Buffer>()
    const socket = this.connect()
    this.waiting.push(answer)
    socket.ref()
    socket.write(sshString(body))
    // An agent that answers late would answer the wrong question: the connection goes with the request.
    const cancel = this.clock.after(timeout, () => this.drop(this.broken(`did not answer within ${timeout / 1000} s`)))
    try {
      const reply = await answer.promise
      if (reply[0] === expected) return reply
      if (FAILURES.includes(reply[0] as number)) throw this.broken(refusal)
      const error = this.broken(`answered with message ${reply[0]} in place of ${expected}`)
      this.drop(error)
      throw error
    } finally {
      cancel()
    }
  }

  private connect(): Socket {
    if (this.socket !== undefined) return this.socket
    const socket = createConnection({ path: this.socketPath })
    this.socket = socket
    this.state = 'connected'
    const lost = (what: string, cause?: unknown): void => {
      if (this.socket === socket) this.drop(this.broken(what, cause))
    }
    socket.on('data', (chunk: Buffer) => {
      if (this.socket === socket) this.receive(chunk)
    })
    socket.on('error', (error) => lost(`cannot be reached: ${error.message}`, error))
    socket.on('close', () => lost('hung up'))
    return socket
  }

  private receive(chunk: Buffer): void {
    this.chunks.push(chunk)
    this.buffered += chunk.length
    while (this.buffered >= this.needed) {
      const joined = joinBytes(this.chunks)
      const bytes = Buffer.from(joined.buffer, joined.byteOffset, joined.length)
      this.chunks = [bytes]
      const length = bytes.readUInt32BE(0)
      if (length < 1 || length > MAX_REPLY) return this.drop(this.broken(`announced a reply of ${length} bytes; ${MAX_REPLY} is the limit`))
      this.needed = 4 + length
      if (bytes.length < this.needed) return
      const answer = this.waiting.shift()
      if (answer === undefined) return this.drop(this.broken('spoke without being asked'))
      this.chunks = [bytes.subarray(4 + length)]
      this.buffered -= 4 + length
      this.needed = 4
      if (this.waiting.length === 0) this.socket?.unref()
      answer.resolve(bytes.subarray(4, 4 + length))
    }
  }

  private drop(error: RametError): void {
    const { socket } = this
    this.socket = undefined
    if (this.state === 'connected') this.state = 'idle'
    this.chunks = []
    this.buffered = 0
    this.needed = 4
    socket?.destroy()
    for (const answer of this.waiting.splice(0)) answer.reject(error)
  }

  private broken(what: string, cause?: unknown): RametError {
    return new RametError('key-unreadable', `ssh-agent at ${printableLine(this.socketPath, LONGEST)} ${what}`, {
      stage: 'auth', cause, hint: 'Check with "ssh-add -l" that the agent runs and holds the key, or give a key with identityFile.',
    })
  }
}

/**
 * A key of the agent as a key to log in with. `signer` is what the agent knows it by: another blob than the one offered where
 * a certificate comes from a file and the agent holds the bare key.
 */
export function agentSshKey(agent: SshAgent, key: AgentKey, signer: Uint8Array = key.blob): SshKey {
  return {
    publicBlob: key.blob, type: key.type, comment: key.comment,
    // The agent may ask its owner, and always needs a turn of the event loop.
    local: false,
    async sign(data, algorithm) {
      const signature = await agent.sign(signer, data, agentFlags(algorithm))
      const plain = algorithm.replace(/-cert-v01@openssh\.com$/, '')
      const bytes = Buffer.from(signature.buffer, signature.byteOffset, signature.length)
      const end = endOfString(bytes, 0)
      const used = end === -1 ? '' : bytes.toString('latin1', 4, end)
      // Old agents know nothing of the flags and sign with SHA-1 all the same; the server would only say "no".
      if (plain.startsWith('rsa-') && used !== plain) {
        throw new RametError('key-unreadable', `the agent signed with ${printableLine(used, LONGEST)} where ${plain} was asked for`, {
          stage: 'auth', hint: 'Use a newer agent, an ed25519 key, or give the key with identityFile.',
        })
      }
      return signature
    },
  }
}

/** Flags for a signature algorithm; 0 for all that are not RSA with SHA-2. */
export function agentFlags(algorithm: string): number {
  if (algorithm.startsWith('rsa-sha2-512')) return AGENT_RSA_SHA2_512
  return algorithm.startsWith('rsa-sha2-256') ? AGENT_RSA_SHA2_256 : 0
}
