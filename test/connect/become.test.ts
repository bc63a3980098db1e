import { randomFillSync } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { becomeArgv, type BecomeOptions, connectBecome } from '../../src/connect/become.ts'
import type { Connection, RemoteProcess } from '../../src/connect/transport.ts'
import type { RametError } from '../../src/router/errors.ts'
import { type FakePrograms, fakePrograms } from '../helpers/fake-program.ts'
import { Collector } from '../helpers/process-io.ts'
import { ownChildren } from '../helpers/sshd.ts'
import { settle, TestClock } from '../helpers/test-clock.ts'

const SECRET = 'correct horse'

let fakes: FakePrograms
let children: number[]
const open: Connection[] = []

beforeEach(() => {
  fakes = fakePrograms()
  children = ownChildren()
})

afterEach(async () => {
  await Promise.all(open.splice(0).map((connection) => connection.close()))
  expect(ownChildren().filter((pid) => !children.includes(pid))).toEqual([])
  fakes[Symbol.dispose]()
})

/** Shell text by which a fake comes to the program that it was asked to run. */
const SKIP: Record<'sudo' | 'su' | 'doas', string> = {
  sudo: 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"',
  su: 'while [ "$1" != -- ]; do shift; done; shift 2; exec /bin/sh "$@"',
  doas: 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"',
}

/** A program that asks with these words, takes one line, and runs its command when it is the right one. */
const asking = (method: 'sudo' | 'su', prompt: string, wrong = 'echo "su: Authentication failure" >&2; exit 1'): string =>
  `printf '%s' "${prompt}" >&2\nIFS= read -r given\nprintf '%s' "$given" >"$FAKE/given"\n[ "$given" = '${SECRET}' ] || { ${wrong}; }\n${SKIP[method]}`

interface Asked {
  connection: Connection
  process: RemoteProcess
  out: Collector
  questions: string[]
}

function start(method: 'sudo' | 'su' | 'doas', options: Partial<BecomeOptions> = {}, command = 'cat', password: string | undefined = SECRET): Asked {
  const questions: string[] = []
  const ask = password === undefined ? undefined : (text: string): Promise<string> => {
    questions.push(text)
    return Promise.resolve(password)
  }
  const connection = connectBecome({ method, env: fakes.env, ask, ...options })
  open.push(connection)
  const process = connection.open(command)
  return { connection, process, out: new Collector(process), questions }
}

/** Writes, ends the input, and gives what the command has printed when it has ended. */
async function through({ process, out }: Asked, text: string): Promise<string> {
  process.pipe.write(Buffer.from(text))
  process.pipe.end()
  await process.exited
  return out.text
}

const failureOf = ({ connection }: Asked): Promise<RametError> => connection.ready.then(() => { throw new Error('it was let in') }, (error: RametError) => error)

describe('the arguments', () => {
  const words = ['aa', 'bb', 'true', 'C'] as const

  it.each([
    ['sudo', ['sudo', '-S', '-H', '-u', 'web', '--', '/bin/sh', '-c']],
    ['su', ['su', '-s', '/bin/sh', '--', 'web', '-c']],
    ['doas', ['doas', '-n', '-u', 'web', '--', '/bin/sh', '-c']],
  ] as const)('of %s are its own options, "--", and the words for a shell', (method, expected) => {
    const argv = becomeArgv({ method, user: 'web', words })
    expect(argv.slice(0, expected.length)).toEqual(expected)
    expect(argv[expected.length]).toMatch(/^echo "\$1\$2 \$\$"; /)
    expect(argv.slice(expected.length + 1)).toEqual(['ramet', 'aa', 'bb', 'true', 'C'])
  })

  it('hold no whole of the line by which the process shows itself', async () => {
    fakes.add('sudo', `echo "$*"\n${SKIP.sudo}`)
    const asked = start('sudo', {}, 'echo hello')
    expect(await through(asked, '')).toBe('hello\n')
    const [half, other] = fakes.args('sudo').slice(-4) as [string, string]
    expect(half).toMatch(/^[0-9a-f]{16}$/)
    expect(other).toMatch(/^[0-9a-f]{16}$/)
    // What the program printed before is told apart from the command's output, and kept.
    expect(asked.out.stderrText).toContain(half)
  })

  it.each(['-oProxy', 'a b', 'x;y', ''])('never hold the user name "%s"', async (user) => {
    const asked = start('sudo', { user })
    expect(await failureOf(asked)).toMatchObject({ code: 'target-invalid', stage: 'auth', outcome: 'not-sent' })
    expect(fakes.file('sudo.args')).toBeUndefined()
  })
})

describe('a program that asks nothing', () => {
  it.each(['sudo', 'su', 'doas'] as const)('%s passes on what was written to the command and nothing else', async (method) => {
    fakes.add(method, SKIP[method])
    const asked = start(method)
    expect(await through(asked, 'stub bytes')).toBe('stub bytes')
    await asked.connection.ready
    expect(asked.questions).toEqual([])
    expect(asked.connection.stage).toBe('launch')
    expect(asked.out.cause).toBeUndefined()
  })

  it('lets its writer go on when it has taken what was held for it, all at once or not', async () => {
    fakes.add('sudo', SKIP.sudo)
    const sent = randomFillSync(Buffer.alloc(70_000))
    const { process, out } = start('sudo')
    for (let at = 0; at < sent.length; at += 35_000) process.pipe.write(sent.subarray(at, at + 35_000))
    expect(process.pipe.pending).toBe(sent.length)
    await out.until(() => out.drains > 0)
    process.pipe.end()
    await process.exited
    expect(out.buffer.equals(sent)).toBe(true)
    expect(out.drains).toBe(1)
  })

  it('may print as much as it likes first, in pieces and without an end of line', async () => {
    const clock = new TestClock()
    fakes.add('sudo', `printf 'sudo' >&2; printf ': ' >&2; printf 'unable to resolve host' >&2\n${SKIP.sudo}`)
    const asked = start('sudo', { clock })
    expect(await through(asked, 'stub')).toBe('stub')
    expect(asked.questions).toEqual([])
    expect(asked.out.stderrText).toBe('sudo: unable to resolve host')
  })

  it('is believed to ask only after a silence, which is longer where the line does not look like a prompt', async () => {
    const clock = new TestClock()
    fakes.add('sudo', `printf 'sudo: ' >&2; echo started; IFS= read -r given; echo "$given" >"$FAKE/given"; exit 1`)
    const asked = start('sudo', { clock })
    const timers = async (): Promise<void> => {
      while (fakes.file('sudo.args') === undefined || clock.pending === 0) await settle()
    }
    await timers()
    clock.advance(1499)
    await settle()
    expect(asked.questions).toEqual([])
    clock.advance(1)
    await settle()
    expect(asked.questions).toHaveLength(1)
    await asked.process.exited
  })

  it('starts the command in the locale of the caller, but speaks C itself', async () => {
    fakes.add('sudo', `echo "LC_ALL=$LC_ALL" >&2\n${SKIP.sudo}`)
    const german = start('sudo', { env: { ...fakes.env, LC_ALL: 'de_DE.UTF-8' } }, 'echo "$LC_ALL"')
    expect(await through(german, '')).toBe('de_DE.UTF-8\n')
    expect(german.out.stderrText).toBe('LC_ALL=C\n')
    const { LC_ALL: _, ...without } = fakes.env
    expect(await through(start('sudo', { env: without }, 'echo "${LC_ALL-none} ${SUDO_PROMPT-none}"'), '')).toBe('none none\n')
  })

  it('starts the command at home, as the leader of a process group', async () => {
    fakes.add('su', `HOME=${fakes.dir}; export HOME\n/bin/sh -c 'shift 4; exec /bin/sh "$@"' sh "$@"\nexit $?`)
    const asked = start('su', {}, 'pwd; read -r a b c d group rest </proc/$$/stat; [ $group = $$ ] && echo leader')
    expect(await through(asked, '')).toBe(`${fakes.dir}\nleader\n`)
  })
})

describe('a program that asks', () => {
  it.each([
    ['sudo with our prompt', 'sudo', '$SUDO_PROMPT', /^sudo to root: password: $/],
    ['sudo whose PAM asks by itself', 'sudo', 'Password: ', /Password: $/],
    ['sudo-rs, which puts our prompt into its own', 'sudo', '[sudo: $SUDO_PROMPT] Password: ', /^sudo to root: password: $/],
    ['sudo-rs of old', 'sudo', '[sudo: authenticate] Password: ', /\[sudo: authenticate\] Password: $/],
    ['su', 'su', 'Password: ', /^su to root: Password: $/],
    ['su in French', 'su', 'Mot de passe : ', /Mot de passe : $/],
    ['su in Chinese', 'su', '密码：', /密码： $/],
    ['su with a lecture', 'su', 'Mind what you do.\n\nPassword: ', /^su to root: Password: $/],
  ] as const)('%s gets the password once, and the command gets every other byte', async (_name, method, prompt, shown) => {
    fakes.add(method, asking(method, prompt))
    const asked = start(method)
    expect(await through(asked, 'stub bytes\nmore')).toBe('stub bytes\nmore')
    expect(fakes.file('given')).toBe(SECRET)
    expect(asked.questions).toHaveLength(1)
    expect(asked.questions[0]).toMatch(shown)
    expect(asked.questions[0]).not.toContain('ramet')
  })

  it('names the account whose password it wants, where sudo says it', async () => {
    fakes.add('sudo', asking('sudo', '${SUDO_PROMPT%%%p*}alice${SUDO_PROMPT#*%p}'))
    const asked = start('sudo', { user: 'web' })
    expect(await through(asked, '')).toBe('')
    expect(asked.questions).toEqual(['sudo to web: password of alice: '])
  })

  it('may read more than the line: nothing stands behind it', async () => {
    fakes.add('su', `printf 'Password: ' >&2\ngiven=$(dd bs=65536 count=1 2>/dev/null)\nprintf '%s' "$given" >"$FAKE/given"\n${SKIP.su}`)
    const asked = start('su')
    expect(await through(asked, 'stub bytes')).toBe('stub bytes')
    expect(fakes.file('given')).toBe(SECRET)
  })

  it('asks once for all processes of a connection', async () => {
    fakes.add('su', asking('su', 'Password: '))
    const asked = start('su')
    expect(await through(asked, 'one')).toBe('one')
    const second = { ...asked, process: asked.connection.open('cat') }
    expect(await through({ ...second, out: new Collector(second.process) }, 'two')).toBe('two')
    expect(asked.questions).toHaveLength(1)
  })

  it('fails with password-needed when there is none, and never reads a byte of the stub', async () => {
    fakes.add('sudo', asking('sudo', 'Password: '))
    const connection = connectBecome({ method: 'sudo', env: fakes.env, path: ['web1', 'sudo:root'] })
    open.push(connection)
    const process = connection.open('cat')
    const out = new Collector(process)
    process.pipe.write(Buffer.from('stub bytes\n'))
    await expect(connection.ready).rejects.toMatchObject({
      code: 'password-needed', stage: 'auth', outcome: 'not-sent', path: ['web1', 'sudo:root'], message: expect.stringMatching(/^web1 > sudo:root: .*Password:/) as string,
      hint: expect.stringContaining('NOPASSWD') as string })
    await process.exited
    expect(out.cause).toMatchObject({ code: 'password-needed' })
    expect(fakes.file('given') ?? '').toBe('')
  })

  it.each([
    ['says so and ends', 'su', 'Password: ', 'echo "su: Authentication failure" >&2; exit 1', 'Authentication failure'],
    ['asks again', 'sudo', 'Password: ', 'echo "Sorry, try again." >&2; printf "Password: " >&2; IFS= read -r given; printf "%s" "$given" >"$FAKE/again"; exit 1', 'Sorry, try again'],
    ['asks again in other words', 'sudo', '$SUDO_PROMPT', 'printf "Verification code: " >&2; IFS= read -r given; printf "%s" "$given" >"$FAKE/again"; exit 1', ''],
  ] as const)('fails with password-refused when it %s: the password is given once', async (_name, method, prompt, wrong, said) => {
    fakes.add(method, asking(method, prompt, wrong))
    const asked = start(method, {}, 'cat', 'wrong one')
    asked.process.pipe.write(Buffer.from('stub bytes\n'))
    const error = await failureOf(asked)
    expect(error).toMatchObject({ code: 'password-refused', stage: 'auth', outcome: 'not-sent', hint: expect.stringContaining('may not use') as string })
    expect(error.message).toContain(said)
    expect(error.message).not.toContain('wrong one')
    expect(error.message).not.toContain('ramet ')
    await asked.process.exited
    expect(fakes.file('given')).toBe('wrong one')
    expect(fakes.file('again') ?? '').toBe('')
    expect(asked.questions).toHaveLength(1)
  })

  it.each(['two\nlines', 'nul\0', 'x'.repeat(600)])('is not given what cannot be a password', async (password) => {
    fakes.add('su', asking('su', 'Password: '))
    expect(await failureOf(start('su', {}, 'cat', password))).toMatchObject({ code: 'password-refused', stage: 'auth' })
    expect(fakes.file('given') ?? '').toBe('')
  })

  it('leaves nothing when nobody answers and the attempt is given up', async () => {
    fakes.add('su', asking('su', 'Password: '))
    const abort = new AbortController()
    let shown: () => void
    const question = new Promise<void>((resolve) => (shown = resolve))
    const asked = start('su', { signal: abort.signal, ask: () => { shown(); return new Promise(() => {}) } })
    await question
    abort.abort(new Error('enough'))
    expect(await failureOf(asked)).toMatchObject({ code: 'cancelled', stage: 'auth', outcome: 'not-sent' })
    await asked.process.exited
  })
})

describe('a program that refuses', () => {
  it('is quoted', async () => {
    fakes.add('sudo', 'echo "rt is not in the sudoers file." >&2; exit 1')
    const asked = start('sudo', { path: ['web1', 'sudo:root'] })
    const error = await failureOf(asked)
    expect(error).toMatchObject({ code: 'not-permitted', stage: 'auth', outcome: 'not-sent', path: ['web1', 'sudo:root'],
      message: 'web1 > sudo:root: sudo refused; it said: rt is not in the sudoers file.' })
    await asked.process.exited
    expect(asked.out.cause).toBe(error)
  })

  it('that is not there is named', async () => {
    const asked = start('doas', { env: { PATH: fakes.dir } })
    expect(await failureOf(asked)).toMatchObject({ code: 'launch-failed', message: 'doas:root: there is no doas on this machine', hint: expect.stringContaining('Install doas') as string })
  })

  it('shows only the last lines, without what could upset a terminal', async () => {
    fakes.add('sudo', `i=0; while [ $i -lt 500 ]; do echo "line $i of noise"; i=$((i+1)); done >&2; printf 'last \\033[31mwords\\n' >&2; exit 1`)
    const error = await failureOf(start('sudo'))
    expect(error.message).toContain('last ?[31mwords')
    expect(error.message.length).toBeLessThan(800)
  })

  it('is cut off when it prints without end', async () => {
    fakes.add('su', 'exec yes')
    expect(await failureOf(start('su'))).toMatchObject({ code: 'launch-failed', message: expect.stringContaining('where a shell was to start') as string })
  })
})

describe('a connection to another account', () => {
  it('for commands only is ready without one', async () => {
    fakes.add('sudo', SKIP.sudo)
    const connection = connectBecome({ method: 'sudo', env: fakes.env, commands: true })
    open.push(connection)
    await connection.ready
    expect(connection.stage).toBe('launch')
    const process = connection.open('echo yes')
    expect(await through({ connection, process, out: new Collector(process), questions: [] }, '')).toBe('yes\n')
  })

  it('counts bytes, says when it is closed, and opens nothing afterwards', async () => {
    fakes.add('sudo', SKIP.sudo)
    const asked = start('sudo', {}, 'cat; sleep 100')
    asked.process.pipe.write(Buffer.from('12345'))
    await asked.out.until(() => asked.out.bytes === 5)
    const { bytesIn, bytesOut } = asked.connection.stats()
    expect({ bytesOut, more: bytesIn > 5 && bytesIn < 60 }).toEqual({ bytesOut: 5, more: true })
    let closed = 0
    asked.connection.onClose(() => closed++)
    await Promise.all([asked.connection.close(), asked.connection.close()])
    expect(closed).toBe(1)
    const late = new Collector(asked.connection.open('true'))
    await late.until(() => late.closed === 1)
    expect(late.cause).toMatchObject({ code: 'closed', outcome: 'not-sent' })
  })

  it.each([
    ['su', true, 'words\n'], ['su', false, 'words\n\nSession terminated, killing shell... ...killed.\nKilled\n'],
    ['sudo', true, 'words\n\nSession terminated, killing shell... ...killed.\nKilled\n'],
  ] as const)('%s: what su says of an end that was asked for (%s) is left out, what the command said is not', async (method, asked, expected) => {
    fakes.add(method, `${SKIP[method].replace('exec', '')}\nprintf '\\nSession terminated, killing shell...' >&2; echo ' ...killed.' >&2; echo Killed >&2`)
    const all = start(method, {}, 'echo words >&2; read end')
    await all.out.until(() => all.out.stderrText === 'words\n')
    if (asked) all.process.wake?.()
    await through(all, 'end\n')
    expect(all.out.stderrText).toBe(expected)
  })

  it('gives a process that ignores the end of its input and TERM a moment, and then ends it', async () => {
    const clock = new TestClock()
    fakes.add('sudo', SKIP.sudo)
    const asked = start('sudo', { clock }, 'trap "" TERM; echo up; while :; do sleep 0.05; done')
    await asked.out.until(() => asked.out.text === 'up\n')
    const closing = asked.connection.close()
    await settle()
    clock.advance(500)
    await settle()
    expect(ownChildren().length).toBe(children.length + 1)
    clock.advance(3000)
    await closing
  })
})
