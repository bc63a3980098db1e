import { randomFillSync } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Context, Controller } from '../../src/controller/index.ts'
import { failure, leakCheck, quietController, records } from '../helpers/e2e-lab.ts'
import { haveSshd } from '../helpers/sshd.ts'
import { alive, chain, expectGone, type Machines, pidOf, soon, startMachines, withText } from '../helpers/tree-lab.ts'

type Far = typeof import('../fixtures/tasks/far.ts')
const far = new URL('../fixtures/tasks/far.ts', import.meta.url)

const isRoot = process.getuid?.() === 0
/** Ways to become root that ask root for nothing; elsewhere another shell of the same account. */
const sudo = isRoot ? 'sudo:root' : 'local:'
const su = isRoot ? 'su:root' : 'local:'
const MIB = 1024 * 1024

describe.skipIf(!haveSshd)('a tree over a real sshd', () => {
  let machines: Machines

  beforeAll(async () => {
    machines = await startMachines(4)
  })
  afterAll(() => machines?.[Symbol.asyncDispose]())

  describe('ten contexts behind one another', () => {
    const { logger, all } = records()
    let ramet: Controller
    let contexts: Context[]
    let deep: Context
    let noLeaks: () => Promise<void>

    beforeAll(async () => {
      noLeaks = leakCheck()
      ramet = new Controller({ logger })
      const ssh = (number: number): [string, typeof machines.login] => [machines.at(number), machines.login]
      contexts = await chain(ramet, [ssh(1), ssh(2), 'local:', sudo, ssh(3), su, 'local:', ssh(4), sudo, 'local:'], { timeout: 60_000 })
      deep = contexts[9] as Context
    }, 60_000)

    afterAll(async () => {
      const pids = contexts.map(pidOf)
      await ramet.close()
      expect(pids.filter(alive)).toEqual([])
      await noLeaks()
    }, 30_000)

    test('each is a process of its own, and its path names the way', () => {
      const names = [machines.name(1), machines.name(2), 'local', sudo.replace(/:$/, ''), machines.name(3), su.replace(/:$/, ''), 'local', machines.name(4), sudo.replace(/:$/, ''), 'local']
      for (const [index, context] of contexts.entries()) expect(context.path).toEqual(names.slice(0, index + 1))
      expect(new Set(contexts.map(pidOf)).size).toBe(10)
      expect(contexts.map(({ state }) => state)).toEqual(Array(10).fill('connected'))
    })

    test('a call, a command and a ping reach every one of them', async () => {
      const answers = await Promise.all(contexts.map((context) => context.call(() => process.pid)))
      expect(answers).toEqual(contexts.map(pidOf))
      const commands = await Promise.all(contexts.map((context) => context.exec('echo $PPID')))
      expect(commands.map(({ stdout }) => Number(stdout))).toEqual(contexts.map(pidOf))
      for (const ping of await Promise.all(contexts.map((context) => context.ping()))) expect(ping).toBeGreaterThan(0)
    })

    test('a command takes its input, gives large output in order, and ends by timeout and abort', async () => {
      const bytes = randomFillSync(Buffer.alloc(3 * MIB))
      const back = await deep.exec('cat; echo end >&2', { stdin: bytes, encoding: 'buffer' })
      expect(back.stdout.equals(bytes)).toBe(true)
      expect([back.stderr.toString(), back.exitCode]).toEqual(['end\n', 0])
      // Sleeps of a length that nobody else's has.
      const [first, second] = [`sleep ${1e6 + process.pid}`, `sleep ${2e6 + process.pid}`]
      const running = (command: string): string[] => withText(command).filter((line) => line.replace(/^\d+ /, '') === command)
      const late = (await failure(deep.exec(`echo begun; ${first}`, { timeout: 500 }))) as Awaited<ReturnType<typeof failure>> & { result: unknown }
      expect(late).toMatchObject({ code: 'timeout', path: deep.path, result: { stdout: 'begun\n' } })
      const abort = new AbortController()
      const aborted = deep.exec(`echo $$; ${second}`, { signal: abort.signal })
      const heard = failure(aborted)
      await soon(() => expect(running(second)).toHaveLength(1))
      abort.abort()
      expect(await heard).toMatchObject({ code: 'cancelled', path: deep.path })
      await soon(() => expect([...running(first), ...running(second)]).toEqual([]))
    })

    test('a process streams both ways', async () => {
      const child = deep.spawn('while read -r line; do echo "got $line"; done')
      let said = ''
      child.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()))
      child.stdin.write('one\n')
      await soon(() => expect(said).toBe('got one\n'))
      child.stdin.end('two\n')
      expect(await child.exited).toEqual({ exitCode: 0, signal: null })
      expect(said).toBe('got one\ngot two\n')
      const killed = deep.spawn('sleep 302')
      const pid = await killed.pid
      killed.kill('SIGKILL')
      expect(await killed.exited).toEqual({ exitCode: null, signal: 'SIGKILL' })
      expect(alive(pid)).toBe(false)
    })

    test('an async iterable comes item by item, and hears when its reader stops', async () => {
      const t = deep.use<Far>(far)
      const got: number[] = []
      for await (const item of t.count(1000)) {
        got.push(item)
        if (got.length === 20) break
      }
      expect(got).toEqual(Array.from({ length: 20 }, (_, index) => index))
      await soon(async () => expect(await t.stopped()).toBe(true))
      let sum = 0
      for await (const item of t.count(300)) sum += item
      expect(sum).toBe((299 * 300) / 2)
    })

    test('an error has its original lines, its path and its cause', async () => {
      const error = await failure(deep.use<Far>(far).fails('too deep'))
      expect(error).toMatchObject({ code: 'remote-error', path: deep.path, cause: { name: 'TypeError', message: 'too deep' } })
      expect((error.cause as Error).stack).toMatch(/fixtures\/tasks\/far\.ts:4:\d+/)
    })

    test('what its code prints and logs comes with its path', async () => {
      await deep.use<Far>(far).prints('a word from below')
      await soon(() => expect(all.filter(({ msg }) => msg === 'a word from below')).toHaveLength(2))
      const context = deep.path.join(' > ')
      expect(all.filter(({ msg }) => msg === 'a word from below').map(({ context: of }) => of)).toEqual([context, context])
    })

    test('30 MiB go there and come back through three hops', async () => {
      const sent = randomFillSync(Buffer.alloc(30 * MIB))
      const back = await (contexts[3] as Context).use<Far>(far).echo(new Uint8Array(sent))
      expect(Buffer.compare(Buffer.from(back), sent)).toBe(0)
      const less = await deep.with({ isolate: 'none' }).use<Far>(far).echo(sent.subarray(0, 3 * MIB))
      expect(Buffer.compare(Buffer.from(less), sent.subarray(0, 3 * MIB))).toBe(0)
    }, 60_000)

    test('code on the main thread is refused on each that leads to others', async () => {
      for (const context of contexts.slice(0, 9)) {
        expect(await failure(context.with({ isolate: 'none' }).call(() => 1))).toMatchObject({ code: 'not-allowed', outcome: 'not-sent', path: context.path })
      }
      expect(await deep.with({ isolate: 'none' }).call(() => 1)).toBe(1)
    })

    test('while code of every hop spins, the last one answers', async () => {
      const spins = contexts.slice(0, 9).map((context) => failure(context.with({ timeout: 1500 }).call(() => { for (;;); })))
      const state = { over: false }
      const ended = Promise.all(spins).finally(() => (state.over = true))
      let answers = 0
      while (!state.over) {
        expect(await deep.call(() => 'well')).toBe('well')
        answers++
      }
      expect(answers).toBeGreaterThan(1)
      for (const error of await ended) expect(error.code).toBe('timeout')
      // A Worker that was ended for it is followed by another.
      expect(await Promise.all(contexts.map((context) => context.call(() => 'again')))).toEqual(Array(10).fill('again'))
    }, 30_000)
  })

  test('nothing has to be awaited: the hop, what is behind it, and a call', async () => {
    await using ramet = quietController()
    const hop = ramet.connect(machines.at(1), machines.login)
    const behind = ramet.connect(machines.at(2), { ...machines.login, via: hop })
    const deeper = ramet.connect('local:', { via: behind })
    const early = [hop.call(() => 1), behind.call(() => 2), deeper.call(() => 3), deeper.exec('echo 4')] as const
    const child = deeper.spawn('cat')
    child.stdin.end('5')
    let said = ''
    child.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()))
    expect(await Promise.all(early)).toMatchObject([1, 2, 3, { stdout: '4\n' }])
    await child.exited
    expect(said).toBe('5')
    expect((await deeper).path).toEqual([machines.name(1), machines.name(2), 'local'])
  })

  test('one connection per target, however many ask at once and by whichever handle', async () => {
    await using ramet = quietController()
    const first = ramet.connect(machines.at(1), machines.login)
    const second = ramet.connect(machines.at(1), machines.login)
    const before = machines.logins()
    const asked = Array.from({ length: 10 }, (_, index) => ramet.connect(machines.at(2), { ...machines.login, via: index % 2 === 0 ? first : second }))
    const handles = await Promise.all(asked)
    const [handle] = await Promise.all([first, second])
    handles.push(await handle.connect(machines.at(2), machines.login))
    expect(new Set(handles.map(pidOf)).size).toBe(1)
    expect(machines.logins() - before).toBe(2)
    // It ends with the last of its handles.
    const pid = pidOf(handles[0] as Context)
    for (const each of handles.slice(1)) await each.close()
    expect(await handles[0]?.call(() => 1)).toBe(1)
    await handles[0]?.close()
    await expectGone([pid])
    expect((await first).state).toBe('connected')
  })

  test('a target that is opened again behind its hop has its code from there: nothing crosses the first link', async () => {
    await using ramet = quietController()
    const hop = await ramet.connect(machines.at(1), machines.login)
    const link = () => {
      const { modulesSent, codeBytes } = ramet.stats().links.find(({ path }) => path.length === 1) ?? { modulesSent: -1, codeBytes: -1 }
      return { modulesSent, codeBytes }
    }
    const use = async (): Promise<void> => {
      const context = await hop.connect(machines.at(2), machines.login)
      expect(await context.use<Far>(far).echo(new Uint8Array(3))).toEqual(new Uint8Array(3))
      expect((await context.exec('echo 1')).stdout).toBe('1\n')
      const carried = ramet.stats().links.find(({ path }) => path.length === 2)
      expect(carried).toMatchObject({ transport: 'ssh2', from: machines.name(1), to: machines.name(2), state: 'connected' })
      await soon(() => expect(ramet.stats().links.find(({ path }) => path.length === 2)?.codeBytes).toBeGreaterThan(100))
      await context.close()
    }
    await use()
    const once = link()
    await use()
    await use()
    expect(link()).toEqual(once)
  })

  test('closing a hop ends what is behind it first: commands get their TERM there', async () => {
    await using ramet = quietController()
    const [hop, middle, last] = (await chain(ramet, [[machines.at(1), machines.login], [machines.at(2), machines.login], sudo])) as [Context, Context, Context]
    const child = last.spawn('trap "echo termed; exit 7" TERM; echo ready; while :; do sleep 0.05; done')
    const said: string[] = []
    child.stdout.on('data', (bytes: Buffer) => said.push(bytes.toString()))
    child.stdout.on('error', () => {})
    const ended = failure(child.exited)
    await soon(() => expect(said.join('')).toBe('ready\n'))
    const pids = [hop, middle, last].map(pidOf).concat(await child.pid)
    await hop.close()
    expect(pids.filter(alive)).toEqual([])
    expect([hop.state, middle.state, last.state]).toEqual(['closed', 'closed', 'closed'])
    expect(await ended).toMatchObject({ code: 'closed', path: last.path })
    expect(await failure(last.exec('true'))).toMatchObject({ code: 'closed', outcome: 'not-sent', path: last.path })
  })
})
