import { inspect, type InspectOptions } from 'node:util'
import type { Call, Connecting, ConnectOptions, Context, ContextActions, ContextInfo, ExecOptions, ExecResult, RemoteChild, RemoteModule, SpawnOptions } from './api.ts'
import type { Bundler } from './bundler.ts'
import { CallPromise } from './call-promise.ts'
import type { CodeGraph } from './code-graph.ts'
import { connectCancelled } from './connect-errors.ts'
import type { WorkOptions } from './core-options.ts'
import type { ContextCore } from './core.ts'
import { runCommand } from './exec.ts'
import { hinted } from './hints.ts'
import { remoteModule } from './remote.ts'
import { spawnCommand } from './spawn.ts'
import { turnsOf } from './turns.ts'
import { checkCall, checkCommand, checkExec } from './work-checks.ts'
import type { Clock } from '../base/clock.ts'
import { isRametError, located, RametError } from '../router/errors.ts'

const cores = new WeakMap<object, ContextCore>()

/** Where what stands for a context now is found, from each that has stood for it: one that is away for days is tried thousands of times. */
const places = new WeakMap<ContextCore, { now: ContextCore }>()

/** The context itself, or what was connected in its place. */
export function latest(core: ContextCore): ContextCore {
  let now = core
  for (let place = places.get(core); place !== undefined && place.now !== now; place = places.get(now)) now = place.now
  return now
}

/** `core` was lost, and connected again: its handles stand for `next` from now on. */
export function replace(core: ContextCore, next: ContextCore): void {
  const place = places.get(core) ?? { now: core }
  place.now = next
  places.set(core, place)
  // One that is there already may have a history of its own.
  if (!places.has(next)) places.set(next, place)
  next.handles += core.handles
  core.handles = 0
}

/** The context that a handle, or the promise of one, stands for; undefined for anything else. */
export function coreOf(handle: object): ContextCore | undefined {
  const core = cores.get(handle)
  return core === undefined ? undefined : latest(core)
}

export function standsFor(handle: object, core: ContextCore): void {
  cores.set(handle, core)
}

/** What a handle needs of the controller. */
export interface HandleHome {
  readonly clock: Clock
  bundler(): Promise<Bundler>
  connect(target: string, options: ConnectOptions): Connecting
}

/** What can be done with a context under some options: the context itself, `with()`, and one that is still connecting. */
export class Actions implements ContextActions {
  private readonly first: ContextCore
  protected readonly home: HandleHome
  protected readonly options: WorkOptions

  /** Throws when the handle that it belongs to was closed. */
  private readonly gate: () => void

  constructor(core: ContextCore, home: HandleHome, options: WorkOptions, gate: () => void = () => {}) {
    this.first = core
    this.home = home
    this.options = options
    this.gate = gate
  }

  protected get core(): ContextCore {
    return latest(this.first)
  }

  exec(command: string | string[], options: ExecOptions & { encoding: 'buffer' }): Promise<ExecResult<Buffer>>
  exec(command: string | string[], options?: ExecOptions): Promise<ExecResult>
  async exec(command: string | string[], options: ExecOptions = {}): Promise<ExecResult | ExecResult<Buffer>> {
    const { timeout, signal } = this.options
    const merged = { ...(timeout === undefined ? {} : { timeout }), ...(signal === undefined ? {} : { signal }), ...options }
    this.gate()
    const { name, path } = this.core
    checkExec(command, merged, path)
    return (await runCommand(this.core.lane(this.options.together), command, merged, { name, path, clock: this.home.clock })) as ExecResult | ExecResult<Buffer>
  }

  spawn(command: string | string[], options: SpawnOptions = {}): RemoteChild {
    this.gate()
    const { name, path } = this.core
    const { signal } = this.options
    const merged = signal === undefined ? options : { signal, ...options }
    checkCommand(command, merged, path)
    return spawnCommand(this.core.lane(), command, merged, { name, path, clock: this.home.clock })
  }

  use<M>(module: URL | string): RemoteModule<M> {
    return remoteModule<M>(
      async () => {
        try {
          return await (await this.home.bundler()).load(module)
        } catch (error) {
          throw located(error as Error, this.core.path)
        }
      },
      (graph, name, args, resolve, reject) => this.send(graph, name, args, resolve, reject),
      () => turnsOf(this.core),
      (name, reject) => this.waits(name, reject),
    )
  }

  call<Args extends unknown[], Result>(fn: (...args: Args) => Result, ...args: Args): Call<never> {
    const source = String(fn)
    const name = fn.name === '' ? 'function' : fn.name
    return new CallPromise((resolve, reject) => {
      const inTurn = turnsOf(this.core).take()
      const over = this.waits(name, reject)
      this.home.bundler().then((bundler) => {
        const graph = bundler.inline(source, name)
        inTurn(() => {
          over()
          this.send(graph, 'default', args, resolve, reject)
        })
      }).catch((error: unknown) => {
        over()
        reject(located(error as Error, this.core.path))
        inTurn(() => {})
      })
    }) as never
  }

  with(options: WorkOptions): ContextActions {
    if (options.isolate === 'process') this.prepareProcess()
    return new Actions(this.core, this.home, { ...this.options, ...options }, this.gate)
  }

  /** What logs, JSON and the console show of it: a password may be among all that it holds. */
  toJSON(): Pick<Context, 'name' | 'path' | 'state' | 'runtime'> {
    const { name, path, state, runtime } = this.core
    return { name, path: [...path], state, runtime }
  }

  [inspect.custom](_depth: number, options: InspectOptions): string {
    return `Context ${inspect(this.toJSON(), options)}`
  }

  private prepareProcess(): void {
    try {
      this.core.processes?.prepare()
    } catch {
      // The context is gone, or has no room: the call will say so.
    }
  }

  /** Hears of an abort while a call waits to be sent: its code is being read, or that of calls before it. */
  private waits(name: string, reject: (error: Error) => void): () => void {
    const signal = this.options.signal as Partial<AbortSignal> | undefined
    const abort = (): void => reject(this.aborted(name))
    // What is no signal is refused when it is sent.
    signal?.addEventListener?.('abort', abort, { once: true })
    return () => signal?.removeEventListener?.('abort', abort)
  }

  private aborted(name: string): RametError {
    const { path } = this.core
    return new RametError('cancelled', `${path.join(' > ')}: ${name} was aborted before it was called`, {
      path, outcome: 'not-sent', cause: this.options.signal?.reason, hint: 'It never left this process.' })
  }

  private send(graph: CodeGraph, name: string, args: readonly unknown[], resolve: (value: unknown) => void, reject: (error: Error) => void): void {
    try {
      checkCall(this.options, this.core.path)
    } catch (error) {
      reject(error as Error)
      return
    }
    if (this.options.signal?.aborted === true) return reject(this.aborted(name))
    try {
      this.gate()
      this.core.call(graph, name, args, this.options, { value: resolve, failed: reject, iterable: resolve })
    } catch (error) {
      reject(located(isRametError(error) ? hinted(error) : error as Error, this.core.path))
    }
  }
}

/** A handle on a context. Several may stand for one; the context ends with the last. */
export class Handle extends Actions implements Context {
  private closing: Promise<void> | undefined

  constructor(core: ContextCore, home: HandleHome) {
    super(core, home, {}, () => this.refuseClosed())
    core.handles++
    standsFor(this, core)
  }

  /** Resolves when it can be used. An abort gives the attempt up when nobody else waits for it. */
  opened(signal: AbortSignal | undefined): Promise<Context> {
    const { core } = this
    if (signal === undefined) return core.ready.then(() => this)
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        const error = connectCancelled(core.path, core.stage(), signal.reason)
        reject(error)
        this.closing ??= --core.handles === 0 ? core.cancel(error) : Promise.resolve()
      }
      if (signal.aborted) return abort()
      signal.addEventListener('abort', abort, { once: true })
      core.ready.then(() => resolve(this), reject).finally(() => signal.removeEventListener('abort', abort))
    })
  }

  get name(): string {
    return this.core.name
  }

  get path(): string[] {
    return [...this.core.path]
  }

  get state(): Context['state'] {
    return this.closing === undefined ? this.core.state : 'closed'
  }

  get runtime(): 'node' | 'raw' {
    return this.core.runtime
  }

  get info(): ContextInfo | undefined {
    return this.core.info
  }

  override toJSON(): ReturnType<Actions['toJSON']> {
    return { ...super.toJSON(), state: this.state }
  }

  async ping(options: { timeout?: number; signal?: AbortSignal } = {}): Promise<number> {
    this.refuseClosed()
    const { timeout, signal } = options
    checkCall(options, this.core.path)
    if (timeout === undefined && signal === undefined) return this.core.ping()
    return new Promise((resolve, reject) => {
      const where = this.path.join(' > ')
      const late = (): void =>
        reject(new RametError('timeout', `${where} did not answer a ping within ${timeout} ms`, { path: this.path, hint: 'Its state says whether it is still there.' }))
      const abort = (): void =>
        reject(new RametError('cancelled', `${where}: a ping was aborted`, { path: this.path, cause: signal?.reason, hint: 'The caller aborted it.' }))
      if (signal?.aborted === true) return abort()
      const cancel = timeout === undefined ? undefined : this.home.clock.after(timeout, late)
      signal?.addEventListener('abort', abort)
      const over = (): void => {
        cancel?.()
        signal?.removeEventListener('abort', abort)
      }
      this.core.ping().then(resolve, reject).finally(over)
    })
  }

  connect(target: string, options: ConnectOptions = {}): Connecting {
    return this.home.connect(target, { ...options, via: this })
  }

  private refuseClosed(): void {
    if (this.closing === undefined || this.core.state === 'lost') return
    const { path } = this
    throw new RametError('closed', `${path.join(' > ')}: this handle was closed`, { path, outcome: 'not-sent', hint: 'Connect again.' })
  }

  close(): Promise<void> {
    this.closing ??= --this.core.handles === 0 ? this.core.close() : Promise.resolve()
    return this.closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
