import type { CallOptions, Connecting, ConnectOptions, Context, ContextInfo, ExecOptions, ExecResult } from '../../src/controller/api.ts'
import type { Tree } from '../../src/cli/desk.ts'

/** What a target of the fake tree does. Everything is optional: it connects, and prints nothing. */
export interface FakeTarget {
  connect?: () => Promise<void>
  exec?: (command: string | string[], options: ExecOptions) => Promise<ExecResult<Buffer>>
  call?: (exported: string, args: unknown[], options: CallOptions) => unknown
  rtt?: number
  info?: ContextInfo
}

/** A controller in which the test decides what every target does, and which remembers what was asked of it. */
export class FakeTree implements Tree {
  readonly connects: { target: string; options: ConnectOptions }[] = []
  open = 0
  mostOpen = 0
  closed = 0
  closing: Promise<void> = Promise.resolve()
  readonly #targets: Record<string, FakeTarget>

  constructor(targets: Record<string, FakeTarget>) {
    this.#targets = targets
  }

  connect(target: string, options: ConnectOptions): Connecting {
    this.connects.push({ target, options })
    this.open++
    this.mostOpen = Math.max(this.mostOpen, this.open)
    const fake = this.#targets[target] ?? {}
    const connected = (fake.connect?.() ?? Promise.resolve()).catch((error: unknown) => {
      this.open--
      throw error
    })
    const actions = this.#actions(fake, connected, {})
    const context = { ...actions, name: target, runtime: fake.info === undefined ? 'raw' : 'node', info: fake.info, ping: async () => fake.rtt ?? 1, close: async () => void this.open-- }
    return Object.assign(connected.then(() => context as unknown as Context), actions) as unknown as Connecting
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
