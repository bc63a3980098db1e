import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Connecting, ConnectOptions, Context, PromptRequest } from '../../src/controller/index.ts'
import { Controller, secret } from '../../src/controller/index.ts'
import { type Accounts, makeAccounts, noAccounts, noDoas, publiclySeen } from '../helpers/accounts.ts'
import { controllerProcesses, type ControllerProcesses } from '../helpers/controller-process.ts'
import { expectHelpful, failure, leakCheck, records } from '../helpers/e2e-lab.ts'
import { TestClock } from '../helpers/test-clock.ts'
import { alive, pidOf, soon } from '../helpers/tree-lab.ts'

/**
 * Real accounts, real sudo, su and doas. Those that run the tests are root, who is asked for nothing: where another account
 * has to be the one that asks, a program of ours stands first in PATH and becomes that account before it runs the real one.
 */
const why = noAccounts === undefined ? '' : ` (left out: ${noAccounts})`
const whyNoDoas = noDoas === undefined ? '' : ` (left out: ${noDoas})`
const PATH = process.env['PATH']

let accounts: Accounts
let controller: Controller
let log: ReturnType<typeof records>
let noLeaks: () => Promise<void>

beforeAll(() => {
  if (noAccounts !== undefined) return
  accounts = makeAccounts(['ask', 'free', 'stranger', 'tty', 'their', 'target'], {
    sudoers: { ask: 'ALL=(ALL) ALL', free: 'ALL=(ALL) NOPASSWD: ALL', tty: 'ALL=(ALL) NOPASSWD: ALL', their: 'ALL=(ALL) ALL' },
    sudoersLines: ['Defaults:%tty% requiretty', 'Defaults:%their% targetpw'],
    doasLines: ['permit nopass %free% as %target%', 'permit %ask% as %target%'],
  })
})

afterAll(() => accounts?.[Symbol.dispose]())

function setUp(): void {
  log = records()
  controller = new Controller({ logger: log.logger })
  noLeaks = leakCheck()
}

async function tearDown(): Promise<void> {
  process.env['PATH'] = PATH
  await controller.close()
  await noLeaks()
  for (const short of ['ask', 'free', 'stranger', 'target']) await vi.waitFor(() => expect(accounts.processes(short)).toEqual([]), { timeout: 10_000, interval: 50 })
}

const stopped = (pid: number): boolean => /^State:\tT/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))

/** Connects as if that account ran the controller. */
function connectAs(short: string, method: 'sudo' | 'su' | 'doas', target = 'target', options: ConnectOptions = {}): Connecting {
  process.env['PATH'] = accounts.pathAs(short, method)
  return controller.connect(`${method}:${target === 'target' ? accounts.name(target) : target}`, options)
}

async function who(context: Context): Promise<unknown> {
  const { stdout } = await context.exec('id -un; pwd; echo "$HOME"; echo "${SUDO_PROMPT-none}"')
  const uid = context.runtime === 'node' ? await context.call(() => process.getuid?.()) : undefined
  return { lines: stdout.trimEnd().split('\n'), uid }
}

const theTarget = (): unknown => ({ lines: [accounts.name('target'), accounts.home('target'), accounts.home('target'), 'none'], uid: accounts.uid('target') })

describe.skipIf(noAccounts !== undefined)(`real accounts${why}`, () => {
  beforeEach(setUp)
  afterEach(tearDown)

  test.each(['sudo', 'su'] as const)('root becomes anybody by %s, and is asked for nothing', async (method) => {
    const prompt = vi.fn<() => Promise<string>>()
    const context = await controller.connect(`${method}:${accounts.name('target')}`, { prompt })
    expect(await who(context)).toEqual(theTarget())
    expect(context.path).toEqual([`${method}:${accounts.name('target')}`])
    expect(prompt).not.toHaveBeenCalled()
  })

  test('sudo without a password in sudoers asks nobody, and a password that was given is not used', async () => {
    const context = await connectAs('free', 'sudo', 'target', { password: 'never asked for' })
    expect(await who(context)).toEqual(theTarget())
  })

  test.each([['sudo', 'ask'], ['su', 'stranger']] as const)('%s gets the password that was given', async (method, short) => {
    const password = accounts.password(method === 'sudo' ? short : 'target')
    const context = await connectAs(short, method, 'target', { password: secret(password) })
    expect(await who(context)).toEqual(theTarget())
    // Not on any command line, in no environment (of the target's processes neither), in no log.
    expect(publiclySeen(password)).toEqual([])
    expect(await context.call((needle: string) => JSON.stringify(process.env).includes(needle) || process.argv.join().includes(needle), password)).toBe(false)
    expect(JSON.stringify(log.all)).not.toContain(password)
    expect(JSON.stringify(controller.describe())).not.toContain(password)
  })

  test('a person is asked once, and told whose password it is', async () => {
    const asked: PromptRequest[] = []
    const prompt = (request: PromptRequest): Promise<string> => {
      asked.push(request)
      return Promise.resolve(accounts.password(request.path[0]?.startsWith('su:') === true || request.text.includes(accounts.name('target')) ? 'target' : 'ask'))
    }
    const [sudo, su] = [`sudo:${accounts.name('target')}`, `su:${accounts.name('target')}`]
    expect(await who(await connectAs('their', 'sudo', 'target', { prompt }))).toEqual(theTarget())
    expect(await who(await connectAs('stranger', 'su', 'target', { prompt }))).toEqual(theTarget())
    expect(asked).toEqual([
      { kind: 'become', path: [sudo], text: `sudo to ${accounts.name('target')}: password of ${accounts.name('target')}: ` },
      { kind: 'become', path: [su], text: `su to ${accounts.name('target')}: Password: ` },
    ])
  })

  test('commands without an interpreter run the same way, and one password does for all', async () => {
    const prompt = vi.fn<() => Promise<string>>(() => Promise.resolve(accounts.password('target')))
    const context = await connectAs('stranger', 'su', 'target', { prompt, runtime: 'raw' })
    expect(await Promise.all([who(context), who(context)])).toEqual([1, 2].map(() => ({ ...(theTarget() as object), uid: undefined })))
    expect(await context.exec('cat', { stdin: 'typed' })).toMatchObject({ stdout: 'typed', exitCode: 0 })
    expect(prompt).toHaveBeenCalledTimes(1)
  })

  test.each([
    ['sudo', 'ask', 'wrong', 'password-refused'],
    ['su', 'stranger', 'wrong', 'password-refused'],
    ['sudo', 'stranger', 'right', 'not-permitted'],
    ['sudo', 'ask', 'none', 'password-needed'],
    ['su', 'stranger', 'none', 'password-needed'],
    ['sudo', 'tty', 'none', 'tty-required'],
  ] as const)('%s by %s with the %s password fails with %s, and starts nothing', async (method, short, which, code) => {
    const password = which === 'none' ? undefined : which === 'right' ? accounts.password(short) : 'not this one'
    const connecting = connectAs(short, method, 'target', password === undefined ? {} : { password })
    // Work that was waiting for it never left.
    expect(await failure(connecting.exec('id'))).toMatchObject({ code, outcome: 'not-sent' })
    const error = await failure(connecting)
    expect(error).toMatchObject({ code, stage: 'auth', path: [`${method}:${accounts.name('target')}`] })
    expectHelpful(error, accounts.name('target'))
    expect(`${error.message} ${error.hint} ${JSON.stringify(log.all)}`).not.toContain(password ?? 'not this one')
  })

  test.each(['sudo', 'su'] as const)('%s to an account that is not there says so', async (method) => {
    const error = await failure(connectAs('free', method, 'nobody-of-this-name'))
    expect(error).toMatchObject({ code: 'auth-failed', stage: 'auth', message: expect.stringContaining('nobody-of-this-name') as string })
  })

  test('through a hop it is the same: the password goes there when it is asked for, and an error names the way', async () => {
    process.env['PATH'] = accounts.pathAs('ask', 'sudo')
    const hop = await controller.connect('local:')
    const target = `sudo:${accounts.name('target')}`
    const password = accounts.password('ask')
    const context = await hop.connect(target, { prompt: () => Promise.resolve(password) })
    expect(await who(context)).toEqual(theTarget())
    expect(publiclySeen(password)).toEqual([])
    const error = await failure(hop.connect(target, { fresh: true, password: 'not this one' }))
    expect(error).toMatchObject({ code: 'password-refused', stage: 'auth', path: ['local', target] })
    expectHelpful(error, target)
    expect(await failure(hop.connect('docker:nobody-of-this-name'))).toMatchObject({ path: ['local', 'docker:nobody-of-this-name'] })
    expect(await who(context)).toEqual(theTarget())
  })

  test.each([
    ['sudo', 'root'],
    ['su', 'root'],
    ['sudo', 'target'],
    ['su', 'target'],
  ] as const)('%s, which stops itself with a stub of %s that is stopped, does not hold up its end', async (method, short) => {
    // Its time stands still: nothing is given up by patience.
    const ramet = new Controller({ logger: log.logger }, new TestClock())
    const context = await ramet.connect(`${method}:${short === 'root' ? short : accounts.name(short)}`)
    const stub = pidOf(context)
    const program = Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${stub}/status`, 'utf8'))?.[1])
    try {
      process.kill(stub, 'SIGSTOP')
      await soon(() => expect(stopped(program)).toBe(true))
      process.kill(stub, 'SIGCONT')
      expect(await context.call(() => 1)).toBe(1)
      // A stub of root's may continue it. One of another account's may not.
      if (short === 'root') await soon(() => expect(stopped(program)).toBe(false))
      else expect(stopped(program)).toBe(true)
      await ramet.close()
    } finally {
      if (alive(program)) process.kill(program, 'SIGKILL')
    }
  })

  test('user code of another account dies with the controller that was killed, and so does what it has started', async () => {
    const processes: ControllerProcesses = await controllerProcesses()
    try {
      for (const [short, method] of [['ask', 'sudo'], ['stranger', 'su']] as const) {
        process.env['PATH'] = accounts.pathAs(short, method)
        const password = accounts.password(method === 'sudo' ? short : 'target')
        const running = processes.start(`
          const controller = new ramet.Controller({ logger: quiet })
          const context = await controller.connect(args.target, { prompt: () => new Promise((resolve) => process.stdin.once('data', (text) => resolve(String(text)))) })
          const stubborn = context.spawn('trap "" TERM HUP INT; while :; do sleep 1; done')
          await stubborn.pid
          const child = await context.call(() => require('child_process').spawn('sleep', ['302'], { stdio: 'inherit' }).pid)
          void context.call(() => { for (;;); }).catch(() => {})
          say('ready', child)
        `, { target: `${method}:${accounts.name('target')}` }, password)
        await running.said('ready')
        expect(accounts.processes('target').length).toBeGreaterThanOrEqual(4)
        expect(publiclySeen(password)).toEqual([])
        running.child.kill('SIGKILL')
        await running.ended
        await vi.waitFor(() => expect(accounts.processes('target')).toEqual([]), { timeout: 10_000, interval: 50 })
      }
    } finally {
      processes[Symbol.dispose]()
    }
  }, 40_000)
})

describe.skipIf(noDoas !== undefined)(`real doas${whyNoDoas}`, () => {
  beforeEach(setUp)
  afterEach(tearDown)

  test('runs as the account where its rules ask for no password', async () => {
    const context = await connectAs('free', 'doas')
    expect(await who(context)).toEqual(theTarget())
    const pid = await context.call(() => require('child_process').spawn('sleep', ['303'], { stdio: 'inherit' }).pid as number)
    expect(accounts.processes('target').map((line) => Number.parseInt(line))).toContain(pid)
    await context.close()
    await vi.waitFor(() => expect(accounts.processes('target')).toEqual([]), { timeout: 5000, interval: 50 })
  })

  test('asks on terminals only, where it wants a password', async () => {
    expect(await failure(connectAs('ask', 'doas', 'target', { password: 'x' }))).toMatchObject({ code: 'tty-required', stage: 'auth', hint: expect.stringContaining('nopass') as string })
  })

  test('refuses whom it has no rule for', async () => {
    expect(await failure(connectAs('stranger', 'doas'))).toMatchObject({ code: 'not-permitted', stage: 'auth', message: expect.stringContaining('Operation not permitted') as string })
  })
})
