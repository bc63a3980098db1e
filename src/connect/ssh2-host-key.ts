import { RametError, isRametError } from '../router/errors.ts'
import type { HostProof } from './hop.ts'
import { fingerprint, keyType } from './key-blob.ts'

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
 * Decides on host keys somewhere else: on a hop that is the controller. No function of a user ever becomes one: those are
 * verifiers, which answer at once.
 */
export interface HostAuthority {
  /** Told what the server has proven before anything is asked. */
  proven(proof: HostProof): void
  /** Resolves with the literal `true` when that key is the right one; rejects with the RametError that says why not. */
  confirm(): Promise<unknown>
}

/** Who decides. Without either no key is accepted; with both the authority is the one. */
export interface HostKeyDecision {
  verify?: HostKeyVerifier | undefined
  authority?: HostAuthority | undefined
}

/**
 * Decides on the host key of one connection, once. ssh2 shows a key before it has checked that the server can sign with
 * it; the verifier is asked only afterwards (nothing of ours has been sent by then), so a first key that gets saved is
 * one that the server owns. Key exchanges that follow must show the same key.
 */
export class HostKeyGate {
  state: 'waiting' | 'offered' | 'asking' | 'accepted' | 'denied' = 'waiting'
  private blob: Buffer | undefined
  private signature: Buffer | undefined
  private readonly host: string
  private readonly port: number
  private readonly name: string
  private readonly decision: HostKeyDecision

  constructor(host: string, port: number, name: string, decision: HostKeyDecision) {
    this.host = host
    this.port = port
    this.name = name
    this.decision = decision
  }

  /** ssh2's verifier: true lets the key exchange go on. `signature`: the server's over the exchange's hash, not verified yet. */
  offered(blob: Buffer, signature: Buffer): boolean {
    if (this.state === 'waiting') {
      this.blob = Buffer.from(blob)
      this.signature = signature
      this.state = 'offered'
      return true
    }
    return (this.state === 'accepted' || this.state === 'asking') && this.blob?.equals(blob) === true
  }

  /**
   * Called when the server has proven the key. True: the verifier said `true`. False: it is decided elsewhere, and nothing
   * may be sent until confirm() has resolved. Throws when the key is refused.
   */
  decide(sessionId: Uint8Array): boolean {
    const { blob, signature, decision: { verify, authority } } = this
    if (this.state !== 'offered' || blob === undefined || signature === undefined) throw this.denied(undefined)
    this.state = 'denied'
    this.signature = undefined
    if (authority !== undefined) {
      authority.proven({ blob, signature, sessionId })
      this.state = 'asking'
      return false
    }
    let verdict: unknown
    try {
      verdict = verify?.(this.describe(blob))
    } catch (error) {
      throw isRametError(error) ? error : this.denied(error)
    }
    // A promise is not awaited: a verifier that is async by mistake must not let anybody in.
    if (verdict !== true) {
      if (verdict instanceof Promise) verdict.catch(() => {})
      throw this.denied(undefined)
    }
    this.state = 'accepted'
    return true
  }

  /** Asks the authority; only after decide() returned false. Rejects when the key is refused. */
  async confirm(): Promise<void> {
    const { authority } = this.decision
    if (this.state !== 'asking' || authority === undefined) throw this.denied(undefined)
    let verdict: unknown
    try {
      verdict = await authority.confirm()
    } catch (error) {
      this.state = 'denied'
      throw isRametError(error) ? error : this.denied(error)
    }
    this.state = verdict === true ? 'accepted' : 'denied'
    if (verdict !== true) throw this.denied(undefined)
  }

  /** The error for a key exchange that showed another key than the first one. */
  changed(): RametError {
    return new RametError('host-key-changed', `${this.name}: the host key changed while the connection was open`, {
      stage: 'host-key', path: [this.name], hint: 'Treat the network as hostile; find out who answers for this host.',
    })
  }

  private describe(blob: Buffer): OfferedHostKey {
    return offeredHostKey(this.host, this.port, blob)
  }

  private denied(cause: unknown): RametError {
    const key = this.blob === undefined ? undefined : this.describe(this.blob)
    return new RametError('host-key-refused', `${this.name}: host key ${key ? `${key.type} ${key.fingerprint} ` : ''}was not accepted`, {
      stage: 'host-key', path: [this.name], outcome: 'not-sent', cause,
      hint: 'Compare the fingerprint with the server\'s own (ssh-keygen -l) and add the key to known_hosts; a verifier must return true, not a promise.',
    })
  }
}

/** A host key as verifiers see it. */
export function offeredHostKey(host: string, port: number, blob: Uint8Array): OfferedHostKey {
  return { host, port, type: keyType(blob) ?? '', blob, fingerprint: fingerprint(blob) }
}
