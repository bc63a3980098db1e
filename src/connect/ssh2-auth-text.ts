import { RametError } from '../router/errors.ts'

/** A key's error, with the target that it was for. */
export function named({ code, message, hint, cause }: RametError, name: string): RametError {
  const text = message.startsWith(name) ? message : `${name}: ${message}`
  return new RametError(code, text, { stage: 'auth', path: [name], outcome: 'not-sent', hint, cause })
}

export interface LoginFacts {
  /** Keys and methods, in the order in which they were tried. */
  tried: readonly string[]
  /** What the server would go on with; undefined: it has not said. */
  methods: readonly string[] | undefined
  /** Why keys that were meant cannot be used. */
  problems: readonly string[] | undefined
  /** Somebody can be asked. */
  prompt: boolean
}

/** Nothing has logged in: 'prompt-needed' where only a person could have. */
export function loginRefused(name: string, user: string, { tried, methods, problems = [], prompt }: LoginFacts): RametError {
  const offers = methods?.join(', ') || 'nothing'
  const why = problems.map((problem) => `; ${printable(problem)}`).join('')
  const details = { stage: 'auth', path: [name], outcome: 'not-sent' } as const
  const people = methods?.some((method) => method === 'password' || method === 'keyboard-interactive')
  if (tried.length === 0 && people && !prompt) {
    return new RametError('prompt-needed', `${name}: a password is wanted for ${user} (the server offers ${offers})${why}`, {
      ...details, hint: 'Give a key, a password, or a prompt that can ask for one.' })
  }
  return new RametError('auth-failed', `${name}: login as ${user} was refused; tried ${tried.join(', ') || 'nothing'}; `
    + `the server offers ${offers}${why}`, {
    ...details, hint: 'Check the user name and that the key is in its authorized_keys. OpenSSH 9.8 and newer shuts out addresses '
      + 'whose logins fail (PerSourcePenalties).' })
}

/** Text from a server that may be shown on a terminal. */
export function printable(text: string): string {
  return text.replace(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/g, '?').slice(0, 1000)
}
