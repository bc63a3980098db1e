import { readFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CallOptions, ConnectOptions, Context, Controller, ExecError, ExecOptions } from '../../src/controller/index.ts'
import { expectHelpful, failure, leakCheck, loginTo, quietController, targetOf } from '../helpers/e2e-lab.ts'
import { haveDropbear, haveSshd, startDropbear, startSshd, type TestServer } from '../helpers/sshd.ts'

interface Kind {
  name: string
  here: boolean
  server?: () => Promise<TestServer>
  options: ConnectOptions
  transport: string
}

const kinds: Kind[] = [
  { name: 'ssh2 with Node', here: haveSshd, server: () => startSshd(), options: { runtime: 'node' }, transport: 'ssh2' },
  { name: 'ssh2 without Node', here: haveSshd, server: () => startSshd(), options: { runtime: 'raw' }, transport: 'ssh2' },
  { name: 'ssh2 whose Node is missing', here: haveSshd, server: () => startSshd(), options: { runtime: 'auto', node: '/none/node' }, transport: 'ssh2' },
  { name: 'openssh with Node', here: haveSshd, server: () => startSshd(), options: { runtime: 'node', transport: 'openssh' }, transport: 'openssh' },
  { name: 'openssh without Node', here: haveSshd, server: () => startSshd(), options: { runtime: 'raw', transport: 'openssh' }, transport: 'openssh' },
  { name: 'dropbear with Node', here: haveDropbear, server: () => startDropbear(), options: { runtime: 'node' }, transport: 'ssh2' },
  { name: 'local with Node', here: true, options: { runtime: 'node' }, transport: 'local' },
  { name: 'local without Node', here: true, options: { runtime: 'raw' }, transport: 'local' },
]

async function text(stream: Readable): Promise<string> {
  let all = ''
  for await (const chunk of stream.setEncoding('utf8')) all += chunk as string
  return all
}

function gone(pid: number): boolean {
  try {
    return /^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return true
  }
}

for (const { name, here, server: start, options, transport } of kinds) {
  describe.skipIf(!here)(`context: ${name}`, () => {
    let server: TestServer | undefined
    let ramet: Controller
    let context: Context
    let leaks: ReturnType<typeof leakCheck>
    const raw = options.runtime !== 'node'
    const connect = (more: ConnectOptions = {}): Promise<Context> =>
      ramet.connect(server === undefined ? 'local:' : targetOf(server), { ...(server === undefined ? {} : loginTo(server)), ...options, ...more })

    beforeAll(async () => {
      server = await start?.()
      leaks = leakCheck()
      ramet = quietController()
      context = await connect()
    })
    afterAll(async () => {
      try {
        await ramet.close()
        await leaks(...(server === undefined ? [] : [server]))
      } finally {
        await server?.stop()
      }
    })

    test('says what it is', async () => {
      expect(context.runtime).toBe(raw ? 'raw' : 'node')
      expect(context.state).toBe('connected')
      expect(context.info === undefined).toBe(raw)
      expect(ramet.stats().links).toMatchObject([{ from: 'controller', to: context.path[0], transport }])
      expect(await context.ping()).toBeGreaterThan(0)
    })

    test('gives stdout and stderr apart and merged, the exit code, and a duration', async () => {
      const result = await context.exec('echo one; sleep 0.05; echo two >&2; sleep 0.05; echo three; exit 3')
      expect(result).toEqual({
        stdout: 'one\nthree\n', stderr: 'two\n', exitCode: 3, signal: null, truncated: false, duration: expect.any(Number) as number,
        output: [{ stream: 'stdout', data: 'one\n' }, { stream: 'stderr', data: 'two\n' }, { stream: 'stdout', data: 'three\n' }],
      })
      expect(result.duration).toBeGreaterThan(90)
    })

    test('runs an argv without a shell', async () => {
      expect((await context.exec(['printf', '%s|', 'a b', '$HOME', '"q"', "it's", '', '*', '\n', 'é'])).stdout).toBe('a b|$HOME|"q"|it\'s||*|\n|é|')
    })

    test('tells the signal that ended a command', async () => {
      expect(await context.exec('kill -KILL $$')).toMatchObject({ exitCode: null, signal: 'SIGKILL' })
    })

    test('hands over stdin, cwd and environment', async () => {
      const result = await context.exec('cat; pwd; echo "$GREETING-${LANG-unset}"', { stdin: 'in\n', cwd: '/usr', env: { GREETING: "it's $me", LANG: undefined } })
      expect(result).toMatchObject({ stdout: "in\n/usr\nit's $me-unset\n", exitCode: 0 })
    })

    test('starts in the home directory', async () => {
      expect((await context.exec('[ "$(pwd -P)" = "$(cd && pwd -P)" ] && echo home')).stdout).toBe('home\n')
    })

    test('keeps every byte, and only as many as asked for', async () => {
      const bytes = Buffer.from(Array.from({ length: 1024 }, (_, index) => index & 255))
      expect((await context.exec('cat', { stdin: bytes, encoding: 'buffer' })).stdout.equals(bytes)).toBe(true)
      const limited = await context.exec('head -c 300000 /dev/zero', { maxOutput: 1000 })
      expect([limited.stdout.length, limited.truncated, limited.exitCode]).toEqual([1000, true, 0])
    })

    test('ends a command and its children at a timeout, and gives back what it had printed', async () => {
      const error = await failure(context.exec('sleep 100 & echo $!; wait', { timeout: 400 })) as ExecError
      expect(error).toMatchObject({ code: 'timeout', path: [...context.path] })
      expectHelpful(error, context.path[0] as string)
      const child = Number(error.result.stdout)
      expect(child).toBeGreaterThan(1)
      await expect.poll(() => gone(child)).toBe(true)
    })

    test('ends a command when it is aborted', async () => {
      const abort = new AbortController()
      const child = context.spawn('echo up; sleep 100', { signal: abort.signal })
      child.stdout.once('data', () => abort.abort(new Error('enough')))
      const pid = await child.pid
      const error = await failure(child.exited)
      expect(error).toMatchObject({ code: 'cancelled', cause: { message: 'enough' } })
      await expect.poll(() => gone(pid)).toBe(true)
    })

    test('refuses in the same words what cannot be started', async () => {
      const errors = [
        await failure(context.exec(['/none/such'])), await failure(context.exec('true', { cwd: '/none/such' })),
        await failure(context.exec(['/etc'])), await failure(context.exec('echo a\0b')), await failure(context.exec([])),
      ]
      expect(errors.map(({ code, outcome }) => [code, outcome])).toEqual(errors.map(() => ['spawn-failed', 'failed']))
      for (const error of errors) expectHelpful(error, context.path[0] as string)
      const words = errors.map(({ message }) => message.replace(context.path[0] as string, 'HERE').replace(/\\u0000/, 'NUL'))
      expect(words).toEqual([
        expect.stringContaining('the program "/none/such" was not found'),
        expect.stringContaining('the working directory "/none/such" does not exist'),
        expect.stringContaining('the program "/etc" cannot be executed'),
        expect.stringContaining('holds a NUL character'),
        expect.stringContaining('the command is empty'),
      ])
    })

    test('rejects with exec-failed and the result where success was demanded', async () => {
      const error = await failure(context.exec('echo out; echo why >&2; exit 7', { check: true })) as ExecError
      expect(error).toMatchObject({ code: 'exec-failed', result: { stdout: 'out\n', stderr: 'why\n', exitCode: 7 } })
      expect(error.message).toContain('exit code 7: why')
      expectHelpful(error, context.path[0] as string)
    })

    test('streams both ways while a command runs', async () => {
      const child = context.spawn(['sh', '-c', 'while read line; do echo "<$line>"; done; echo bye >&2; exit 4'])
      expect(await child.pid).toBeGreaterThan(1)
      const answers = child.stdout.setEncoding('utf8')[Symbol.asyncIterator]()
      for (const word of ['one', 'two', 'three']) {
        child.stdin.write(`${word}\n`)
        expect((await answers.next()).value).toBe(`<${word}>\n`)
      }
      child.stdin.end()
      expect(await text(child.stderr)).toBe('bye\n')
      expect(await child.exited).toEqual({ exitCode: 4, signal: null })
    })

    test('signals the process group of a spawned command', async () => {
      const child = context.spawn('sleep 100; echo never')
      await child.pid
      child.kill('SIGTERM')
      expect(await child.exited).toEqual({ exitCode: null, signal: 'SIGTERM' })
    })

    test('carries 8 MiB to a slow reader whole, and holds the writer back meanwhile', async () => {
      const child = context.spawn('head -c 8388608 /dev/zero')
      let size = 0
      for await (const chunk of child.stdout) {
        size += (chunk as Buffer).length
        await new Promise((resolve) => setImmediate(resolve))
      }
      expect(size).toBe(8_388_608)
      expect(await child.exited).toEqual({ exitCode: 0, signal: null })
    })

    if (raw) test('runs at most 8 commands at once and the others after them', async () => {
      const marks = (await context.exec('mktemp -d')).stdout.trim()
      const line = `cd ${marks} && touch $$ && sleep 0.3 && ls | wc -l && rm $$`
      const counts = await Promise.all(Array.from({ length: 20 }, () => context.exec(line)))
      const together = counts.map(({ stdout }) => Number(stdout))
      expect(Math.max(...together)).toBeLessThanOrEqual(8)
      expect(Math.max(...together)).toBeGreaterThan(1)
      expect(counts.every(({ exitCode }) => exitCode === 0)).toBe(true)
      await context.exec(['rm', '-rf', marks])
    })

    if (!raw) test('runs functions', async () => {
      expect(await context.call((a: number, b: number) => a + b, 40, 2)).toBe(42)
      expect(await context.with({ isolate: 'none' }).call(() => typeof process.pid)).toBe('number')
    })

    if (!raw) test.each([{ signal: {} }, { timeout: NaN }, { timeout: -1 }, { timeout: -Infinity }, { timeout: '5' }, { isolate: 'thread' }, { timeot: 5 }, { cwd: '/' }])('refuses a call with %o, and goes on', async (wrong) => {
      const error = await failure(context.with(wrong as CallOptions).call(() => 1))
      expect(error).toMatchObject({ code: 'usage', outcome: 'not-sent', path: [...context.path] })
      expectHelpful(error, context.path[0] as string)
      expect(await context.call(() => 2)).toBe(2)
    })

    if (raw) test('says of functions that they need an interpreter, and what would help', async () => {
      const module = context.use<typeof import('../../examples/machine.ts')>(new URL('../../examples/machine.ts', import.meta.url))
      for (const error of [await failure(context.call(() => 1)), await failure(module.load())]) {
        expect(error).toMatchObject({ code: 'interpreter-needed', outcome: 'not-sent', path: [...context.path] })
        expectHelpful(error, context.path[0] as string)
        expect(error.hint).toMatch(/Node/)
      }
      expect((await context.exec('echo still here')).stdout).toBe('still here\n')
    })

    test.each([
      ['a command that is a number', 5, {}], ['an argv that holds a number', ['echo', 1], {}], ['cwd that is no text', 'true', { cwd: 5 }],
      ['env that is no object', 'true', { env: ['A=b'] }], ['a variable that is null', 'true', { env: { A: null } }], ['stdin that is no stream', 'cat', { stdin: {} }],
      ['stdin of 16-bit numbers', 'cat', { stdin: new Uint16Array(2) }], ['a time limit that is no number', 'true', { timeout: NaN }], ['a time limit below zero', 'true', { timeout: -1 }],
      ['maxOutput that is no number', 'echo x', { maxOutput: NaN }], ['a signal that is none', 'true', { signal: {} }], ['another encoding', 'true', { encoding: 'latin1' }],
      ['an option that is misspelt', 'true', { timeot: 5 }], ['an option of calls alone', 'true', { isolate: 'none' }],
    ])('refuses %s before anything is started, and goes on', async (_what, command, wrong) => {
      const error = await failure(context.exec(command as string, wrong as ExecOptions))
      expect(error).toMatchObject({ code: 'usage', outcome: 'not-sent', path: [...context.path] })
      expectHelpful(error, context.path[0] as string)
      expect((await context.exec('echo fine')).stdout).toBe('fine\n')
    })

    test.each([{ timeout: 5 }, { stdin: 'x' }, { Cwd: '/' }])('refuses to spawn with %o, which exec alone or nobody knows', async (wrong) => {
      const error = await failure(async () => context.spawn('true', wrong as object))
      expect(error).toMatchObject({ code: 'usage', outcome: 'not-sent', path: [...context.path], message: expect.stringContaining(`'${Object.keys(wrong)[0]}'`), hint: expect.stringMatching(/cwd, env, signal/) })
    })

    test.each([{ timeout: -1 }, { timeout: NaN }, { timeout: '5' }, { signal: {} }])('refuses a ping with %o, and goes on', async (wrong) => {
      const error = await failure(context.ping(wrong as { timeout: number }))
      expect(error).toMatchObject({ code: 'usage', outcome: 'not-sent', path: [...context.path] })
      expectHelpful(error, context.path[0] as string)
      expect(await context.ping({ timeout: 60_000 })).toBeGreaterThan(0)
    })

    test('says of a stream of objects that it is none of bytes', async () => {
      const error = await failure(context.exec('cat', { stdin: Readable.from([{ a: 1 }]) }))
      expect(error).toMatchObject({ code: 'cancelled', cause: { message: 'it gave what is neither text nor bytes' } })
    })

    test('hears the end of a command whose input never ends and never has to be waited for', async () => {
      const endless = (): Readable => new Readable({ read() { this.push('y'.repeat(65_536)) } })
      expect(await context.exec('head -c 3', { stdin: endless() })).toMatchObject({ stdout: 'yyy', exitCode: 0 })
      const child = context.spawn('head -c 3')
      const source = endless()
      source.pipe(child.stdin)
      expect(await text(child.stdout)).toBe('yyy')
      expect(await child.exited).toEqual({ exitCode: 0, signal: null })
      source.destroy()
    })

    test('tells running and later commands when it was closed', async () => {
      const other = await connect({ fresh: true })
      const running = failure(other.exec('sleep 100'))
      await other.exec('true')
      await other.close()
      await other.close()
      expect(other.state).toBe('closed')
      expect(await running).toMatchObject({ code: expect.stringMatching(/^(closed|cancelled|link-lost)$/) as string })
      expect(await failure(other.exec('true'))).toMatchObject({ code: 'closed', outcome: 'not-sent' })
      expect((await context.exec('echo fine')).stdout).toBe('fine\n')
    })
  })
}
