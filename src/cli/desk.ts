import type { Logger } from 'pino'
import type { Clock } from '../base/clock.ts'
import type { Connecting, ConnectOptions, ContextInfo, LinkStats, Prompt, SentFile } from '../controller/api.ts'
import type { Sink } from './sink.ts'

export type StopSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP'

/** What commands need of a controller. */
export interface Tree {
  connect(target: string, options: ConnectOptions): Connecting
  /** What every link carried so far. */
  stats(): { links: LinkStats[] }
  close(): Promise<void>
}

export interface TreeOptions {
  prompt: Prompt | undefined
  logger: Logger
}

/** Everything outside that a command uses; tests bring their own. */
export interface Desk {
  readonly stdout: Sink
  readonly stderr: Sink
  readonly clock: Clock
  readonly env: Record<string, string | undefined>
  /** Absolute path against which files are named. */
  readonly cwd: string
  /** This process and its machine. */
  readonly self: ContextInfo
  /** Whole content; rejects like node:fs does, and with a RametError above `FILE_LIMIT`. */
  readFile(path: string): Promise<Buffer>
  /** Everything that stdin has, up to `FILE_LIMIT`. May be called once. */
  readStdin(): Promise<Buffer>
  /** Takes the process's stop signals over; the function returned gives them back. */
  onSignal(listener: (signal: StopSignal) => void): () => void
  /** Asks the person and shows nothing of the answer. Undefined where nobody is there to ask. */
  readonly askHidden: ((text: string, signal: AbortSignal) => Promise<string>) | undefined
  /** The heavy part: loads the engine. */
  openTree(options: TreeOptions): Promise<Tree>
  /** The files that would leave this machine when the module at this absolute path is used. */
  listFiles(file: string): Promise<SentFile[]>
}

/** Bytes of a file or of stdin that are read whole. 64 MiB, like a message. */
export const FILE_LIMIT = 64 * 1024 * 1024

/** Colours and a status line only make sense there. */
export function isLive(sink: Sink, env: Record<string, string | undefined>): boolean {
  return sink.isTTY && env.TERM !== 'dumb'
}
