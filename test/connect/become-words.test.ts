import { describe, expect, it } from 'vitest'
import { type BecomeEnd, becomeFailure, refused } from '../../src/connect/become-words.ts'

const attempt = (method: BecomeEnd['method'], said: string, more: Partial<BecomeEnd> = {}): BecomeEnd => ({
  method, user: 'web', path: ['web1', 'it'], end: { exitCode: 1, signal: null }, said: `${said}\n`, answered: false, cause: undefined, ...more })

describe('the end of sudo, su and doas', () => {
  it('a password that was taken and has run out is not said to be wrong', () => {
    const said = 'You are required to change your password immediately (administrator enforced).'
    expect(refused(attempt('su', ''), said)).toMatchObject({ code: 'not-permitted', stage: 'auth', outcome: 'not-sent', hint: expect.stringContaining('change its password') as string })
    expect(refused(attempt('su', ''), 'Sorry, try again.')).toMatchObject({ code: 'password-refused' })
  })

  it.each([
    ['sudo', 'rt is not in the sudoers file.  This incident will be reported.', 'not-permitted'],
    ['sudo', 'Sorry, user rt is not allowed to execute \'/bin/sh\' as root on vm.', 'not-permitted'],
    ['sudo', 'Sorry, user rt may not run sudo on vm.', 'not-permitted'],
    ['sudo', 'sudo: I\'m sorry rt. I\'m afraid I can\'t do that', 'not-permitted'],
    ['sudo', 'sudo: The "no new privileges" flag is set, which prevents sudo from running as root.', 'not-permitted'],
    ['sudo', 'sudo: Account expired, contact your system administrator', 'not-permitted'],
    ['sudo', 'sudo: sorry, you must have a tty to run sudo', 'tty-required'],
    ['sudo', 'sudo: unknown user web', 'auth-failed'],
    ['sudo', 'sudo: user \'web\' not found', 'auth-failed'],
    ['su', 'su: user web does not exist or the user entry does not contain all the required fields', 'auth-failed'],
    ['su', 'No passwd entry for user \'web\'', 'auth-failed'],
    ['su', 'su: must be run from a terminal', 'tty-required'],
    ['su', 'su: Permission denied', 'not-permitted'],
    ['su', 'su: Authentication failure', 'not-permitted'],
    ['su', 'This account is currently not available.', 'launch-failed'],
    ['doas', 'doas: Operation not permitted', 'not-permitted'],
    ['doas', 'doas: doas is not enabled, /etc/doas.conf: No such file or directory', 'not-permitted'],
    ['doas', 'doas: Authentication required', 'tty-required'],
    ['doas', 'doas: a tty is required', 'tty-required'],
    ['doas', 'doas: unknown user', 'auth-failed'],
    ['sudo', 'sudo: something new', 'launch-failed'],
  ] as const)('%s: "%s" is %s', (method, said, code) => {
    const error = becomeFailure(attempt(method, said))
    expect(error).toMatchObject({ code, outcome: 'not-sent', stage: code === 'launch-failed' ? 'launch' : 'auth', path: ['web1', 'it'], hint: expect.stringMatching(/\w+ \w+/) as string })
    expect(error.message).toContain(said)
    expect(error.message).toMatch(/^web1 > it: /)
  })

  it('quotes what sudo says of a refused command, and not the command, whose text is ours and long', () => {
    const command = `/bin/sh -c echo "$1$2 $$"; exec /bin/sh -c "$3" ramet aa bb ${'var v=process.version; '.repeat(100)}`
    const error = becomeFailure(attempt('sudo', `Sorry, user rt is not allowed to execute '${command}' as web on vm.`, { answered: true }))
    expect(error).toMatchObject({ code: 'not-permitted', message: "web1 > it: sudo refused; it said: Sorry, user rt is not allowed to execute '/bin/sh ...' as web on vm." })
  })

  it.each([
    ['sudo', 'sudo: 1 incorrect password attempt', 'password-refused'],
    ['sudo', 'sudo: maximum 3 incorrect authentication attempts', 'password-refused'],
    ['su', 'su: Authentication failure', 'password-refused'],
    ['su', 'su: incorrect password', 'password-refused'],
    ['su', '', 'password-refused'],
    ['su', 'su: Permission denied', 'not-permitted'],
    ['su', 'You are required to change your password immediately (administrator enforced).', 'not-permitted'],
    ['sudo', 'rt is not in the sudoers file.', 'not-permitted'],
    ['su', 'This account is currently not available.', 'launch-failed'],
  ] as const)('%s behind a password: "%s" is %s', (method, said, code) => {
    expect(becomeFailure(attempt(method, said, { answered: true }))).toMatchObject({ code, outcome: 'not-sent' })
  })
})
