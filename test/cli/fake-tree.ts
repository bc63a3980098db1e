import { displayName, parseTarget } from '../../src/connect/target.ts'
import type { CallOptions, Connecting, ConnectOptions, Context, ContextInfo, ExecOptions, ExecResult, LinkStats, RemoteChild, SpawnOptions } from '../../src/controller/api.ts'
import type { Tree } from '../../src/cli/desk.ts'
import { RametError } from '../../src/router/errors.ts'

/** What a target of the fake tree does. Everything is optional: it connects, and prints nothing. */
export interface FakeTarget {
  connect?: (options: ConnectOptions) => Promise<void>
  spawn?: (command: string | string[], options: SpawnOptions) => RemoteChild
  exec?: (command: string | string[], options: ExecOptions) => Promise<ExecResult<Buffer>>
  call?: (exported: string, args: unknown[], options: CallOptions) => unknown
  rtt?: number
  info?: ContextInfo
  /** Read each time; by default 'connected'. */
  state?: Context['state']
  /** What its link carried; by default nothing. */
  link?: Partial<LinkStats>
}

/** A controller in which the test decides what every target does, and which remembers what was asked of it. */
export class FakeTree implements Tree {
  readonly connects: { target: string; options: ConnectOptions }[] = []
  open = 0
  mostOpen = 0
  closed = 0
  /** Paths of contexts whose handle was closed, in order. */
  readonly closedPaths: string[] = []
  closing: Promise<void> = Promise.resolve()
  readonly #targets: Record<string, FakeTarget>
  readonly #paths = new Map<object, string[]>()
  readonly #links = new Map<object, LinkStats>()

  constructor(targets: Record<string, FakeTarget>) {
    this.#targets = targets
  }

  connect(target: string, options: ConnectOptions): Connecting {
    const address = parseTarget(target)
    this.connects.push({ target, options })
    this.open++
    this.mostOpen = Math.max(this.mostOpen, this.open)
    const path = [...this.pathOf(options.via), displayName(address)]
    // A target can be meant by its path too, where its name stands at several places.
    const fake = this.#targets[path.join(' > ')] ?? this.#targets[target] ?? {}
    const hop = Promise.resolve(options.via).catch((cause: unknown) => {
      throw new RametError('link-lost', `${path.join(' > ')} was lost with its hop`, { path, outcome: 'not-sent', cause })
    })
    const connected = hop.then(() => fake.connect?.(options)).catch((error: unknown) => {
      this.open--
      throw error
    })
    const actions = this.#actions(fake, connected, {})
    const context = {
      ...actions, name: target, path,
      get state() {
        return fake.state ?? 'connected'
      },
      runtime: fake.info === undefined ? 'raw' : 'node', info: fake.info, ping: async () => fake.rtt ?? 1,
      close: async () => {
        this.open--
        this.closedPaths.push(path.join(' > '))
        this.#links.delete(context)
      },
    }
    const opened = connected.then(() => {
      this.#links.set(context, {
        path, state: 'connected', from: path.at(-2) ?? 'controller', to: path.at(-1)!, transport: 'ssh2', rtt: undefined, bytesIn: 0, bytesOut: 0, framesIn: 0, framesOut: 0,
        roundTrips: 0, modulesSent: 0, modulesReused: 0, codeBytes: 0, ...fake.link,
      })
      return context as unknown as Context
    })
    const connecting = Object.assign(opened, actions) as unknown as Connecting
    this.#paths.set(connecting, path)
    return connecting
  }

  /** Names down to a context that connect() has given out. */
  pathOf(connecting: object | undefined): string[] {
    return connecting === undefined ? [] : this.#paths.get(connecting)!
  }

  stats(): { links: LinkStats[] } {
    return { links: [...this.#links.values()] }
  }

  async close(): Promise<void> {
    await this.closing
    this.closed++
  }

  #actions(fake: FakeTarget, connected: Promise<void>, options: CallOptions): Record<string, unknown> {
    return {
      exec: async (command: string | string[], execOptions: ExecOptions) => {
        await connected
        return fake.exec?.(command, execOptions) ?? ended({})
      },
      spawn: (command: string | string[], spawnOptions: SpawnOptions) => fake.spawn!(command, spawnOptions),
      with: (more: CallOptions) => this.#actions(fake, connected, { ...options, ...more }),
      use: () => new Proxy({}, {
        get: (_, exported) => async (...args: unknown[]) => {
          await connected
          return fake.call?.(String(exported), args, options)
        },
      }),
    }
  }
}

/** The result of a command. `output` gives the order of the streams; without it stdout comes first. */
export function ended(fields: { stdout?: string | Buffer; stderr?: string | Buffer; output?: ['stdout' | 'stderr', string][]; exitCode?: number | null; signal?: string; truncated?: boolean }): ExecResult<Buffer> {
  const pieces = fields.output?.map(([stream, text]) => ({ stream, data: Buffer.from(text) }))
    ?? (['stdout', 'stderr'] as const).flatMap((stream) => fields[stream] === undefined ? [] : [{ stream, data: Buffer.from(fields[stream]) }])
  const joined = (stream: string): Buffer => Buffer.concat(pieces.filter((piece) => piece.stream === stream).map((piece) => piece.data))
  return {
    stdout: joined('stdout'), stderr: joined('stderr'), output: pieces, exitCode: fields.signal !== undefined ? null : fields.exitCode ?? 0,
    signal: fields.signal ?? null, truncated: fields.truncated ?? false, duration: 5,
  }
}
