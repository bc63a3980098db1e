import { type ErrorCode, RametError, type Stage } from '../router/errors.ts'
import { lastWords } from './last-words.ts'
import type { BecomeMethod } from './target.ts'
import type { ProcessEnd } from './transport.ts'

/** An attempt that came to nothing. */
export interface BecomeEnd {
  method: BecomeMethod
  user: string
  path: readonly string[]
  end: ProcessEnd
  /** The last of what the program printed, prompts left out. */
  said: string
  /** A password was given. */
  answered: boolean
  /** The program could not be started. */
  cause: Error | undefined
}

const TTY_HINT: Record<BecomeMethod, string> = {
  sudo: 'Remove "requiretty" from sudoers for this account (Defaults:ACCOUNT !requiretty); ramet never uses a terminal.',
  su: 'This su reads from terminals only. Use sudo, or log in as that account.',
  doas: 'doas reads passwords from a terminal only, and ramet uses none: allow it without one ("permit nopass" in doas.conf), or use sudo.',
}

const PERMIT: Record<BecomeMethod, string> = {
  sudo: 'The account needs a rule in sudoers that lets it run /bin/sh as that user.',
  su: 'The account may not use su (group wheel, pam_wheel), or the other account takes no logins.',
  doas: 'The account needs a rule in doas.conf that lets it run /bin/sh as that user.',
}

const EXPIRED = /account.*(expired|locked)|password (has )?expired|validation failure|required to change your password/i
const LOCKED = 'The account is locked or has to change its password first.'

/** What the programs say, in the C locale. The first that matches counts. */
const WORDS: [RegExp, ErrorCode, string?][] = [
  [/must have a tty|tty is required|terminal is required|must be run from a terminal/i, 'tty-required'],
  [/unknown user|user \S+ does not exist|user '.*' not found|no passwd entry for/i, 'auth-failed', 'There is no such account there; check the name.'],
  [/no new privileges|must be owned by uid 0|effective uid is not 0|not installed setuid|must be suid/i, 'not-permitted',
    'This process cannot gain rights: it runs with no-new-privileges (a container, a service), or the program is not setuid root.'],
  [/not in the sudoers file|not allowed to|may not run|can't do that|operation not permitted|permission denied|doas is not enabled/i, 'not-permitted'],
  [EXPIRED, 'not-permitted', LOCKED],
  [/not currently available|account is currently not available/i, 'launch-failed', 'That account has no login shell.'],
  [/timed out reading|timed out/i, 'password-needed', 'Nobody typed the password in time.'],
]

/** Turns the end of sudo, su or doas before they have started anything into an error. */
export function becomeFailure(attempt: BecomeEnd): RametError {
  const { method, user, end, answered, cause } = attempt
  // sudo quotes the whole of the command that it does not run: ours is long, and no news to anybody.
  const said = lastWords(attempt.said.replace(/'\/bin\/sh -c .*' as /s, "'/bin/sh ...' as "))
  if (cause !== undefined) {
    const missing = /ENOENT/.test(cause.message)
    return becomeError(attempt, 'launch-failed', missing ? `there is no ${method} on this machine` : `${method} could not be started (${cause.message})`,
      missing ? `Install ${method} there, or take another way to become ${user}.` : 'See the cause.', cause)
  }
  const but = said === '' ? '' : `; it said: ${said}`
  const [, code, hint] = WORDS.find(([words]) => words.test(attempt.said)) ?? []
  if (code === 'tty-required' || (method === 'doas' && /auth\w+ required/i.test(said))) {
    return becomeError(attempt, 'tty-required', `${method} wants a terminal${but}`, TTY_HINT[method])
  }
  if (code !== undefined) return becomeError(attempt, code, `${method} refused${but}`, hint ?? PERMIT[method])
  if (answered) return refused(attempt, said)
  if (/authenticat\w+ (failure|failed)|sorry/i.test(said)) return becomeError(attempt, 'not-permitted', `${method} refused${but}`, PERMIT[method])
  const how = end.signal !== null ? `by ${end.signal}` : end.exitCode !== null ? `with exit code ${end.exitCode}` : 'somehow'
  return becomeError(attempt, 'launch-failed', `${method} ended ${how} before it had started anything${but}`,
    `Log in by hand and try: ${{ sudo: `sudo -u ${user}`, su: `su ${user}`, doas: `doas -u ${user}` }[method]}${method === 'su' ? ' -c true' : ' true'}`)
}

/** The program did not take the password: it said so, or asked again. */
export function refused(attempt: Pick<BecomeEnd, 'method' | 'path'>, said: string): RametError {
  if (EXPIRED.test(said)) return becomeError(attempt, 'not-permitted', `${attempt.method} refused; it said: ${said}`, LOCKED)
  return becomeError(attempt, 'password-refused', `${attempt.method} did not take the password${said === '' ? '' : `; it said: ${said}`}`,
    `It is given once only. It may also mean that the account may not use ${attempt.method}: that is often answered in the same way.`)
}

export function becomeError(attempt: Pick<BecomeEnd, 'path'>, code: ErrorCode, text: string, hint: string, cause?: unknown): RametError {
  const stage: Stage = code === 'launch-failed' ? 'launch' : 'auth'
  return new RametError(code, `${attempt.path.join(' > ')}: ${text}`, { stage, path: attempt.path, outcome: 'not-sent', hint, cause })
}
