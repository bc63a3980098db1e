import { RametError, isRametError } from '../router/errors.ts'
import { named, printable } from './ssh2-auth-text.ts'
import { type SshKey, signatureAlgorithms } from './ssh-key.ts'
import { type SshProtocol, dataToSign, publicKeyRequest, sendPublicKey } from './ssh2-protocol.ts'

export interface PromptRequest {
  kind: 'password' | 'passphrase' | 'interactive' | 'become'
  path: string[]
  text: string
}
export type Prompt = (request: PromptRequest) => Promise<string>

export interface AuthOptions {
  name: string
  user: string
  keys: readonly SshKey[]
  password?: string | undefined
  prompt?: Prompt | undefined
  /** Why keys that were meant cannot be used, for the error when nothing logs in. */
  problems?: readonly string[] | undefined
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

/** Questions to a person per method, as OpenSSH's NumberOfPasswordPrompts. */
const MAX_PROMPTS = 3

/**
 * Logs in: keys in order (those that would cost a signature by somebody are offered first and used when the server wants
 * them), then the password, then whatever the server asks a person. A secret is sent once.
 */
export class Authenticator {
  state: 'idle' | 'ahead' | 'asked' | 'offering' | 'done' | 'failed' = 'idle'
  private readonly options: AuthOptions
  private readonly owner: AuthOwner
  /** Keys to come; then the one whose turn it is, and the algorithms still to try with it. */
  private readonly keys: SshKey[]
  private key: SshKey | undefined
  private algorithms: string[] = []
  private current: Attempt | undefined
  private method: 'none' | 'publickey' | 'password' | 'keyboard-interactive' = 'none'
  /** What the server would go on with; undefined until it has refused something. */
  private methods: readonly string[] | undefined
  private readonly tried: string[] = []
  private password: string | undefined
  /** Why the first key that the server wanted could not sign. */
  private unsigned: RametError | undefined
  private prompts = 0

  constructor(options: AuthOptions, owner: AuthOwner) {
    this.options = options
    this.owner = owner
    this.password = options.password
    this.keys = [...options.keys]
  }

  /** Sends the first key's signed request at once; false when the first key cannot be used so. Synchronous. */
  attemptAhead(): boolean {
    const key = this.options.keys[0]
    const protocol = this.owner.protocol()
    if (key === undefined || !key.local || protocol === undefined) return false
    const attempt = this.nextAttempt()
    if (attempt === undefined) return false
    let signature: Uint8Array | Promise<Uint8Array>
    const request = publicKeyRequest(this.options.user, attempt.algorithm, attempt.key.publicBlob, true)
    try {
      signature = attempt.key.sign(dataToSign(protocol, request), attempt.algorithm)
    } catch {
      return false
    }
    if (signature instanceof Promise) {
      // A key that needs time is no local one after all; the slow way asks it again.
      signature.catch(() => {})
      this.keys.unshift(key)
      this.algorithms = []
      return false
    }
    this.state = 'ahead'
    this.method = 'publickey'
    this.current = attempt
    this.tried.push(`key ${attempt.key.comment}`)
    sendPublicKey(protocol, request, signature)
    return true
  }

  /** Starts the slow way. */
  start(): void {
    if (this.state !== 'idle') return
    if (this.keys.length > 0) this.next()
    else {
      // Which methods there are is learned by asking for none: a password must not go to a method that is switched off.
      this.state = 'asked'
      this.method = 'none'
      this.owner.protocol()?.authNone(this.options.user)
    }
  }

  success(): void {
    if (this.state === 'done' || this.state === 'failed') return
    this.state = 'done'
    this.owner.authenticated()
  }

  failure(methods: readonly string[] | undefined, partial: boolean): void {
    if (this.state === 'done' || this.state === 'failed' || this.state === 'idle') return
    this.methods = methods ?? []
    const ahead = this.state === 'ahead'
    this.state = 'asked'
    if (ahead) this.owner.refusedAhead()
    // One accepted step of several: further keys or the password come next, as `methods` says.
    if (partial) this.tried.push('(accepted, more wanted)')
    this.next()
  }

  /** The server would take the key it was asked about. */
  wanted(): void {
    const attempt = this.current
    if (this.state !== 'offering' || attempt === undefined) return
    this.state = 'asked'
    void this.sign(attempt, true)
  }

  /** Questions for a person; the answers go back in order. */
  questions(name: string, text: string, prompts: readonly { prompt: string; echo: boolean }[]): void {
    if (this.method !== 'keyboard-interactive' || this.state !== 'asked') return
    void this.answer([name, text].filter((part) => part !== '').join('\n'), prompts)
  }

  passwordExpired(text: string): void {
    this.fail('auth-failed', `the server wants a new password (${printable(text)})`, 'Log in with ssh and change it.')
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
    const can = (method: string): boolean => this.methods === undefined || this.methods.includes(method)
    const attempt = can('publickey') ? this.nextAttempt() : undefined
    if (attempt !== undefined) return this.offer(attempt)
    if (this.methods === undefined) {
      this.state = 'asked'
      this.method = 'none'
      this.owner.protocol()?.authNone(this.options.user)
      return
    }
    const person = this.options.prompt !== undefined && this.prompts < MAX_PROMPTS
    if (this.password !== undefined && can('password')) return this.sendPassword(this.takePassword())
    if (can('keyboard-interactive') && (this.password !== undefined || person)) {
      this.method = 'keyboard-interactive'
      this.state = 'asked'
      this.tried.push('keyboard-interactive')
      this.owner.protocol()?.authKeyboard(this.options.user)
      return
    }
    if (can('password') && person) return void this.askPassword()
    this.giveUp()
  }

  private offer(attempt: Attempt): void {
    const protocol = this.owner.protocol()
    if (protocol === undefined) return
    this.current = attempt
    this.method = 'publickey'
    const label = `key ${attempt.key.comment}`
    if (this.tried[this.tried.length - 1] !== label) this.tried.push(label)
    if (attempt.key.local) {
      this.state = 'asked'
      void this.sign(attempt, false)
      return
    }
    this.state = 'offering'
    sendPublicKey(protocol, publicKeyRequest(this.options.user, attempt.algorithm, attempt.key.publicBlob, false))
  }

  private async sign(attempt: Attempt, offered: boolean): Promise<void> {
    const protocol = this.owner.protocol()
    if (protocol === undefined) return
    const request = publicKeyRequest(this.options.user, attempt.algorithm, attempt.key.publicBlob, true)
    let signature: Uint8Array
    // A passphrase or a touch takes a person's time.
    const asked = attempt.key.local ? undefined : this.owner.asking()
    try {
      signature = await attempt.key.sign(dataToSign(protocol, request), attempt.algorithm)
    } catch (error) {
      if (isRametError(error) && error.code === 'cancelled') return this.failWith(error)
      // Another key or a password may still log in; if none does, this is what its owner has to hear.
      if (isRametError(error)) this.unsigned ??= error
      this.tried.push(`(could not sign: ${printable(String((error as Error)?.message ?? error))})`)
      if (this.live()) this.next()
      return
    } finally {
      asked?.()
    }
    if (!this.live()) return
    sendPublicKey(protocol, request, signature)
    // The server has said that it takes this key, so the rest need not wait for it to say so again.
    if (offered && this.owner.goAhead()) this.state = 'ahead'
  }

  private takePassword(): string {
    const password = this.password ?? ''
    this.password = undefined
    return password
  }

  private sendPassword(password: string): void {
    this.method = 'password'
    this.state = 'asked'
    this.tried.push('password')
    this.owner.protocol()?.authPassword(this.options.user, password)
  }

  private async askPassword(): Promise<void> {
    const password = await this.ask('password', `Password for ${this.options.name}: `)
    if (password !== undefined && this.live()) this.sendPassword(password)
  }

  private async answer(text: string, prompts: readonly { prompt: string; echo: boolean }[]): Promise<void> {
    const answers: string[] = []
    for (const item of prompts) {
      // One hidden question is a password in other clothes; the one we were given is used once.
      if (this.password !== undefined && prompts.length === 1 && !item.echo) answers.push(this.takePassword())
      else if (this.options.prompt === undefined) return this.giveUp()
      else {
        const answer = await this.ask('interactive', [printable(text), printable(item.prompt)].filter((part) => part !== '').join('\n'))
        if (answer === undefined) return
        answers.push(answer)
      }
    }
    if (this.live()) this.owner.protocol()?.authInfoRes(answers)
  }

  private async ask(kind: 'password' | 'interactive', text: string): Promise<string | undefined> {
    const { prompt, name } = this.options
    if (prompt === undefined) return undefined
    this.prompts++
    const asked = this.owner.asking()
    try {
      return await prompt({ kind, path: [name], text })
    } catch (error) {
      this.failWith(isRametError(error) ? error : new RametError('prompt-needed', `${name}: the prompt gave no answer`, {
        stage: 'auth', path: [name], outcome: 'not-sent', cause: error, hint: 'Answer the prompt, or give a key.',
      }))
      return undefined
    } finally {
      asked()
    }
  }

  private live(): boolean {
    return this.state !== 'done' && this.state !== 'failed' && this.owner.protocol() !== undefined
  }

  private giveUp(): void {
    const { unsigned } = this
    if (unsigned !== undefined) return this.failWith(named(unsigned, this.options.name))
    const offers = this.methods?.join(', ') || 'nothing'
    const problems = (this.options.problems ?? []).map((problem) => `; ${printable(problem)}`).join('')
    const people = this.methods?.some((method) => method === 'password' || method === 'keyboard-interactive')
    if (this.tried.length === 0 && people && this.options.prompt === undefined) {
      return this.fail('prompt-needed', `a password is wanted for ${this.options.user} (the server offers ${offers})${problems}`,
        'Give a key, a password, or a prompt that can ask for one.')
    }
    this.fail('auth-failed', `login as ${this.options.user} was refused; tried ${this.tried.join(', ') || 'nothing'}; `
      + `the server offers ${offers}${problems}`,
    'Check the user name and that the key is in its authorized_keys. OpenSSH 9.8 and newer shuts out addresses '
      + 'whose logins fail (PerSourcePenalties).')
  }

  private fail(code: 'auth-failed' | 'prompt-needed', text: string, hint: string): void {
    const { name } = this.options
    this.failWith(new RametError(code, `${name}: ${text}`, { stage: 'auth', path: [name], outcome: 'not-sent', hint }))
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
