import { printable } from '../base/printable.ts'
import { RametError, isRametError } from '../router/errors.ts'
import type { LoginMethod } from './login-rules.ts'

export interface PromptRequest {
  kind: 'password' | 'passphrase' | 'interactive' | 'become'
  path: string[]
  text: string
}
export type Prompt = (request: PromptRequest) => Promise<string>

export interface SecretSources {
  password: string | (() => Promise<string>) | undefined
  prompt: Prompt | undefined
  /** How often a method may ask the person. */
  prompts: number
}

/** What a login may have to say beside keys: a password that was given, used once, and the answers of a person. */
export class Secrets {
  private readonly name: string
  private readonly prompt: Prompt | undefined
  private password: string | (() => Promise<string>) | undefined
  private readonly asking: () => () => void
  /** How often each method may ask a person, and has: a method that asks several questions at one try has asked once. */
  private readonly prompts: number
  private readonly asked: Partial<Record<LoginMethod, number>> = {}
  private fresh = true
  /** Whether the attempt under way has asked for anything, and whether keyboard-interactive was refused without. */
  private questioned = false
  private mute = false

  /** `password` as a function is called when the server wants one. `asking`: a person is asked, until the function returned is called. */
  constructor(name: string, { password, prompt, prompts }: SecretSources, asking: () => () => void) {
    this.name = name
    this.password = password
    this.prompt = prompt
    this.prompts = prompts
    this.asking = asking
  }

  /** There is a password that nobody has seen. */
  get given(): boolean {
    return this.password !== undefined
  }

  /** There is a person, whose patience with this method is not over. */
  person(method: LoginMethod): boolean {
    return this.prompt !== undefined && (this.asked[method] ?? 0) < this.prompts
  }

  /** Whether there is anything to try a method with. */
  left(method: LoginMethod): boolean {
    return !(method === 'keyboard-interactive' && this.mute) && (this.given || this.person(method))
  }

  /** The server is asked to try a method. */
  begin(): void {
    this.fresh = true
    this.questioned = false
  }

  /**
   * The server has refused a method, or wants another one beside it. One that has nothing to ask offers keyboard-interactive all
   * the same, and ends a connection that goes on trying: the password would never have its turn.
   */
  refused(method: LoginMethod | 'none', partial: boolean): void {
    this.mute = !partial && (this.mute || (method === 'keyboard-interactive' && !this.questioned))
  }

  /** The password that was given, once, or else what a person types. Rejects with the RametError that ends the login. */
  async takePassword(): Promise<string> {
    const { password } = this
    this.password = undefined
    if (password === undefined) return this.ask('password', `Password for ${this.name}: `)
    return typeof password === 'string' ? password : this.waitFor(password)
  }

  /** The answers to one round of questions; undefined where there is nobody to ask. Rejects as takePassword does. */
  async answers(text: string, questions: readonly { prompt: string; echo: boolean }[]): Promise<string[] | undefined> {
    const answers: string[] = []
    this.questioned ||= questions.length > 0
    for (const { prompt, echo } of questions) {
      // One hidden question is a password in other clothes; the one we were given is used once.
      if (this.given && questions.length === 1 && !echo) answers.push(await this.takePassword())
      else if (this.prompt === undefined) return undefined
      else answers.push(await this.ask('interactive', [printable(text), printable(prompt)].filter((part) => part !== '').join('\n')))
    }
    return answers
  }

  private ask(kind: 'password' | 'interactive', text: string): Promise<string> {
    const { prompt, fresh, asked } = this
    const method = kind === 'password' ? kind : 'keyboard-interactive'
    if (fresh) asked[method] = (asked[method] ?? 0) + 1
    this.fresh = false
    return this.waitFor(() => (prompt === undefined ? Promise.reject(new Error('nobody can be asked')) : prompt({ kind, path: [this.name], text })))
  }

  private async waitFor(answer: () => Promise<string>): Promise<string> {
    const over = this.asking()
    try {
      return await answer()
    } catch (error) {
      throw isRametError(error) ? error : new RametError('prompt-needed', `${this.name}: the prompt gave no answer`, {
        stage: 'auth', path: [this.name], outcome: 'not-sent', cause: error, hint: 'Answer the prompt, or give a key.',
      })
    } finally {
      over()
    }
  }
}
