import { randomBytes } from 'node:crypto'
import { type Clock, systemClock } from '../base/clock.ts'
import { isRametError, RametError } from '../router/errors.ts'
import { becomeError, becomeFailure, refused } from './become-words.ts'
import { lastWords } from './last-words.ts'
import { PromptWatch } from './prompt-watch.ts'
import { ReadyConnection } from './ready-connection.ts'
import { ReadyProcess } from './ready-process.ts'
import { readyScript } from './ready-script.ts'
import { type BecomeMethod, checkUser } from './target.ts'
import type { Connection } from './transport.ts'

export interface BecomeOptions {
  method: BecomeMethod
  /** Default 'root'. */
  user?: string | undefined
  /** How messages name it. Default 'sudo:root'. */
  name?: string | undefined
  /** Of the context, for errors. Default: its name. */
  path?: readonly string[] | undefined
  /** Gives the password when the program asks for one. Without it a question ends the attempt ('password-needed'). */
  ask?: ((text: string) => Promise<string>) | undefined
  /** Default: this process's. */
  env?: NodeJS.ProcessEnv | undefined
  /** Program to run. Default: the method's name, looked up in PATH. */
  program?: string | undefined
  /** True: short processes will follow one another, and perhaps none at first. */
  commands?: boolean | undefined
  signal?: AbortSignal | undefined
  clock?: Clock | undefined
}

/** Bytes of a password at most: what PAM takes. A rest that is left unread would become input of what is started. */
const PASSWORD_MAX = 511
/** Characters of a program's question that are shown. */
const QUESTION_MAX = 200

/**
 * Another account of this machine, by sudo, su or doas, over pipes: there is never a terminal. Each process is one run of
 * the program; a password is given only once it has asked, once, and kept in memory for the runs that follow.
 *
 * `ready` resolves when the first process is known to run as that account; what is written to it before waits here.
 */
export function connectBecome(options: BecomeOptions): Connection {
  return new Become(options).connection
}

/** su tells how what it ran has died, and that it is killing it. */
const FAREWELL = /^(?:Killed|Terminated)\n|\n?Session terminated, (?:killing|terminating) shell\.\.\.| \.\.\.(?:killed|terminated)\.\n/gm

/** As the other account: the locale that the program was denied comes back ($4), and it begins at home, as a login does. */
const SCRIPT = readyScript([
  'if [ "$4" ]; then LC_ALL=$4; export LC_ALL; else unset LC_ALL; fi',
  'unset SUDO_PROMPT',
  'cd 2>/dev/null || cd /',
])

export interface BecomeWords {
  method: BecomeMethod
  program?: string | undefined
  user: string
  /** The halves of the first line, the command, the caller's LC_ALL ('' for none). */
  words: readonly [string, string, string, string]
}

/** The argv that runs the script as that account. */
export function becomeArgv({ method, program = method, user, words }: BecomeWords): string[] {
  switch (method) {
    case 'sudo':
      // Without -n: it asks only where it must. With -S: on stderr, and it reads stdin.
      return [program, '-S', '-H', '-u', user, '--', '/bin/sh', '-c', SCRIPT, 'ramet', ...words]
    case 'su':
      // What stands behind the name goes to the shell. Where su can be told so, that is ours: accounts may have none of their own.
      return [program, ...(process.platform === 'linux' ? ['-s', '/bin/sh'] : []), '--', user, '-c', SCRIPT, 'ramet', ...words]
    case 'doas':
      // It reads passwords from terminals only: with -n it says so at once.
      return [program, '-n', '-u', user, '--', '/bin/sh', '-c', SCRIPT, 'ramet', ...words]
  }
}

class Become {
  readonly connection: ReadyConnection
  private readonly options: BecomeOptions
  readonly method: BecomeMethod
  readonly user: string
  readonly path: readonly string[]
  private readonly clock: Clock
  /** Asked for once, however many processes want it. */
  private password: Promise<string> | undefined

  constructor(options: BecomeOptions) {
    this.options = options
    this.method = options.method
    this.user = options.user ?? 'root'
    this.clock = options.clock ?? systemClock
    const name = options.name ?? `${this.method}:${this.user}`
    this.path = options.path ?? [name]
    this.connection = new ReadyConnection({
      name,
      transport: this.method,
      path: this.path,
      stage: 'auth',
      commands: options.commands,
      signal: options.signal,
      start: (command) => this.start(command),
      closed: () => (this.password = undefined),
    }, this.refusal())
  }

  private refusal(): RametError | undefined {
    try {
      checkUser(this.user)
    } catch (cause) {
      return becomeError(this, 'target-invalid', `${(cause as Error).message}`, 'Check the name of the account.', cause)
    }
    return undefined
  }

  private start(command: string): ReadyProcess {
    const { method, user, path, clock } = this
    const env = this.options.env ?? process.env
    // Only in this locale are its messages known to us. sudo-rs of old knows no -p, all of them know the variable.
    const mark = `ramet ${randomBytes(6).toString('hex')} `
    let answered = false
    const watch = new PromptWatch({
      clock,
      program: method,
      own: method === 'sudo' ? new RegExp(`^${mark}[^\\s:]+: $`) : undefined,
      prompt: (line) => {
        if (answered) {
          this.password = undefined
          return started.fail(refused(this, lastWords(started.lines())))
        }
        void this.answer(line, mark).then(
          (password) => {
            answered = true
            started.forgetPrompt()
            watch.answered()
            started.answer(password)
          },
          (error: RametError) => started.fail(error),
        )
      },
    })
    const started: ReadyProcess = new ReadyProcess({
      argv: (half, other) => becomeArgv({ method, program: this.options.program, user, words: [half, other, command, env['LC_ALL'] ?? ''] }),
      env: { ...env, LC_ALL: 'C', ...(method === 'sudo' ? { SUDO_PROMPT: `${mark}%p: ` } : {}) },
      localPid: true,
      path,
      clock,
      hold: true,
      watch,
      farewell: method === 'su' ? FAREWELL : undefined,
      failure: (end, said, cause) => {
        const error = becomeFailure({ method, user, path, end, said, answered, cause })
        if (error.code === 'password-refused') this.password = undefined
        return error
      },
    })
    return started
  }

  /** The bytes to write. Never rejects with anything but a RametError. */
  private async answer(line: string, mark: string): Promise<Buffer> {
    const { method } = this
    const { ask } = this.options
    const question = this.question(line, mark)
    if (ask === undefined) {
      throw becomeError(this, 'password-needed', `${method} wants a password (${question})`, method === 'sudo'
        ? 'Give the option password or a prompt, or allow the account sudo without one (NOPASSWD in sudoers).'
        : 'Give the option password or a prompt.')
    }
    this.password ??= ask(question)
    let password: string
    try {
      password = await this.password
    } catch (cause) {
      this.password = undefined
      if (isRametError(cause)) throw cause
      throw becomeError(this, 'password-needed', `nobody gave the password that ${method} wants: ${(cause as Error).message}`, 'Answer the prompt, or give the option password.', cause)
    }
    if (/[\n\0]/.test(password) || Buffer.byteLength(password) > PASSWORD_MAX) {
      this.password = undefined
      throw becomeError(this, 'password-refused', 'the password given cannot be one: it holds a line break or is too long', 'Take care that no line break is read with it.')
    }
    return Buffer.from(`${password}\n`)
  }

  /** What a person is shown. */
  private question(line: string, mark: string): string {
    const { method, user } = this
    const clean = lastWords(line)
    const at = clean.indexOf(mark)
    if (at < 0) return `${method} to ${user}: ${clean.slice(-QUESTION_MAX)} `
    const whose = /^[^\s:%]+/.exec(clean.slice(at + mark.length))?.[0]
    return whose === undefined ? `${method} to ${user}: password: ` : `${method} to ${user}: password of ${whose}: `
  }
}
