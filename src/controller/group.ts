import type { CallOptions, Context, ExecOptions, ExecResult, RemoteModule } from './api.ts'
import type { WorkOptions } from './core-options.ts'
import type { RametError } from '../router/errors.ts'

/** What became of one context's share. */
export type Settled<T> = { ok: true; value: T } | { ok: false; error: RametError }

/** What each function of a module becomes on a group: the same arguments, one result per context. */
export type GroupModule<M> = {
  [K in keyof M as M[K] extends (...args: never[]) => unknown ? K : never]: M[K] extends (...args: infer Args) => infer Result
    ? (...args: Args) => Promise<Map<Context, Settled<Awaited<Result>>>>
    : never
}

/** Several contexts that are asked the same; no failure of one keeps another's answer. */
export interface Group {
  readonly contexts: readonly Context[]
  exec(command: string | string[], options?: ExecOptions): Promise<Map<Context, Settled<ExecResult>>>
  use<M>(module: URL | string): GroupModule<M>
  call<Args extends unknown[], Result>(fn: (...args: Args) => Result, ...args: Args): Promise<Map<Context, Settled<Awaited<Result>>>>
  with(options: CallOptions): Group
}

/** Asks several contexts the same; resolves when all have answered or failed, and rejects never. */
export function group(contexts: readonly Context[]): Group {
  return groupOf(contexts, {})
}

function groupOf(contexts: readonly Context[], options: CallOptions): Group {
  // What is the same for several contexts behind one hop crosses the link to it once.
  const together: WorkOptions = { ...options, together: true }
  const members = contexts.map((context) => ({ context, actions: context.with(together) }))
  return {
    contexts,
    exec: (command, execOptions) => gather(members.map(({ context, actions }) => [context, () => actions.exec(command, execOptions)])),
    call: (fn, ...args) => gather(members.map(({ context, actions }) => [context, () => actions.call(fn, ...args)])) as never,
    with: (more) => groupOf(contexts, { ...options, ...more }),
    use: <M>(module: URL | string) => {
      const modules = members.map(({ context, actions }) => [context, actions.use<M>(module)] as const)
      return new Proxy(Object.create(null) as GroupModule<M>, {
        get(_target, name) {
          if (typeof name !== 'string' || name === 'then') return undefined
          return (...args: unknown[]) => gather(modules.map(([context, remote]) => [context, () => callOf(remote, name)(...args)]))
        },
      })
    },
  }
}

function callOf<M>(remote: RemoteModule<M>, name: string): (...args: unknown[]) => Promise<unknown> {
  return (remote as Record<string, (...args: unknown[]) => Promise<unknown>>)[name] as (...args: unknown[]) => Promise<unknown>
}

async function gather<T>(work: (readonly [Context, () => PromiseLike<T>])[]): Promise<Map<Context, Settled<T>>> {
  const results = await Promise.allSettled(work.map(async ([, start]) => start()))
  return new Map(
    results.map((result, index) => {
      const settled: Settled<T> = result.status === 'fulfilled' ? { ok: true, value: result.value } : { ok: false, error: result.reason as RametError }
      return [(work[index] as (typeof work)[number])[0], settled]
    }),
  )
}
