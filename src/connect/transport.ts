import type { Stage } from '../router/errors.ts'
import type { Pipe } from '../router/pipe.ts'
import type { BecomeMethod, ContainerTool } from './target.ts'

/** How a process ended: one of the two is null. Both are null when the transport cannot tell (a lost connection). */
export interface ProcessEnd {
  exitCode: number | null
  /** Signal name with its prefix, as Node writes it: 'SIGTERM'. */
  signal: string | null
}

/** A process started over a connection. Its stdin and stdout are the pipe. */
export interface RemoteProcess {
  readonly pipe: Pipe
  /** Receives stderr; called once, nothing is lost before. The listener may be called any number of times. */
  stderr(listener: (bytes: Uint8Array) => void): void
  /** Resolves when the process has ended and all of its output has been delivered; never rejects. */
  readonly exited: Promise<ProcessEnd>
  /** Where the transport can tell: nothing of the command has left this process, and once it is killed nothing will. */
  readonly unstarted?: boolean
  /** Ends the process as firmly as the transport can (signal, then closing its channel). Harmless when repeated. */
  kill(signal?: string): void
  /**
   * Where a program of this machine holds the pipes: lets it go on, for it has been told to end. sudo and su stop themselves when what they run is stopped; who
   * continues that alone leaves them as they are, and then they hear of no end.
   */
  wake?(): void
  /**
   * The process, or with a minus the process group, that belongs to this one. Where a machine of ours stands between, that ends it (TERM,
   * then KILL) should it lose us before the process behind this has ended; where both are processes of this machine, kill() ends both.
   * 0: none any more.
   */
  entrust?(who: number): void
}

/**
 * A way to a machine (or an account of this one) over which processes can be started.
 *
 * `open` never waits: bytes written to the new process's pipe before it exists are kept, and leave as early as it is safe,
 * together with the request that starts it. Only the first `open` may be called before `ready` has resolved.
 */
export interface Connection {
  /** How messages and logs name it: 'deploy@web1:2222', 'local'. */
  readonly name: string
  readonly transport: 'ssh2' | 'openssh' | 'local' | 'process' | BecomeMethod | ContainerTool
  /** How far it has come; where it stood when it failed. */
  readonly stage: Stage
  /** Where another machine stands between: what it has not done yet, for messages about stage 'tcp'. */
  readonly waits?: string | undefined
  /** Resolves when the machine has accepted us; rejects with a RametError that carries its stage. */
  readonly ready: Promise<void>
  /** Starts a process. `command` is text for the account's login shell. */
  open(command: string): RemoteProcess
  /** Where the server is known for it, from `ready` on: a process that ends may take along one that is opened in the same moment. */
  readonly losesChannels?: boolean
  /**
   * Where the transport can: a TCP connection from that machine to `host` (a name as that machine knows it), without any
   * process there. May be called before `ready`. Rejects with a RametError that names both and its stage ('tcp').
   */
  dial?(host: string, port: number, signal?: AbortSignal): Promise<Pipe>
  /** Where the transport can: ends the connection when the machine has left `count` questions unanswered, one per `interval` ms of silence. */
  watch?(keepalive: { interval: number; count: number }): void
  /** Ends everything started over it; resolves when no fd, timer or child of it is left here. Never rejects. */
  close(): Promise<void>
  /** Called once, when the connection has ended for whatever reason after `ready`. */
  onClose(listener: (cause?: Error) => void): void
  /** Bytes on the wire so far, where the transport can count them. */
  stats(): { bytesIn: number; bytesOut: number }
}
