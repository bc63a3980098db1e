import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type ConnectOptions, type Context, Controller, type PromptRequest, secret } from '../../src/controller/index.ts'
import { type Accounts, makeAccounts, noAccounts, noDoas, publiclySeen } from '../helpers/accounts.ts'
import { childrenOf, expectHelpful, failure, leakCheck, loginTo, records } from '../helpers/e2e-lab.ts'
import { haveSshd, startSshd, type TestServer } from '../helpers/sshd.ts'
import { alive, pidOf, soon } from '../helpers/tree-lab.ts'

/** Real accounts, and hops that a real sshd lets in as each of them: what asks there is no root and can signal nobody else. */
const missing = noAccounts ?? (haveSshd ? undefined : 'there is no sshd')
const why = missing === undefined ? '' : ` (left out: ${missing})`
const whyNoDoas = noDoas === undefined ? '' : ` (left out: ${noDoas})`

let accounts: Accounts
let server: TestServer
let ramet: Controller
let log: ReturnType<typeof records>
let noLeaks: () => Promise<void>

beforeAll(async () => {
  if (missing !== undefined) return
  accounts = makeAccounts(['ask', 'free', 'stranger', 'tty', 'target'], {
    sudoers: { ask: 'ALL=(ALL) ALL', free: 'ALL=(ALL) NOPASSWD: ALL', tty: 'ALL=(ALL) NOPASSWD: ALL' },
    sudoersLines: ['Defaults:%tty% requiretty'],
    doasLines: ['permit nopass %free% as %target%', 'permit %ask% as %target%'],
  })
  server = await startSshd({ realHome: true })
})
afterAll(async () => {
  await server?.stop()
  accounts?.[Symbol.dispose]()
})

beforeEach(() => {
  if (missing !== undefined) return
  noLeaks = leakCheck()
  log = records()
  ramet = new Controller({ logger: log.logger })
})
afterEach(async () => {
  if (missing !== undefined) return
  await ramet.close()
  await noLeaks()
  for (const short of ['ask', 'free', 'stranger', 'tty', 'target']) await soon(() => expect(accounts.processes(short)).toEqual([]))
})

const address = (short: string): string => `${short === 'root' ? server.user : accounts.name(short)}@127.0.0.1:${server.port}`

/** A hop that is this account, behind the hops that are the accounts before it. */
async function hopAs(...shorts: string[]): Promise<Context> {
  let hop: Context | undefined
  for (const short of shorts) {
    const options = { ...loginTo(server), ...(hop === undefined ? {} : { via: hop }) }
    hop = await ramet.connect(`ssh://${address(short)}`, options)
  }
  return hop as Context
}

async function expectTarget(context: Context): Promise<void> {
  const home = accounts.home('target')
  expect((await context.exec('id -un; pwd; echo "$HOME"; cat', { stdin: 'typed' })).stdout.split('\n')).toEqual([accounts.name('target'), home, home, 'typed'])
  expect(await context.call(() => process.getuid?.())).toBe(accounts.uid('target'))
}

/** Who asks, and whose password is given. */
const WORKS = [
  ['sudo', 'ask', 'ask'],
  ['sudo', 'free', 'nobody'],
  ['su', 'stranger', 'target'],
  ['doas', 'free', 'nobody'],
] as const
const FAILS = [
  ['sudo', 'ask', 'wrong', 'password-refused', /incorrect password|try again/i],
  ['sudo', 'ask', 'nobody', 'password-needed', /password/i],
  ['sudo', 'stranger', 'stranger', 'not-permitted', /not in the sudoers file/],
  ['sudo', 'tty', 'nobody', 'tty-required', /tty/],
  ['su', 'stranger', 'wrong', 'password-refused', /Authentication failure/i],
  ['su', 'stranger', 'nobody', 'password-needed', /password/i],
  ['doas', 'ask', 'ask', 'tty-required', /auth\w+ required/i],
  ['doas', 'ask', 'nobody', 'tty-required', /auth\w+ required/i],
  ['doas', 'stranger', 'nobody', 'not-permitted', /Operation not permitted/],
] as const

const given = (whose: string): string | undefined => (whose === 'nobody' ? undefined : whose === 'wrong' ? 'not this one' : accounts.password(whose))

describe.skipIf(missing !== undefined)(`sudo and su behind a hop that is no root${why}`, () => {
  behindHops(['sudo', 'su'])
})
describe.skipIf(missing !== undefined || noDoas !== undefined)(`doas behind a hop that is no root${missing === undefined ? whyNoDoas : why}`, () => {
  behindHops(['doas'])
})

function behindHops(methods: readonly string[]): void {
  const works = WORKS.filter(([method]) => methods.includes(method))
  const fails = FAILS.filter(([method]) => methods.includes(method))

  test.each(works)('%s by %s: a call and a command run as the target, and a password goes there once', async (method, short, whose) => {
    const hop = await hopAs(short)
    const target = `${method}:${accounts.name('target')}`
    const asked: PromptRequest[] = []
    const prompt = (request: PromptRequest): Promise<string> => {
      asked.push(request)
      return Promise.resolve(given(whose) ?? 'never asked for')
    }
    const context = await hop.connect(target, { prompt })
    await expectTarget(context)
    expect(context.path).toEqual([address(short), target])
    expect(asked.map(({ kind, path }) => ({ kind, path }))).toEqual(whose === 'nobody' ? [] : [{ kind: 'become', path: context.path }])
    expect(publiclySeen(given(whose) ?? 'never asked for')).toEqual([])
    expect(JSON.stringify([log.all, ramet.describe()])).not.toContain(given(whose) ?? 'never asked for')
    // A hop that may signal nobody ends it all the same, what spins and what ignores signals among it.
    const spinning = failure(context.call(() => { for (;;); }))
    const stubborn = context.spawn('trap "" TERM HUP INT; while :; do sleep 1; done')
    const ended = failure(stubborn.exited)
    await stubborn.pid
    await context.close()
    expect(await spinning).toMatchObject({ code: 'closed', path: context.path })
    await ended
    await soon(() => expect(accounts.processes('target')).toEqual([]))
    expect(await hop.call(() => process.getuid?.())).toBe(accounts.uid(short))
  }, 30_000)

  test.each(works)('%s by %s: commands without an interpreter, one password for all of them', async (method, short, whose) => {
    const hop = await hopAs(short)
    let asked = 0
    const password = given(whose) ?? 'never asked for'
    const context = await hop.connect(`${method}:${accounts.name('target')}`, { runtime: 'raw', prompt: () => Promise.resolve((asked++, password)) })
    const results = await Promise.all([1, 2, 3].map((number) => context.exec(`id -un; echo ${number}`)))
    expect(results.map(({ stdout }) => stdout)).toEqual([1, 2, 3].map((number) => `${accounts.name('target')}\n${number}\n`))
    expect(asked).toBe(whose === 'nobody' ? 0 : 1)
    expect(publiclySeen(password)).toEqual([])
  }, 30_000)

  test.each(works)('%s by %s: a command without an interpreter ends with the connection of its hop, which may not signal it', async (method, short, whose) => {
    const hop = await hopAs('root', short)
    const context = await hop.connect(`${method}:${accounts.name('target')}`, { runtime: 'raw', ...(whose === 'nobody' ? {} : { password: accounts.password(whose) }) })
    const stubborn = context.spawn('trap "" TERM HUP INT; while :; do sleep 1; done')
    const command = failure(stubborn.exited)
    await stubborn.pid
    // Answered by the hop, which knows by then what it is to end.
    await context.exec('true')
    const session = Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pidOf(hop)}/status`, 'utf8'))?.[1])
    expect(session).toBeGreaterThan(1)
    process.kill(session, 'SIGKILL')
    expect(await command).toMatchObject({ code: 'link-lost', outcome: 'unknown', path: context.path })
    await soon(() => expect(accounts.processes('target')).toEqual([]))
  }, 30_000)

  test.each(fails)('%s by %s with the password of %s, two hops away, fails with %s; nothing is left running', async (method, short, whose, code, said) => {
    const hop = await hopAs('root', short)
    const target = `${method}:${accounts.name('target')}`
    const path = [address('root'), address(short), target]
    const password = given(whose)
    const options: ConnectOptions = password === undefined ? {} : { password: secret(password) }
    await Promise.all((['auto', 'raw'] as const).map(async (runtime) => {
      const connecting = hop.connect(target, { runtime, ...options })
      const work = failure(connecting.exec('id'))
      const error = await failure(connecting)
      expect(error).toMatchObject({ code, stage: 'auth', outcome: 'not-sent', path })
      expect(error.message).toContain(path.join(' > '))
      expect(error.message).toMatch(said)
      expectHelpful(error, target)
      expect(await work).toMatchObject({ code, outcome: 'not-sent', path })
      expect(`${error.message} ${error.hint} ${JSON.stringify(log.all)}`).not.toContain(password ?? 'not this one')
    }))
    expect(accounts.processes('target')).toEqual([])
    // Not the program that asked either.
    await soon(() => expect(childrenOf(pidOf(hop))).toEqual([]))
    expect(await hop.call(() => process.getuid?.())).toBe(accounts.uid(short))
  }, 30_000)

  test.each(works)('%s by %s: kill -9 of the hop ends what runs as the target', async (method, short, whose) => {
    const hop = await hopAs('root', short)
    const context = await hop.connect(`${method}:${accounts.name('target')}`, whose === 'nobody' ? {} : { password: accounts.password(whose) })
    const stubborn = context.spawn('trap "" TERM HUP INT; echo up; while :; do sleep 1; done')
    const command = failure(stubborn.exited)
    await new Promise((resolve) => stubborn.stdout.once('data', resolve))
    const started = await context.call(() => (require('child_process') as typeof import('node:child_process')).spawn('sleep', ['304'], { stdio: 'inherit' }).pid as number)
    const spinning = failure(context.call(() => { for (;;); }))
    // What was asked for after it has been answered: it has begun.
    await context.exec('true')
    const pids = accounts.processes('target').map((line) => Number.parseInt(line))
    expect(pids).toEqual(expect.arrayContaining([pidOf(context), await stubborn.pid, started]))
    process.kill(pidOf(hop), 'SIGKILL')
    for (const error of [await spinning, await command]) expect(error).toMatchObject({ code: 'link-lost', outcome: 'unknown', path: context.path })
    await soon(() => expect(accounts.processes('target')).toEqual([]))
  }, 30_000)

  test.each(works)('%s by %s: one that stands still is lost at its limit, though the hop cannot end it, and another takes its place', async (method, short, whose) => {
    const hop = await hopAs(short)
    const target = `${method}:${accounts.name('target')}`
    const options = { keepalive: { interval: 100, count: 3 }, ...(whose === 'nobody' ? {} : { password: accounts.password(whose) }) }
    const context = await hop.connect(target, options)
    const command = failure(context.exec('sleep 305'))
    await context.exec('true')
    const frozen = [pidOf(context), ...childrenOf(pidOf(hop)).map((line) => Number.parseInt(line))]
    try {
      process.kill(pidOf(context), 'SIGSTOP')
      expect(await command).toMatchObject({ code: 'link-lost', outcome: 'unknown', path: context.path })
      expect([context.state, alive(pidOf(context))]).toEqual(['lost', true])
      await expectTarget(await hop.connect(target, options))
    } finally {
      for (const pid of frozen) if (alive(pid)) process.kill(pid, 'SIGCONT')
    }
  }, 30_000)
}
