import type { Clock } from '../base/clock.ts'
import type { Ask, HopKey, HopRequest, HopSshTarget, HostProof } from '../connect/hop.ts'
import { connectSsh2 } from '../connect/ssh2.ts'
import { Pace } from '../connect/pace.ts'
import type { HostAuthority } from '../connect/ssh2-host-key.ts'
import type { PromptRequest } from '../connect/ssh2-secrets.ts'
import type { SshKey } from '../connect/ssh-key.ts'
import type { Connection } from '../connect/transport.ts'
import type { ServiceChannel } from '../modules/service.ts'
import { RametError, type Stage } from '../router/errors.ts'
import type { HopHost } from './hop-host.ts'
import type { Connect } from './child.ts'
import { openRawWith, openWith } from './parent.ts'

/** All logins that leave from this machine. */
const pace = new Pace()

export interface FromHopOptions {
  /** How messages name the target. */
  name: string
  clock: Clock
  signal?: AbortSignal | undefined
  /** Hears how far it has come. */
  stage?: ((stage: Stage) => void) | undefined
}

/**
 * Connects by ssh2 from a machine that holds no key and knows no host: the controller says whether the host key is the
 * right one, signs, and gives passwords. Until it has answered nothing but the key exchange leaves.
 */
export function connectFromHop(target: HopSshTarget, ask: Ask, { name, clock, signal, stage }: FromHopOptions): Connection {
  const { host, port, user, keys, rules, reachTime, hostKeyAlgorithms, kex, cipher, hmac } = target
  const upward = new Upward(ask, name)
  return connectSsh2({
    host, port, user, name, clock, signal, rules, reachTime, hostKeyAlgorithms,
    algorithms: { kex, cipher, hmac },
    turn: pace.turn(`${host}:${port}`),
    keys: keys.map((key, index) => upward.key(key, index)),
    password: target.password ? () => upward.text('password', '') : undefined,
    prompt: target.prompt ? ({ kind, text }: PromptRequest) => upward.text(kind === 'interactive' ? kind : 'password', text) : undefined,
    hostAuthority: upward,
    // The controller has a timer for the whole of it, which stands still while a person is asked.
    timeout: 0,
    onStage: stage,
  })
}

/** The controller, as one connection asks it: each question carries the proof of the server that it is about. */
class Upward implements HostAuthority {
  private readonly ask: Ask
  private readonly name: string
  private proof: HostProof | undefined
  /** The proof with which the controller has answered something, which it does for the right host key alone. */
  private accepted: HostProof | undefined

  constructor(ask: Ask, name: string) {
    this.ask = ask
    this.name = name
  }

  proven(proof: HostProof): void {
    this.proof = proof
  }

  async confirm(): Promise<unknown> {
    const proof = this.proofOf()
    return this.accepted === proof || (await this.ask({ ask: 'host', proof })) === true
  }

  key({ publicBlob, type, comment, local }: HopKey, index: number): SshKey {
    return { publicBlob, type, comment, local, sign: (data, algorithm) => this.sign(index, data, algorithm) }
  }

  async text(ask: 'password' | 'interactive', text: string): Promise<string> {
    const answer = await this.ask({ ask, proof: this.proofOf(), text })
    if (typeof answer !== 'string') throw this.nonsense()
    return answer
  }

  private async sign(key: number, data: Uint8Array, algorithm: string): Promise<Uint8Array> {
    // The controller does not sign with SHA-1 for a hop, so it is not asked.
    if (algorithm.startsWith('ssh-rsa')) {
      throw new RametError('key-unreadable', `${this.name}: the server takes RSA signatures with SHA-1 only, which are not made for a hop`, {
        stage: 'auth', outcome: 'not-sent', hint: 'Use an ed25519 key, or a newer server.' })
    }
    const proof = this.proofOf()
    const signature = await this.ask({ ask: 'sign', proof, key, algorithm, data })
    if (!(signature instanceof Uint8Array)) throw this.nonsense()
    this.accepted = proof
    return signature
  }

  private proofOf(): HostProof {
    if (this.proof === undefined) throw new RametError('protocol-error', `${this.name}: asked for before the server has proven who it is`, { stage: 'host-key' })
    return this.proof
  }

  private nonsense(): RametError {
    return new RametError('protocol-error', `${this.name}: the controller's answer is none`, { stage: 'auth' })
  }
}

const connect = (host: HopHost): Connect => (ask, { target, name }, moved) => {
  if (target.kind !== 'ssh') throw new RametError('not-supported', `${name}: not by ssh2`)
  return connectFromHop(target, ask, { name, clock: host.clock, stage: moved })
}

/** As parent.ts's, for SSH targets. */
export function open(channel: ServiceChannel, host: HopHost, request: HopRequest): void {
  openWith(channel, host, request, connect(host))
}

export function openRaw(channel: ServiceChannel, host: HopHost, request: HopRequest): void {
  openRawWith(channel, host, request, connect(host))
}

export { start } from './parent.ts'
