import type { Connecting, ConnectOptions, Context, ContextActions, ControllerOptions, LinkStats } from '../src/controller/api.ts'
import type { Group } from '../src/controller/group.ts'
import { pathToFileURL } from 'node:url'
import { serve, type DriverRequest } from './driver.ts'
import { growthOperations } from './ramet-growth.ts'
import { treeOperations } from './ramet-tree.ts'
import { checked, isolated, type Tasks, tasksUrl } from './ramet-work.ts'
import type { Endpoint } from './workspace.ts'

/** The part of the package that is measured. It is imported by name, as any program does. */
interface Ramet {
  group(contexts: readonly Context[]): Group
  Controller: new (options: ControllerOptions) => {
    connect(target: string, options?: ConnectOptions): Connecting
    stats(): { links: LinkStats[] }
    close(): Promise<void>
  }
}

export interface RametSettings {
  user: string
  key: string
  knownHosts: string
}

/** Interpreters on one machine: here all targets are on one, and fifty of them are no accident. */
const limits = { interpreters: 512 }

/** ramet as a driver: the operations of peers/mitogen_driver.py, under the same names. */
export async function serveRamet(settings: RametSettings): Promise<void> {
  const name: string = 'ramet'
  const { Controller, group } = await import(name) as Ramet
  const ramet = new Controller({ limits })
  const contexts = new Map<string, Context>()
  let fleet: Context[] = []

  const contextOf = (contextName: unknown): Context => {
    const context = contexts.get(contextName as string)
    if (!context) throw new Error(`no context '${String(contextName)}'`)
    return context
  }
  /** `via` is a context, or the name of an open one. A target is a server, or 'local:', which only a context can be asked for here. */
  const connect = (target: Endpoint | 'local:', { via, node }: DriverRequest | { via?: unknown; node?: unknown }): Connecting => {
    const options: ConnectOptions = { fresh: true, ...(via === undefined ? {} : { via: typeof via === 'string' ? contextOf(via) : via as Connecting }), ...(node === undefined ? {} : { node: node as string[] }) }
    if (target === 'local:') return ramet.connect(target, options)
    const { user, key: identityFile, knownHosts } = settings
    return ramet.connect(`ssh://${user}@${target.host}:${target.port}`, { identityFile, knownHosts, sshConfig: false, ...options })
  }
  const of = (request: DriverRequest): ContextActions => isolated(contextOf(request['name']), request)
  const firstCall = async (opening: Connecting, request: DriverRequest): Promise<void> => {
    checked(await isolated(opening, request).use<Tasks>(tasksUrl).increment(41), 42)
  }

  await serve({
    connect_first: async (request) => {
      const begun = performance.now()
      const opening = connect(request['target'] as Endpoint, request)
      await firstCall(opening, request)
      const took = performance.now() - begun
      await (await opening).close()
      return took
    },
    /** With `idle` no user function is called: the stub stays as it is after boot. */
    open: async (request) => {
      const opening = connect(request['target'] as Endpoint | 'local:', request)
      if (request['idle'] !== true) await firstCall(opening, request)
      const context = await opening
      contexts.set(request['name'] as string, context)
      return context.info?.pid
    },
    shut: async (request) => {
      await contexts.get(request['name'] as string)?.close()
      contexts.delete(request['name'] as string)
    },
    warm: async (request) => {
      const { noop } = of(request).use<Tasks>(tasksUrl)
      const times: number[] = []
      for (let i = 0; i < (request['calls'] as number); i++) {
        const begun = performance.now()
        await noop()
        times.push((performance.now() - begun) * 1000)
      }
      return times
    },
    pipelined: async (request) => {
      const { increment } = of(request).use<Tasks>(tasksUrl)
      const calls = request['calls'] as number
      let next = 0
      const lane = async (): Promise<void> => {
        while (next < calls) {
          const number = next++
          checked(await increment(number), number + 1)
        }
      }
      const begun = performance.now()
      await Promise.all(Array.from({ length: request['window'] as number }, lane))
      return calls / ((performance.now() - begun) / 1000)
    },
    exec: async (request) => {
      const context = of(request)
      const times: number[] = []
      for (let i = 0; i < (request['calls'] as number); i++) {
        const begun = performance.now()
        const { exitCode, stdout } = await context.exec(request['command'] as string)
        times.push((performance.now() - begun) * 1000)
        checked(exitCode === 0 && stdout !== '', true)
        if (request['gap'] !== 0) await new Promise((resolve) => setTimeout(resolve, request['gap'] as number))
      }
      return times
    },
    /** The first call of a module that the target has never seen; files() bundles it before the clock starts. */
    new_code: async (request) => {
      const module = of(request).use<{ answer(): number }>(pathToFileURL(request['file'] as string))
      await module.files()
      const begun = performance.now()
      checked(await module.answer(), request['expected'])
      return performance.now() - begun
    },
    fleet: async (request) => {
      const begun = performance.now()
      const opening = (request['targets'] as Endpoint[]).map((target) => connect(target, request))
      await Promise.all(opening.map((one) => firstCall(one, request)))
      const took = performance.now() - begun
      fleet = await Promise.all(opening)
      return took
    },
    scatter: async () => {
      await Promise.all(fleet.map((context) => context.close()))
      fleet = []
    },
    /** Garbage is no part of what a target costs. */
    settle: async () => {
      for (let i = 0; i < 4; i++) {
        ;(globalThis as { gc?: () => void }).gc?.()
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    },
    stats: () => Promise.resolve(ramet.stats()),
    ...growthOperations({ connect, group }),
    ...treeOperations({ contexts, connect, firstCall, group, stats: () => ramet.stats() }),
  })
  await ramet.close()
}
