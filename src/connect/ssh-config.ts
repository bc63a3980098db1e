import { join } from 'node:path'
import pLimit from 'p-limit'
import { systemClock } from '../base/clock.ts'
import type { Clock } from '../base/clock.ts'
import { RametError } from '../router/errors.ts'
import { analyse, evaluate } from './ssh-config-eval.ts'
import type { Analysis, Evaluation, Options } from './ssh-config-eval.ts'
import { currentSignature, invalid, readConfig } from './ssh-config-file.ts'
import type { ConfigPath, ConfigSource, Directive } from './ssh-config-file.ts'
import { askSsh } from './ssh-config-program.ts'
import { readDump, typed } from './ssh-config-types.ts'
import type { SshConfig } from './ssh-config-types.ts'
import { localAccount } from './ssh-tokens.ts'
import type { LocalAccount } from './ssh-tokens.ts'

export type { SshConfig } from './ssh-config-types.ts'

export interface ResolveOptions {
  /** Given by the caller; they come before the files. */
  user?: string | undefined
  port?: number | undefined
  /** One file in place of all others; false: none at all; undefined: ~/.ssh/config and /etc/ssh/ssh_config. */
  configFile?: string | false | undefined
  signal?: AbortSignal | undefined
}

export interface ResolverOptions {
  /** Default 'ssh'. */
  program?: string
  /** Default '/etc/ssh/ssh_config'. */
  systemConfig?: string
  account?: LocalAccount
  clock?: Clock
  /** Milliseconds that one question to the program may take. Default 15 s: Match exec may look far. */
  timeout?: number
}

interface Loaded {
  source: ConfigSource
  analysis: Analysis
  /** Words with blanks among the known-hosts files: see readDump. */
  spaced: string[]
  /** Answers of the program. They die with the source when a file changes. */
  answers: Map<string, Promise<Options | undefined>>
}

const MAX_ANSWERS = 4096
/** More at once would only wait for each other, and each blocks us for the length of a fork. */
const AT_ONCE = 4

/**
 * Resolves aliases through OpenSSH's configuration: exactly as OpenSSH does, by `ssh -G`, but asking it only where our own
 * reading is not certain to give the same. Files that only hold Host blocks with everyday settings need no program at all;
 * otherwise aliases to which the same lines apply share one question. Without the program our own reading is all there is.
 */
export class SshConfigResolver {
  private readonly program: string
  private readonly systemConfig: string
  private readonly account: LocalAccount
  private readonly clock: Clock
  private readonly timeout: number
  private readonly limit = pLimit(AT_ONCE)
  private readonly loaded = new Map<string, Loaded>()

  constructor(options: ResolverOptions = {}) {
    this.program = options.program ?? 'ssh'
    this.systemConfig = options.systemConfig ?? '/etc/ssh/ssh_config'
    this.account = options.account ?? localAccount()
    this.clock = options.clock ?? systemClock
    this.timeout = options.timeout ?? 15_000
  }

  /** Rejects with 'config-invalid' (a file is wrong, or needs the program), or 'cancelled' when `signal` aborts. */
  async resolve(alias: string, options: ResolveOptions = {}): Promise<SshConfig> {
    const { user, port, configFile, signal } = options
    if (signal?.aborted === true) throw cancelled(alias, signal)
    const loaded = this.load(configFile)
    const { source, analysis, spaced } = loaded
    const question = { alias, user, port, localUser: this.account.name }
    if (analysis.exact) return typed(alias, evaluate(source, question).options, source.keywords, this.account)

    const own = analysis.matches || analysis.volatile ? undefined : evaluate(source, question)
    const lines = own !== undefined && isShared(own, alias) ? own.active.map(({ file, line }) => `${file}:${line}`) : undefined
    const key = JSON.stringify([user, port, lines ?? alias])
    const args = [
      '-T', '-G', ...(typeof configFile === 'string' ? ['-F', configFile] : []), ...(user === undefined ? [] : ['-l', user]),
      ...(port === undefined ? [] : ['-p', String(port)]), '--', alias,
    ]
    let answer = loaded.answers.get(key)
    if (answer === undefined) {
      answer = this.limit(() => askSsh(this.program, args, alias, this.timeout, this.clock))
        .then((dump) => (dump === undefined ? undefined : readDump(dump, spaced)))
      if (!analysis.volatile) keep(loaded.answers, key, answer)
    }
    const shared = await orAborted(answer, alias, signal)
    if (shared === undefined) return this.withoutProgram(alias, source, own ?? evaluate(source, question))
    const hasName = own === undefined || own.active.some(({ keyword }) => keyword === 'hostname')
    return typed(alias, hasName ? shared : new Map(shared).set('hostname', [alias]), source.keywords, this.account)
  }

  private withoutProgram(alias: string, source: ConfigSource, own: Evaluation): SshConfig {
    if (source.unsafe !== undefined) {
      throw invalid(source.unsafe, 0, 'others can write it, or it belongs to another user', 'Make it yours alone: chmod go-w.')
    }
    return typed(alias, own.options, source.keywords, this.account)
  }

  private load(configFile: string | false | undefined): Loaded {
    const id = String(configFile)
    const known = this.loaded.get(id)
    if (known !== undefined && currentSignature(known.source.signature) === known.source.signature) return known
    const paths: ConfigPath[] = configFile === false ? []
      : configFile !== undefined ? [{ path: configFile, user: true, required: true }]
        : [
            { path: join(this.account.home, '.ssh', 'config'), user: true, required: false },
            { path: this.systemConfig, user: false, required: false },
          ]
    const source = readConfig(paths, this.account.home)
    const loaded: Loaded = { source, analysis: analyse(source), spaced: spacedPaths(source.files), answers: new Map() }
    this.loaded.set(id, loaded)
    return loaded
  }
}

/** May another alias to which the same lines apply take this one's answer? Not where a line speaks of the alias itself. */
function isShared(own: Evaluation, alias: string): boolean {
  return own.active.every(({ keyword, text }) =>
    !text.includes('%') && !(keyword === 'proxyjump' && text.toLowerCase().includes(alias.toLowerCase())))
}

function keep(answers: Map<string, Promise<Options | undefined>>, key: string, answer: Promise<Options | undefined>): void {
  if (answers.size >= MAX_ANSWERS) answers.delete(answers.keys().next().value as string)
  answers.set(key, answer)
  answer.catch(() => answers.delete(key))
}

function spacedPaths(files: readonly (readonly Directive[])[]): string[] {
  return files.flatMap((file) => file.flatMap(({ keyword, args, included }) => [
    ...(keyword.endsWith('knownhostsfile') ? args.filter((arg) => arg.includes(' ')) : []), ...spacedPaths(included ?? []),
  ]))
}

/** The question goes on for others who may share it; it is bounded by its own timeout. */
function orAborted<T>(promise: Promise<T>, alias: string, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(cancelled(alias, signal))
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

function cancelled(alias: string, signal: AbortSignal): RametError {
  return new RametError('cancelled', `resolving ${alias} was cancelled`, {
    stage: 'resolve', outcome: 'not-sent', cause: signal.reason, hint: 'The caller asked for it.',
  })
}

let shared: SshConfigResolver | undefined

/** resolve() of one resolver for the whole process, so that its answers are kept. */
export function resolveSshConfig(alias: string, options: ResolveOptions = {}): Promise<SshConfig> {
  shared ??= new SshConfigResolver()
  return shared.resolve(alias, options)
}
