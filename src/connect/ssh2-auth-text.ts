import { printable } from '../base/printable.ts'
import { RametError, isRametError } from '../router/errors.ts'
import type { LoginRules } from './login-rules.ts'
import type { KeyProblem } from './ssh-key.ts'

/** A key's error, with the target that it was for. `path`: where the name is not all of it. */
export function named({ code, message, hint, cause }: RametError, name: string, path: readonly string[] = [name]): RametError {
  const text = message.startsWith(name) ? message : `${name}: ${message}`
  return new RametError(code, text, { stage: 'auth', path, outcome: 'not-sent', hint, cause })
}

export interface LoginFacts {
  /** Keys and methods, in the order in which they were tried. */
  tried: readonly string[]
  /** What the server would go on with; undefined: it has not said. */
  methods: readonly string[] | undefined
  /** Why keys that were meant cannot be used. */
  problems: readonly KeyProblem[] | undefined
  /** Somebody can be asked. */
  prompt: boolean
  rules: LoginRules
}

const CHANGE = 'Change the SSH configuration for this target, or take another one (sshConfig, --ssh-config).'

/** Nothing has logged in: 'prompt-needed' where only a person could have. */
export function loginRefused(name: string, user: string, { tried, methods = [], problems = [], prompt, rules }: LoginFacts): RametError {
  const offers = methods.join(', ') || 'nothing'
  const forbidden = Object.entries(rules.forbidden).filter(([method]) => methods.includes(method)).map(([method, setting]) => `${method} (${setting})`)
  const people = ['password', 'keyboard-interactive'].some((method) => methods.includes(method) && !(method in rules.forbidden))
  const muting = rules.batch === true ? 'BatchMode yes' : prompt && rules.prompts === 0 ? 'NumberOfPasswordPrompts 0' : undefined
  const silent = people && muting !== undefined
  const why = [
    ...(forbidden.length > 0 ? [`the SSH configuration forbids ${forbidden.join(', ')}`] : []),
    ...(silent ? [`the SSH configuration lets nobody be asked (${muting})`] : []),
    ...problems.map((problem) => printable(typeof problem === 'string' ? problem : problem.message)),
  ].map((text) => `; ${text}`).join('')
  const details = { stage: 'auth', path: [name], outcome: 'not-sent' } as const
  if (tried.length === 0 && people && (!prompt || silent)) {
    return new RametError('prompt-needed', `${name}: a password is wanted for ${user} (the server offers ${offers})${why}`, {
      ...details, hint: silent ? `Give a key or a password. ${CHANGE}` : 'Give a key, a password, or a prompt that can ask for one.' })
  }
  const [only] = problems
  if (tried.length === 0 && forbidden.length === 0 && problems.length === 1 && isRametError(only)) return named(only, name)
  const other = methods.filter((method) => method === 'gssapi-with-mic' || method === 'hostbased')
  const change = forbidden.length > 0 ? ` ${CHANGE}` : ''
  return new RametError('auth-failed', `${name}: login as ${user} was refused; tried ${tried.join(', ') || 'nothing'}; `
    + `the server offers ${offers}${why}`, {
    ...details, hint: tried.length === 0 && other.length === methods.length && other.length > 0 ? `Only transport openssh knows ${other.join(', ')}.`
      : people && !methods.includes('publickey') ? `Check the user name and its password (password, prompt, --ask-password): the server goes on with that and with no key.${change}`
      : tried.length === 0 && forbidden.length > 0 ? CHANGE : 'Check the user name and that the key is in its authorized_keys. OpenSSH 9.8 and newer shuts out addresses '
      + `whose logins fail (PerSourcePenalties).${change}` })
}
