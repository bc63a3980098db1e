import type { Readable, Writable } from 'node:stream'
import type { Logger } from 'pino'
import type { RametError } from '../router/errors.ts'

/** What the engine may use at most. Sizes in bytes. */
export interface Limits {
  /** Largest argument list or result of one call, encoded. Default 64 MiB. */
  message: number
  /** Bytes under way per link to a child, in each direction. Default 4 MiB, at most 8 MiB. */
  link: number
  /** Interpreters of ours on one machine: accounts, containers, isolated processes. Default 20; the least recently used idle one ends first. */
  interpreters: number
  /** Bytes of module text that one context keeps in RAM. Default 64 MiB. */
  code: number
}

export interface PromptRequest {
  kind: 'password' | 'passphrase' | 'interactive' | 'become'
  /** Names of the contexts from the controller down to the one that asks. */
  path: string[]
  /** What to show to the person. */
  text: string
}
export type Prompt = (request: PromptRequest) => Promise<string>

/**
 * A link's liveness: a PING each `interval` ms of silence; `count` unanswered ones in a row and the link is lost. Default 15 s and 4.
 * Both ends watch: a target whose controller is silent for longer than that (a laptop asleep, a process that stands still) ends
 * itself and what runs on it, so that nothing is left behind by a network that died. Raise it for work that must outlast more.
 */
export interface Keepalive {
  interval: number
  count: number
}

export interface ControllerOptions {
  /** Receives everything that contexts log and print. Default: warnings and worse on stderr. */
  logger?: Logger
  limits?: Partial<Limits>
  prompt?: Prompt
}

/** What a host-key function gets to see. */
export interface HostKey {
  host: string
  port: number
  /** 'ssh-ed25519', … */
  type: string
  /** The key as SSH sends it. */
  blob: Uint8Array
  /** 'SHA256:…', as ssh-keygen -l prints it. */
  fingerprint: string
}

export interface Reconnect {
  /** Milliseconds before the first try; doubled with each, to 30 s at most, and spread by half. Default 1,000. */
  delay?: number
  /** Default: no end. */
  attempts?: number
}

export interface ConnectOptions {
  identityFile?: string | string[]
  password?: string | Secret
  passphrase?: string | Secret
  prompt?: Prompt
  hostKeys?: 'enforce' | 'accept' | 'ignore' | ((key: HostKey) => boolean)
  knownHosts?: string | string[]
  /** An OpenSSH configuration file, or false for none. Default: what the system's ssh would read. */
  sshConfig?: string | false
  transport?: 'ssh2' | 'openssh'
  /**
   * With `via` and transport 'openssh': the hop's ssh gets an agent socket, in RAM, behind which this machine signs logins to just this
   * target. Needs OpenSSH 8.9 or newer there. Default false: the hop's own keys.
   */
  agent?: boolean
  /** The context from which it is opened; it may still be connecting. */
  via?: Context | Connecting
  /**
   * TCP through other machines, with SSH end to end from here: they see addresses, sizes and times. 'user@host:port', an alias,
   * several with commas between them as for ssh -J, or 'none'; default: ProxyJump of the SSH configuration. Or a context. For
   * machines that are named, hostKeys, knownHosts and prompt hold as for the target, identityFile where the configuration
   * names no key for them; password does not. Not together with via.
   */
  jump?: Context | Connecting | string
  /** Path of the Node binary on the target, or an argv that starts it. Default: searched. */
  node?: string | string[]
  runtime?: 'auto' | 'node' | 'raw'
  keepalive?: Partial<Keepalive>
  /** Milliseconds for all stages together. Default 30,000. */
  timeout?: number
  signal?: AbortSignal
  /** Connects again after the connection was lost, until the handle is closed. What was under way ends as unknown and is never repeated. */
  reconnect?: boolean | Reconnect
  /** Opens a context of its own even when an equal one is open. */
  fresh?: boolean
}

export interface Secret {
  readonly secret: true
}

export interface ExecOptions {
  /** Default: the account's home directory. */
  cwd?: string
  /** Merged over the target's environment; undefined removes a variable. */
  env?: Record<string, string | undefined>
  /** Default: end of file at once. */
  stdin?: string | Uint8Array | Readable
  /** Milliseconds; then TERM to the process group, a grace, KILL. */
  timeout?: number
  signal?: AbortSignal
  encoding?: 'utf8' | 'buffer'
  /** Bytes of stdout and stderr together that are kept. Default 16 MiB; what is beyond is dropped and `truncated` is true. */
  maxOutput?: number
  /** Rejects with 'exec-failed' when the command did not end with exit code 0. */
  check?: boolean
}

export interface ExecResult<Output = string> {
  stdout: Output
  stderr: Output
  /** Both streams in the order in which they arrived at the target's reader. */
  output: { stream: 'stdout' | 'stderr'; data: Output }[]
  exitCode: number | null
  signal: string | null
  truncated: boolean
  /** Milliseconds the command took, measured at the target. */
  duration: number
}

/** The error of an exec that timed out, was aborted or failed a check carries what was printed so far. */
export interface ExecError extends RametError {
  result: ExecResult<string | Buffer>
}

export interface SpawnOptions {
  cwd?: string
  env?: Record<string, string | undefined>
  signal?: AbortSignal
}

export interface RemoteChild {
  readonly stdin: Writable
  readonly stdout: Readable
  readonly stderr: Readable
  readonly pid: Promise<number>
  /** Sends a signal to the process group. Default 'SIGTERM'. */
  kill(signal?: string): void
  readonly exited: Promise<{ exitCode: number | null; signal: string | null }>
}

/** A call under way: a promise of the result, and an async iterable of it when the function returns one. */
export type Call<T> = Promise<T> & (T extends AsyncIterable<infer Item> ? AsyncIterable<Item> : T extends Iterable<infer Item> ? AsyncIterable<Item> : unknown)

type RemoteResult<T> = Awaited<T> extends Generator<infer Item> ? AsyncIterable<Item> : Awaited<T> extends AsyncIterable<infer Item> ? AsyncIterable<Item> : Awaited<T>

/** A function of a module as the controller sees it. */
export type RemoteFunction<F> = F extends (...args: infer Args) => infer Result ? (...args: Args) => Call<RemoteResult<Result>> : never

/** A file that would be sent to a target. */
export interface SentFile {
  /** Absolute path on this machine. */
  file: string
  /** Bytes of the transformed text. */
  bytes: number
  /** SHA-256 of the transformed text, hex. */
  hash: string
}

/** A module as seen from the controller: its exported functions, and what would be sent. */
export type RemoteModule<M> = {
  [K in keyof M as M[K] extends (...args: never[]) => unknown ? K : never]: RemoteFunction<M[K]>
} & {
  /** The files that leave this machine when the module is used. */
  files(): Promise<SentFile[]>
}

export interface CallOptions {
  /** Milliseconds. */
  timeout?: number
  signal?: AbortSignal
  /**
   * Default: the context's Worker. 'none': on the main thread, fastest; refused on a context that others are reached through.
   * 'process': each call in a fresh process of its own, started ahead, so that nothing of it reaches the next one.
   */
  isolate?: 'none' | 'worker' | 'process'
}

/** What can be done with a context, whether it is connected already or still connecting. */
export interface ContextActions {
  exec(command: string | string[], options: ExecOptions & { encoding: 'buffer' }): Promise<ExecResult<Buffer>>
  exec(command: string | string[], options?: ExecOptions): Promise<ExecResult>
  spawn(command: string | string[], options?: SpawnOptions): RemoteChild
  use<M>(module: URL | string): RemoteModule<M>
  call<Args extends unknown[], Result>(fn: (...args: Args) => Result, ...args: Args): Call<RemoteResult<Result>>
  with(options: CallOptions): ContextActions
}

export interface ContextInfo {
  pid: number
  nodeVersion: string
  platform: string
  arch: string
  hostname: string
}

export interface Context extends ContextActions, AsyncDisposable {
  /** As the user wrote the target: shown in errors, logs and results. */
  readonly name: string
  /** Names from the controller down to this context. */
  readonly path: string[]
  readonly state: 'connecting' | 'connected' | 'unresponsive' | 'lost' | 'closed'
  /** Whether there is a Node with our stub behind it ('node') or commands run over plain channels ('raw'). */
  readonly runtime: 'node' | 'raw'
  /** What the target said of itself; undefined on a raw context. */
  readonly info: ContextInfo | undefined
  /** Milliseconds of one round trip to it. */
  ping(options?: { timeout?: number; signal?: AbortSignal }): Promise<number>
  connect(target: string, options?: ConnectOptions): Connecting
  close(): Promise<void>
}

/** A promise of the context on which work can be started at once: it leaves with the bytes that open the connection. */
export interface Connecting extends Promise<Context>, ContextActions {}

export interface LinkStats {
  /** Names from the controller down to the context at the lower end. */
  path: string[]
  from: string
  to: string
  state: Context['state']
  /** How the context was reached: 'ssh2', 'openssh', 'local', 'sudo', 'docker' and so on. */
  transport: string
  /** Milliseconds; undefined until measured. */
  rtt: number | undefined
  bytesIn: number
  bytesOut: number
  framesIn: number
  framesOut: number
  roundTrips: number
  modulesSent: number
  modulesReused: number
  codeBytes: number
}
