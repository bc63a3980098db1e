import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { setTimeout as after } from 'node:timers/promises'
import ssh2 from 'ssh2'
import type { Algorithms, Client, ClientChannel, ParsedKey } from 'ssh2'
import { corked } from './corked.ts'
import type { SshKey } from './ssh-key.ts'
import type { SshAlgorithms } from './ssh2-protocol.ts'

/** How often a channel is asked for again, and ms between. */
const ATTEMPTS = 50
const PAUSE = 10
/** Bytes of stdout that are kept, and of the end of stderr, as of an ssh that the bench starts. */
const MOST = 4 * 1024 * 1024
const TAIL = 4096

export interface Ssh2ClientOptions {
  host: string
  port: number
  user: string
  keys: readonly SshKey[]
  password?: string | undefined
  /** Says whether the host key, as SSH sends it, is the right one. */
  verify(blob: Buffer): boolean
  algorithms: SshAlgorithms
  signal: AbortSignal
  /** A connection to a machine from which the host is reached, as by `ssh -J`. It ends with this one, also where this one fails. */
  through?: Ssh2Client | undefined
}

/**
 * ssh2's own Client, as a program without ramet would use it at its best: one connection, one channel for each command, no Nagle
 * delay and one write for each tick. Only `ramet bench` compares with it.
 */
export class Ssh2Client {
  state: 'open' | 'closed' = 'open'
  readonly #client: Client
  readonly #through: Ssh2Client | undefined

  private constructor(client: Client, through: Ssh2Client | undefined) {
    this.#client = client
    this.#through = through
    client.on('error', () => this.close())
    client.on('close', () => this.close())
  }

  static async connect(options: Ssh2ClientOptions): Promise<Ssh2Client> {
    const { host, port, through, signal } = options
    try {
      const socket = through === undefined ? connect({ host, port }).setNoDelay(true) : await through.#forward(host, port, signal)
      return await Ssh2Client.#over(socket, options)
    } catch (error) {
      through?.close()
      throw error
    }
  }

  static #over(socket: Duplex, { user, keys, password, verify, algorithms, signal, through }: Ssh2ClientOptions): Promise<Ssh2Client> {
    const client = new ssh2.Client()
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        client.destroy()
        reject(signal.reason as Error)
      }
      if (signal.aborted) {
        socket.destroy()
        return abort()
      }
      signal.addEventListener('abort', abort, { once: true })
      const settled = (): void => signal.removeEventListener('abort', abort)
      client.once('error', (error) => {
        settled()
        client.destroy()
        reject(error)
      })
      client.once('ready', () => {
        settled()
        client.removeAllListeners('error')
        resolve(new Ssh2Client(client, through))
      })
      client.connect({
        sock: corked(socket),
        username: user,
        agent: new OurKeys(keys),
        authHandler: password === undefined ? ['agent'] : ['agent', 'password'],
        ...(password === undefined ? {} : { password }),
        hostVerifier: (blob: Buffer) => verify(blob),
        algorithms: algorithms as Algorithms,
      })
    })
  }

  /**
   * Runs a command to its end, and closes its channel when the signal aborts. Resolves to stdout; rejects unless it ends with 0. A
   * channel that the server refuses while it still takes one that was closed for open is asked for again.
   */
  async run(command: string, stdin: string | undefined, signal: AbortSignal): Promise<string> {
    for (let left = ATTEMPTS; ; left--) {
      try {
        return await this.#run(command, stdin, signal)
      } catch (error) {
        if (left === 0 || signal.aborted || !(error instanceof Error && 'reason' in error)) throw error
        await after(PAUSE)
      }
    }
  }

  #run(command: string, stdin: string | undefined, signal: AbortSignal): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.state === 'closed') return reject(new Error('the connection was closed'))
      const lost = (): void => reject(new Error('the connection ended before the command did'))
      this.#client.once('close', lost)
      this.#client.exec(command, (error, channel) => {
        if (error) {
          this.#client.off('close', lost)
          return reject(error)
        }
        collect(channel, stdin, signal).then(resolve, reject).finally(() => this.#client.off('close', lost))
      })
    })
  }

  close(): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    // What comes after our goodbye is nobody's.
    this.#client.on('error', () => {})
    this.#client.end()
    this.#through?.close()
  }

  #forward(host: string, port: number, signal: AbortSignal): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      const lost = (): void => reject(signal.aborted ? signal.reason as Error : new Error('the connection ended before it led on'))
      if (signal.aborted || this.state === 'closed') return lost()
      signal.addEventListener('abort', lost, { once: true })
      this.#client.once('close', lost)
      this.#client.forwardOut('127.0.0.1', 0, host, port, (error, channel) => {
        signal.removeEventListener('abort', lost)
        this.#client.off('close', lost)
        if (error) reject(new Error(`no connection through the hop to ${host} port ${port}: ${error.message}`, { cause: error }))
        else resolve(channel)
      })
    })
  }
}

function collect(channel: ClientChannel, stdin: string | undefined, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const abort = (): void => channel.close()
    // It may have been aborted while the server opened the channel.
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    const stdout: Buffer[] = []
    let kept = 0
    let stderr = ''
    channel.on('data', (bytes: Buffer) => {
      if (kept < MOST) stdout.push(bytes)
      kept += bytes.length
    })
    channel.stderr.on('data', (bytes: Buffer) => (stderr = (stderr + bytes.toString()).slice(-TAIL)))
    channel.once('error', reject)
    channel.once('close', (code: number | null) => {
      signal.removeEventListener('abort', abort)
      if (code === 0) resolve(Buffer.concat(stdout).toString())
      else reject(new Error(`exit code ${code}: ${stderr.trim().slice(-300)}`))
    })
    channel.end(stdin)
  })
}

/** Keys of ours as the agent that ssh2 asks for signatures. It knows neither certificates nor FIDO keys. */
class OurKeys extends ssh2.BaseAgent<ParsedKey> {
  readonly #keys: readonly SshKey[]

  constructor(keys: readonly SshKey[]) {
    super()
    this.#keys = keys
  }

  getIdentities(done: (error?: Error | null, keys?: ParsedKey[]) => void): void {
    const known = this.#keys.map(({ type, publicBlob }) => ssh2.utils.parseKey(`${type} ${Buffer.from(publicBlob).toString('base64')}`))
    done(null, known.filter((key): key is ParsedKey => !(key instanceof Error)))
  }

  sign(publicKey: ParsedKey, data: Buffer, options: { hash?: string } | SignDone, callback?: SignDone): void {
    const done = typeof options === 'function' ? options : callback
    const hash = typeof options === 'function' ? undefined : options.hash
    const blob = publicKey.getPublicSSH()
    const key = this.#keys.find(({ publicBlob }) => blob.equals(publicBlob))
    if (key === undefined) return done?.(new Error('this key is not ours'))
    const algorithm = key.type !== 'ssh-rsa' ? key.type : hash === 'sha512' ? 'rsa-sha2-512' : hash === 'sha256' ? 'rsa-sha2-256' : 'ssh-rsa'
    Promise.resolve().then(() => key.sign(data, algorithm)).then((signature) => done?.(null, withoutName(signature)), (error: Error) => done?.(error))
  }
}

type SignDone = (error?: Error | null, signature?: Buffer) => void

/** ssh2 writes the algorithm's name before the signature itself. */
function withoutName(signature: Uint8Array): Buffer {
  const bytes = Buffer.from(signature)
  const name = bytes.readUInt32BE(0)
  const length = bytes.readUInt32BE(4 + name)
  return bytes.subarray(8 + name, 8 + name + length)
}
