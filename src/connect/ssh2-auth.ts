import { printable } from '../base/printable.ts'
import { RametError, isRametError } from '../router/errors.ts'
import { type LoginMethod, type LoginRules, methodsInOrder } from './login-rules.ts'
import { loginRefused, named } from './ssh2-auth-text.ts'
import { type KeyProblem, type SshKey, signatureAlgorithms } from './ssh-key.ts'
import { type SshProtocol, dataToSign, sendPublicKey } from './ssh2-protocol.ts'
import { type Prompt, Secrets } from './ssh2-secrets.ts'
import { publicKeyRequest } from './userauth.ts'

export interface AuthOptions {
  name: string
  user: string
  keys: readonly SshKey[]
  /** A function is called only when the server wants a password. */
  password?: string | (() => Promise<string>) | undefined
  prompt?: Prompt | undefined
  rules: LoginRules
  /** Why keys that were meant cannot be used, for the error when nothing logs in. */
  problems?: readonly KeyProblem[] | undefined
}

export interface AuthOwner {
  protocol(): SshProtocol | undefined
  /** What the server said it accepts as signature algorithms. */
  offered(): readonly string[] | undefined
  /** The server is one whose habits are known. */
  known(): boolean
  authenticated(): void
  /** Sends the first process behind a login that is as good as accepted; false where that is not safe. */
  goAhead(): boolean
  /** The request that was sent ahead was refused, or is not enough. */
  refusedAhead(): void
  failed(error: RametError): void
  /** A person is asked: time limits stand still until `end` is called. */
  asking(): () => void
}

interface Attempt {
  key: SshKey
  algorithm: string
}

interface SignedAttempt extends Attempt {
  request: Buffer
  signature: Uint8Array
}

/**
 * Logs in: keys in order (those that would cost a signature by somebody are offered first and used when the server wants
 * them), then the password, then whatever the server asks a person, unless the rules say otherwise. A secret is sent once.
 */
export class Authenticator {
  /** waiting: for a signature or an answer of our own · ahead: a login is sent, and more behind it · asked: the server's turn */
  state: 'idle' | 'waiting' | 'ahead' | 'asked' | 'offering' | 'done' | 'failed' = 'idle'
  private readonly options: AuthOptions
  private readonly owner: AuthOwner
  /** Keys to come; then the one whose turn it is, and the algorithms still to try with it. */
  private readonly keys: SshKey[]
  private key: SshKey | undefined
  private algorithms: string[] = []
  private current: Attempt | undefined
  private method: 'none' | LoginMethod = 'none'
  /** What the server would go on with; undefined until it has refused something. */
  private methods: readonly string[] | undefined
  private readonly tried: string[] = []
  private readonly secrets: Secrets
  /** The first key's request, signed before anything was sent. */
  private early: SignedAttempt | undefined
  /** Why the first key that the server wanted could not sign. */
  private unsigned: RametError | undefined

  constructor(options: AuthOptions, owner: AuthOwner) {
    this.options = options
    this.owner = owner
    const { name, keys, password, prompt, rules } = options
    this.secrets = new Secrets(name, { password, prompt, prompts: rules.prompts }, () => owner.asking())
    this.keys = rules.forbidden.publickey === undefined ? [...keys] : []
  }

  /**
   * Lets the first key sign before the host key is accepted here, for signers that look at it themselves. Nothing is sent.
   * Rejects with what forbids to go on; that the key cannot sign does not.
   */
  async signEarly(protocol: SshProtocol): Promise<void> {
    const attempt = this.firstAttempt()
    if (attempt === undefined) return
    const request = this.request(attempt, true)
    try {
      this.early = { ...attempt, request, signature: await attempt.key.sign(dataToSign(protocol, request), attempt.algorithm) }
    } catch (error) {
      if (!this.unable(error)) throw error
    }
  }

  /**
   * Sends the first key's signed request at once, or as soon as the key has signed; true when it is sent. False when it
   * takes time or the first key cannot be used so.
   */
  attemptAhead(): boolean {
    const protocol = this.owner.protocol()
    const { early } = this
    if (protocol === undefined) return false
    if (early !== undefined) {
      this.begin(early, 'ahead')
      sendPublicKey(protocol, early.request, early.signature)
      return true
    }
    const attempt = this.keys.length === this.options.keys.length ? this.firstAttempt() : undefined
    if (attempt === undefined) return false
    const request = this.request(attempt, true)
    let signature: Uint8Array | Promise<Uint8Array>
    try {
      signature = attempt.key.sign(dataToSign(protocol, request), attempt.algorithm)
    } catch {
      return false
    }
    if (signature instanceof Promise) {
      this.begin(attempt, 'waiting')
      void this.sendSigned(request, signature, true)
      return false
    }
    this.begin(attempt, 'ahead')
    sendPublicKey(protocol, request, signature)
    return true
  }

  /** Starts the slow way. */
  start(): void {
    if (this.state === 'idle') this.next()
  }

  success(): void {
    if (this.state === 'done' || this.state === 'failed') return
    this.state = 'done'
    this.owner.authenticated()
  }

  failure(methods: readonly string[] | undefined, partial: boolean): void {
    if (this.state === 'done' || this.state === 'failed' || this.state === 'idle' || this.state === 'waiting') return
    this.methods = methods ?? []
    this.secrets.refused(this.method, partial)
    const ahead = this.state === 'ahead'
    this.state = 'asked'
    if (ahead) this.owner.refusedAhead()
    // One accepted step of several: further keys or the password come next, as `methods` says.
    if (partial) this.tried.push('(accepted, more wanted)')
    this.next()
  }

  /** The server would take the key it was asked about. */
  wanted(): void {
    const { current } = this
    if (this.state === 'offering' && current !== undefined) this.sign(current, true)
  }

  /** Questions for a person; the answers go back in order. */
  questions(name: string, text: string, prompts: readonly { prompt: string; echo: boolean }[]): void {
    if (this.method !== 'keyboard-interactive' || this.state !== 'asked') return
    this.state = 'waiting'
    void this.answer([name, text].filter((part) => part !== '').join('\n'), prompts)
  }

  passwordExpired(text: string): void {
    const { name } = this.options
    this.failWith(new RametError('auth-failed', `${name}: the server wants a new password (${printable(text)})`, {
      stage: 'auth', path: [name], outcome: 'not-sent', hint: 'Log in with ssh and change it.' }))
  }

  /** The one that may be sent before anything else is known: where keys come first, and the first costs nobody's time. */
  private firstAttempt(): Attempt | undefined {
    return this.order[0] === 'publickey' && this.keys[0]?.local === true ? this.nextAttempt() : undefined
  }

  private get order(): readonly LoginMethod[] {
    return methodsInOrder(this.options.rules, this.secrets.given)
  }

  /** The next key and algorithm, chosen with what the server has said by now. */
  private nextAttempt(): Attempt | undefined {
    for (;;) {
      const algorithm = this.algorithms.shift()
      if (algorithm !== undefined && this.key !== undefined) return { key: this.key, algorithm }
      this.key = this.keys.shift()
      if (this.key === undefined) return undefined
      // Every server that is known by name takes RSA with SHA-256, though not every one says so in time.
      this.algorithms = signatureAlgorithms(this.key.type, this.owner.offered()
        ?? (this.key.type === 'ssh-rsa' && this.owner.known() ? ['rsa-sha2-256'] : undefined))
    }
  }

  private next(): void {
    const { methods, order, secrets } = this
    // Until the server has said what it takes it gets keys alone, and those only where they come first.
    for (const method of methods === undefined ? order.slice(0, 1) : order.filter((each) => methods.includes(each))) {
      const attempt = method === 'publickey' ? this.nextAttempt() : undefined
      if (attempt !== undefined) return this.offer(attempt)
      if (method === 'publickey' || methods === undefined || !secrets.left(method)) continue
      if (method === 'password') return void this.sendPassword()
      this.began(method)
      this.tried.push(method)
      return this.owner.protocol()?.authKeyboard(this.options.user)
    }
    if (methods !== undefined) return this.giveUp()
    // Which methods there are is learned by asking for none: a password must not go to a method that is switched off.
    this.began('none')
    this.owner.protocol()?.authNone(this.options.user)
  }

  private began(method: 'none' | LoginMethod): void {
    this.state = 'asked'
    this.method = method
    this.secrets.begin()
  }

  private request({ key, algorithm }: Attempt, signed: boolean): Buffer {
    return publicKeyRequest(this.options.user, algorithm, key.publicBlob, signed)
  }

  /** It is this key's turn. */
  private begin(attempt: Attempt, state: 'ahead' | 'waiting' | 'offering'): void {
    this.state = state
    this.method = 'publickey'
    this.current = attempt
    const label = `key ${attempt.key.comment}`
    if (this.tried[this.tried.length - 1] !== label) this.tried.push(label)
  }

  private offer(attempt: Attempt): void {
    const protocol = this.owner.protocol()
    if (protocol === undefined) return
    this.begin(attempt, 'offering')
    if (attempt.key.local) this.sign(attempt, false)
    else sendPublicKey(protocol, this.request(attempt, false))
  }

  private sign(attempt: Attempt, ahead: boolean): void {
    const protocol = this.owner.protocol()
    if (protocol === undefined) return
    const request = this.request(attempt, true)
    this.state = 'waiting'
    // A passphrase or a touch takes a person's time.
    const over = attempt.key.local ? () => {} : this.owner.asking()
    const signature = (async () => attempt.key.sign(dataToSign(protocol, request), attempt.algorithm))()
    void this.sendSigned(request, signature, ahead).finally(over)
  }

  private async sendSigned(request: Buffer, signing: Promise<Uint8Array>, ahead: boolean): Promise<void> {
    let signature: Uint8Array
    try {
      signature = await signing
    } catch (error) {
      if (!this.unable(error)) this.failWith(error as RametError)
      else if (this.live()) this.next()
      return
    }
    const protocol = this.owner.protocol()
    if (!this.live() || protocol === undefined) return
    this.state = 'asked'
    sendPublicKey(protocol, request, signature)
    // The server has said that it takes this key, or most likely will: the rest need not wait for it to say so.
    if (ahead && this.owner.goAhead()) this.state = 'ahead'
  }

  /** Notes that a key could not sign; false when the reason forbids to go on with another. */
  private unable(error: unknown): boolean {
    if (isRametError(error)) {
      if (error.code !== 'key-unreadable' && error.code !== 'prompt-needed') return false
      // Another key or a password may still log in; if none does, this is what its owner has to hear.
      this.unsigned ??= error
    }
    this.tried.push(`(could not sign: ${printable(String((error as Error)?.message ?? error))})`)
    return true
  }

  private async sendPassword(): Promise<void> {
    this.began('password')
    this.state = 'waiting'
    try {
      const password = await this.secrets.takePassword()
      if (!this.live()) return
      this.state = 'asked'
      this.tried.push('password')
      this.owner.protocol()?.authPassword(this.options.user, password)
    } catch (error) {
      this.failWith(error as RametError)
    }
  }

  private async answer(text: string, prompts: readonly { prompt: string; echo: boolean }[]): Promise<void> {
    try {
      const answers = await this.secrets.answers(text, prompts)
      if (answers === undefined) return this.giveUp()
      if (!this.live()) return
      this.state = 'asked'
      this.owner.protocol()?.authInfoRes(answers)
    } catch (error) {
      this.failWith(error as RametError)
    }
  }

  private live(): boolean {
    return this.state !== 'done' && this.state !== 'failed' && this.owner.protocol() !== undefined
  }

  private giveUp(): void {
    const { options: { name, user, problems, prompt, rules }, unsigned, tried, methods } = this
    this.failWith(unsigned === undefined ? loginRefused(name, user, { tried, methods, problems, prompt: prompt !== undefined, rules }) : named(unsigned, name))
  }

  private failWith(error: RametError): void {
    if (!this.live()) return
    this.state = 'failed'
    this.owner.failed(error)
  }

  /** For a connection that is lost while logging in. */
  describe(): string {
    return this.tried.join(', ')
  }
}
