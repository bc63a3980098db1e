import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { containerProgram } from '../../src/connect/container-argv.ts'
import { CONTAINER_TOOLS } from '../../src/connect/target.ts'
import { type Context, Controller, type RametError } from '../../src/controller/index.ts'
import { childrenOf, expectHelpful, failure, leakCheck, loginTo, records, targetOf } from '../helpers/e2e-lab.ts'
import { addContainer, CONTAINER_WAYS, INSIDE } from '../helpers/fake-container.ts'
import { type FakePrograms, fakePrograms } from '../helpers/fake-program.ts'
import { descendants, haveSshd, startSshd, type TestServer } from '../helpers/sshd.ts'
import { alive, pidOf, soon } from '../helpers/tree-lab.ts'

/** Programs in place of the tools, on a hop that a real sshd leads to, whose PATH is not this process's. */
let fakes: FakePrograms
let server: TestServer
let ramet: Controller
let noLeaks: () => Promise<void>

/** What the hop has on its PATH behind the tools: a shell and little else. */
const COMMANDS = ['sh', 'cat', 'env', 'sed', 'sleep', 'setsid', 'node']

beforeAll(async () => {
  if (!haveSshd) return
  fakes = fakePrograms()
  const commands = join(fakes.dir, 'bin')
  mkdirSync(commands)
  for (const name of COMMANDS) symlinkSync(name === 'node' ? process.execPath : execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim(), join(commands, name))
  server = await startSshd({ bashrc: `export PATH=${fakes.dir}:${commands}\n` })
})
afterAll(async () => {
  await server?.stop()
  fakes?.[Symbol.dispose]()
})

beforeEach(() => {
  noLeaks = leakCheck()
  ramet = new Controller({ logger: records().logger })
})
afterEach(async () => {
  await ramet.close()
  await noLeaks()
})

const hopOf = (): Promise<Context> => ramet.connect(targetOf(server), loginTo(server)).then((hop) => hop)
const hopName = (): string => `${server.user}@127.0.0.1:${server.port}`

/** Processes of this machine that are inside of that container: 'pid'. */
function inside(target: string): number[] {
  return descendants(server.pid).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`${INSIDE}=${target}`)
    } catch {
      return false
    }
  })
}

describe.skipIf(!haveSshd)('containers behind a hop', () => {
  test('are tried with every tool that there is', () => {
    expect(CONTAINER_WAYS.map(({ tool }) => tool)).toEqual(CONTAINER_TOOLS)
  })

  test.each(CONTAINER_WAYS)('$tool: one run of the tool, with exactly its arguments, gives calls, commands and processes there', async (way) => {
    const { tool, target, words } = way
    const program = containerProgram(tool)
    addContainer(fakes, way)
    const hop = await hopOf()
    const context = await hop.connect(target)
    expect(await context.call((name: string) => [process.env[name], process.cwd(), process.pid], INSIDE)).toEqual([target, '/', pidOf(context)])
    expect(await context.exec(`echo $${INSIDE}; echo $PPID; cat; echo aside >&2; exit 3`, { stdin: 'typed\n' }))
      .toMatchObject({ stdout: `${target}\n${pidOf(context)}\ntyped\n`, stderr: 'aside\n', exitCode: 3 })
    const live = context.spawn('cat')
    live.stdin.end('streamed')
    expect(await live.stdout.setEncoding('utf8').toArray()).toEqual(['streamed'])
    expect(context.path).toEqual([hopName(), target])
    expect(ramet.stats().links.find(({ path }) => path.length === 2)).toMatchObject({ transport: tool, state: 'connected' })
    // All of it in one run, and nothing but these arguments in it.
    expect(fakes.file(`${program}.runs`)?.trim().split('\n')).toHaveLength(1)
    const args = fakes.args(program)
    const half = expect.stringMatching(/^[0-9a-f]{16}$/) as string
    expect(args).toEqual([...words, '/bin/sh', '-c', expect.stringMatching(/^echo "/) as string, 'ramet', half, half, expect.stringContaining('ramet') as string])
    expect(inside(target).length).toBeGreaterThan(0)
    await context.close()
    await soon(() => expect(inside(target)).toEqual([]))
    expect(await hop.call(() => 'well')).toBe('well')
  })

  test.each(CONTAINER_WAYS)('$tool: commands of a container without an interpreter, by a hop behind the hop', async (way) => {
    const { tool, target, words } = way
    const program = containerProgram(tool)
    addContainer(fakes, way)
    const hop = await (await hopOf()).connect('local:')
    const context = await hop.connect(target, { runtime: 'raw' })
    expect(await context.exec(`echo "$${INSIDE}"; cat; exit 4`, { stdin: 'typed\n' })).toMatchObject({ stdout: `${target}\ntyped\n`, exitCode: 4 })
    expect(await context.exec(['printf', '%s|', '$HOME', "it's", '$$'])).toMatchObject({ stdout: `$HOME|it's|$$|`, exitCode: 0 })
    expect(context.path).toEqual([hopName(), 'local', target])
    expect(fakes.args(program).slice(0, words.length + 2)).toEqual([...words, '/bin/sh', '-c'])
    await context.close()
    await soon(() => expect(inside(target)).toEqual([]))
  })

  test.each(CONTAINER_WAYS)('$tool: a container that is not there is named, with its hop and the last words of the tool; nothing runs on', async ({ tool, target, absent: [said, exitCode] }) => {
    fakes.add(containerProgram(tool), `echo "a line before" >&2; cat >&2 <<'END'\n${said}\nEND\nexit ${exitCode}`)
    const hop = await hopOf()
    for (const runtime of ['auto', 'raw'] as const) {
      const connecting = hop.connect(target, { runtime })
      const [exec, call] = [failure(connecting.exec('id')), failure(connecting.call(() => 1))]
      const error = await failure(connecting)
      expect(error).toMatchObject({ code: 'container-not-found', stage: 'launch', outcome: 'not-sent', path: [hopName(), target] })
      expect(error.message).toContain(`${hopName()} > ${target}: `)
      expect(error.message).toContain(`a line before / ${said}`)
      expectHelpful(error, target)
      expect(await exec).toMatchObject({ code: 'container-not-found', outcome: 'not-sent', path: error.path })
      expect(await call).toMatchObject({ code: runtime === 'raw' ? 'interpreter-needed' : 'container-not-found', outcome: 'not-sent', path: error.path })
    }
    await soon(() => expect(childrenOf(pidOf(hop))).toEqual([]))
    expect(await hop.call(() => 'well')).toBe('well')
  })

  test.each(CONTAINER_WAYS)('$tool: a tool that the hop does not have is named', async ({ tool, target }) => {
    const program = containerProgram(tool)
    // Of an earlier test.
    fakes.remove(program)
    const hop = await hopOf()
    for (const runtime of ['auto', 'raw'] as const) {
      const connecting = hop.connect(target, { runtime, fresh: true })
      // A command that was asked for meanwhile hears the same.
      const work = failure(connecting.exec('true'))
      for (const error of [await failure(connecting), await work]) {
        expect(error).toMatchObject({ code: 'launch-failed', stage: 'launch', outcome: 'not-sent', path: [hopName(), target],
          message: `${hopName()} > ${target}: there is no ${program} on this machine`, hint: `Install ${program} there, or put it on PATH.` })
      }
    }
    await soon(() => expect(childrenOf(pidOf(hop))).toEqual([]))
  })

  test('a tool that never lets us in is ended when the time is over, with what it has started', async () => {
    const waiting = (): string[] => childrenOf(server.pid).filter((line) => line.includes('sleep 1000'))
    for (const { tool } of CONTAINER_WAYS) fakes.add(containerProgram(tool), 'echo "waiting for the daemon" >&2; trap "" HUP; sleep 1000 & wait')
    const hop = await hopOf()
    const errors = CONTAINER_WAYS.map(({ target }) => failure(hop.connect(target, { timeout: 2500 })))
    // They are all there, and then they are not.
    await soon(() => expect(waiting()).toHaveLength(CONTAINER_WAYS.length))
    for (const [at, { target }] of CONTAINER_WAYS.entries()) {
      const error = await errors[at]
      expect(error).toMatchObject({ code: 'connect-timeout', stage: 'launch', path: [hopName(), target] })
      expectHelpful(error as RametError, target)
    }
    await soon(() => expect(childrenOf(pidOf(hop))).toEqual([]))
  })
})

const mayUnshare = process.getuid?.() === 0 && haveSshd

describe.skipIf(!mayUnshare)('the real nsenter, behind a hop (needs root and sshd)', () => {
  let holder: ChildProcess
  /** First process of the container, as the hop sees it. */
  let first: number

  beforeEach(async () => {
    fakes.remove('nsenter')
    writeFileSync(join(fakes.dir, 'nsenter'), '#!/bin/sh\nexec /usr/bin/nsenter "$@"\n', { mode: 0o755 })
    holder = spawn('unshare', ['--fork', '--kill-child', '--pid', '--mount', '--uts', '--mount-proc', '/bin/sh', '-c', 'hostname inside; echo up; exec sleep 1000'], { stdio: ['ignore', 'pipe', 'inherit'] })
    await new Promise((resolve) => holder.stdout?.once('data', resolve))
    first = descendants(holder.pid ?? 0)[0] ?? 0
    noLeaks = leakCheck()
  })
  afterEach(async () => {
    const gone = new Promise((resolve) => holder.once('exit', resolve))
    holder.kill('SIGKILL')
    await gone
  })

  test('a stub runs among the processes of the container, and is gone at the end', async () => {
    const hop = await hopOf()
    const context = await hop.connect(`nsenter:${first}`)
    const seen = await context.call(() => {
      const fs = require('fs') as typeof import('node:fs')
      return { host: (require('os') as typeof import('node:os')).hostname(), first: fs.readFileSync('/proc/1/comm', 'utf8').trim(), pid: process.pid }
    })
    expect(seen).toEqual({ host: 'inside', first: 'sleep', pid: pidOf(context) })
    expect(await context.exec('hostname; cat', { stdin: 'typed' })).toMatchObject({ stdout: 'inside\ntyped', exitCode: 0 })
    // Nobody outside has that number for it: the hop's own view of the tree is another.
    const below = childrenOf(pidOf(hop))
    expect(below.length).toBeGreaterThan(0)
    await context.close()
    await soon(() => expect(childrenOf(pidOf(hop))).toEqual([]))
    expect(await hop.exec('hostname')).not.toMatchObject({ stdout: 'inside\n' })
  })

  test('kill -9 of the hop ends what runs in the container', async () => {
    const hop = await hopOf()
    const context = await hop.connect(`nsenter:${first}`)
    const spinning = failure(context.call(() => { for (;;); }))
    const running = context.exec('exec sleep 1001')
    const heard = failure(running)
    await soon(() => expect(childrenOf(pidOf(hop)).filter((line) => line.includes('sleep 1001'))).not.toEqual([]))
    const pids = childrenOf(pidOf(hop)).map((line) => Number.parseInt(line))
    process.kill(pidOf(hop), 'SIGKILL')
    expect(await spinning).toMatchObject({ code: 'link-lost', outcome: 'unknown', path: [hopName(), `nsenter:${first}`] })
    expect(await heard).toMatchObject({ code: 'link-lost', path: [hopName(), `nsenter:${first}`] })
    await soon(() => expect(pids.filter(alive)).toEqual([]))
  })

  test('a process that is not there is named', async () => {
    const hop = await hopOf()
    const error = await failure(hop.connect('nsenter:2147483646'))
    expect(error).toMatchObject({ code: 'container-not-found', stage: 'launch', outcome: 'not-sent', path: [hopName(), 'nsenter:2147483646'] })
    expect(error.message).toContain('/proc/2147483646/ns/')
    await soon(() => expect(childrenOf(pidOf(hop))).toEqual([]))
  })
})
