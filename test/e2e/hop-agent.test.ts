import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { Controller } from '../../src/controller/index.ts'
import { type ControllerProcesses, controllerProcesses } from '../helpers/controller-process.ts'
import { failure, records } from '../helpers/e2e-lab.ts'
import { haveSshd, startSshd, type TestServer } from '../helpers/sshd.ts'
import { alive, pidOf, soon, withText } from '../helpers/tree-lab.ts'

/** The one thing of ours that touches a file system: the directories that a hop's own ssh and our agent behind it use. */
describe.skipIf(!haveSshd)('the agent socket on a hop (left out where there is no sshd)', () => {
  let server: TestServer
  let runtime: string
  const before = process.env['XDG_RUNTIME_DIR']

  beforeAll(async () => {
    server = await startSshd()
  })
  afterAll(() => server?.stop())
  beforeEach(() => {
    runtime = mkdtempSync(join(tmpdir(), 'ramet-runtime-'))
    process.env['XDG_RUNTIME_DIR'] = runtime
  })
  afterEach(() => {
    if (before === undefined) delete process.env['XDG_RUNTIME_DIR']
    else process.env['XDG_RUNTIME_DIR'] = before
    rmSync(runtime, { recursive: true })
  })

  const target = (): string => `ssh://${server.user}@127.0.0.1:${server.port}`
  const way = (): Record<string, unknown> => ({ transport: 'openssh', agent: true, hostKeys: 'ignore', identityFile: server.keyFile, knownHosts: server.knownHosts, sshConfig: false })
  /** Mode and kind of all that is there. */
  const modes = (): string[] => readdirSync(runtime).flatMap((name) => {
    const dir = join(runtime, name)
    const inside = readdirSync(dir).flatMap((file) => {
      // What the hop's ssh has said of a command goes when the command has ended, which may be now.
      const stats = statSync(join(dir, file), { throwIfNoEntry: false })
      return stats === undefined ? [] : [`${(stats.mode & 0o777).toString(8)} ${stats.isSocket() ? 'socket' : 'file'}`]
    })
    return [`${(statSync(dir).mode & 0o777).toString(8)} directory`, ...inside]
  })

  test('is in directories that nobody else may look into, and they are gone when the context or the controller is closed', async () => {
    const ramet = new Controller({ logger: records().logger })
    const hop = await ramet.connect('local:')
    const one = await hop.connect(target(), way())
    const commands = await hop.connect(target(), { ...way(), runtime: 'raw' })
    expect((await commands.exec('echo here')).stdout).toBe('here\n')
    expect(modes().filter((mode) => mode.endsWith('directory'))).toEqual(Array(4).fill('700 directory'))
    expect(modes().filter((mode) => mode.endsWith('socket')).length).toBeGreaterThanOrEqual(2)
    await one.close()
    expect(modes().filter((mode) => mode.endsWith('directory'))).toHaveLength(2)
    await ramet.close()
    expect(modes()).toEqual([])
  }, 30_000)

  test('leaves nothing where the login was refused', async () => {
    await using ramet = new Controller({ logger: records().logger })
    const hop = await ramet.connect('local:')
    const error = await failure(hop.connect(target().replace('//', '//nobody-').replace(server.user, 'x'), way()))
    expect(error).toMatchObject({ code: 'auth-failed', stage: 'auth' })
    await soon(() => expect(modes()).toEqual([]))
  }, 30_000)

  test('goes with a controller that is killed by kill -9', async () => {
    const processes: ControllerProcesses = await controllerProcesses()
    try {
      const running = processes.start(`
        process.env.XDG_RUNTIME_DIR = args.runtime
        const controller = new ramet.Controller({ logger: quiet })
        const hop = await controller.connect('local:')
        const web = await hop.connect(args.target, args.way)
        void web.call(() => { for (;;); }).catch(() => {})
        const commands = await hop.connect(args.target, { ...args.way, runtime: 'raw' })
        void commands.exec('sleep 305').catch(() => {})
        say('ready', hop.info.pid, web.info.pid)
      `, { target: target(), way: way(), runtime })
      const pids = (await running.said('ready')).split(' ').map(Number)
      expect(modes().filter((mode) => mode.endsWith('directory'))).toHaveLength(4)
      running.child.kill('SIGKILL')
      await running.ended
      await soon(() => expect(pids.filter(alive)).toEqual([]))
      await soon(() => expect(modes()).toEqual([]))
      // Nor the ssh that keeps a connection for commands to come: it goes by itself, after some seconds.
      await vi.waitFor(() => expect(withText(runtime)).toEqual([]), { timeout: 20_000, interval: 50 })
    } finally {
      processes[Symbol.dispose]()
    }
  }, 40_000)

  test('what a hop leaves that is killed by kill -9 is closed to others, and nobody answers there', async () => {
    await using ramet = new Controller({ logger: records().logger })
    const hop = await ramet.connect('local:')
    const web = await hop.connect(target(), way())
    process.kill(pidOf(hop), 'SIGKILL')
    await soon(() => expect(alive(pidOf(web))).toBe(false))
    const left = readdirSync(runtime).map((name) => join(runtime, name))
    for (const dir of left) expect(statSync(dir).mode & 0o777).toBe(0o700)
    const sockets = left.flatMap((dir) => readdirSync(dir).map((name) => join(dir, name))).filter((path) => statSync(path).isSocket())
    expect(sockets.length).toBeGreaterThan(0)
    for (const path of sockets) await soon(async () => expect(await answers(path)).toBe(false))
  }, 30_000)
})

const answers = (path: string): Promise<boolean> => new Promise((resolve) => {
  const socket = connect(path, () => {
    socket.destroy()
    resolve(true)
  })
  socket.on('error', () => resolve(false))
})
