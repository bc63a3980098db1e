import { RametError, isRametError } from '../router/errors.ts'
import { fingerprint } from './key-blob.ts'

/** What a host-key verifier gets to see. */
export interface OfferedHostKey {
  host: string
  port: number
  /** 'ssh-ed25519', … */
  type: string
  /** The key as SSH sends it. */
  blob: Uint8Array
  /** 'SHA256:…', as ssh-keygen -l prints it. */
  fingerprint: string
}

/** Only the literal `true` accepts. May throw a RametError (host-key-unknown, host-key-changed, …) that says why not. */
export type HostKeyVerifier = (key: OfferedHostKey) => unknown

/**
 * Decides on the host key of one connection, once. ssh2 shows a key before it has checked that the server can sign with
 * it; the verifier is asked only afterwards (nothing of ours has been sent by then), so a first key that gets saved is
 * one that the server owns. Key exchanges that follow must show the same key.
 */
export class HostKeyGate {
  state: 'waiting' | 'offered' | 'accepted' | 'denied' = 'waiting'
  private blob: Buffer | undefined
  private readonly host: string
  private readonly port: number
  private readonly name: string
  private readonly verify: HostKeyVerifier

  constructor(host: string, port: number, name: string, verify: HostKeyVerifier) {
    this.host = host
    this.port = port
    this.name = name
    this.verify = verify
  }

  /** ssh2's verifier: true lets the key exchange go on. */
  offered(blob: Buffer): boolean {
    if (this.state === 'waiting') {
      this.blob = Buffer.from(blob)
      this.state = 'offered'
      return true
    }
    return this.state === 'accepted' && this.blob?.equals(blob) === true
  }

  /** Called when the server has proven the key. Throws unless the verifier said `true`. */
  decide(): void {
    const blob = this.blob
    if (this.state !== 'offered' || blob === undefined) throw this.denied(undefined)
    this.state = 'denied'
    let verdict: unknown
    try {
      verdict = this.verify(this.describe(blob))
    } catch (error) {
      throw isRametError(error) ? error : this.denied(error)
    }
    // A promise is not awaited: a verifier that is async by mistake must not let anybody in.
    if (verdict !== true) {
      if (verdict instanceof Promise) verdict.catch(() => {})
      throw this.denied(undefined)
    }
    this.state = 'accepted'
  }

  /** The error for a key exchange that showed another key than the first one. */
  changed(): RametError {
    return new RametError('host-key-changed', `${this.name}: the host key changed while the connection was open`, {
      stage: 'host-key', path: [this.name], hint: 'Treat the network as hostile; find out who answers for this host.',
    })
  }

  private describe(blob: Buffer): OfferedHostKey {
    const length = blob.length >= 4 ? blob.readUInt32BE(0) : 0
    const type = blob.toString('latin1', 4, 4 + Math.min(length, 64))
    return { host: this.host, port: this.port, type, blob, fingerprint: fingerprint(blob) }
  }

  private denied(cause: unknown): RametError {
    const key = this.blob === undefined ? undefined : this.describe(this.blob)
    return new RametError('host-key-refused', `${this.name}: host key ${key ? `${key.type} ${key.fingerprint} ` : ''}was not accepted`, {
      stage: 'host-key', path: [this.name], outcome: 'not-sent', cause,
      hint: 'Compare the fingerprint with the server\'s own (ssh-keygen -l) and add the key to known_hosts; a verifier must return true, not a promise.',
    })
  }
}
