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
  /** 'passphrase': of a key file; 'interactive': a question of the server's own; 'become': the password that sudo or su wants. */
  kind: 'password' | 'passphrase' | 'interactive' | 'become'
  /** Names of the contexts from the controller down to the one that asks. */
  path: string[]
  /** What to show to the person. */
  text: string
}
/** Asks a person. Meanwhile the time for connecting stands still; what it rejects with ends the attempt as 'prompt-needed' or 'password-needed'. */
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
  /** For connections that are given none of their own. Default: nobody is asked. */
  prompt?: Prompt
}

/** What a host-key function gets to see. */
export interface HostKey {
  /** What was connected to: HostName of the configuration, not the alias. */
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
  /** Private key files, and no others; PubkeyAuthentication no forbids them, too. Default: those of the configuration, the agent's, and OpenSSH's usual names. */
  identityFile?: string | string[]
  /** For SSH, or for sudo and su. It is given once, by a method that the configuration allows. */
  password?: string | Secret
  /** Of encrypted key files. */
  passphrase?: string | Secret
  /** Default: the controller's. BatchMode of the configuration lets nobody be asked for a login, whatever stands here. */
  prompt?: Prompt
  /**
   * 'enforce': known_hosts must hold the key; 'accept': a host's first key is saved; 'ignore': any but a revoked one. A function
   * decides at once, and only its literal true accepts. Default: StrictHostKeyChecking of the configuration, 'enforce' unless that is
   * accept-new or no ('accept').
   */
  hostKeys?: 'enforce' | 'accept' | 'ignore' | ((key: HostKey) => boolean)
  /** Files in place of those of the configuration; 'accept' saves in the first. */
  knownHosts?: string | string[]
  /** An OpenSSH configuration file, or false for none. Default: what the system's ssh would read. */
  sshConfig?: string | false
  /** Default: ssh2, and the system's ssh where the configuration asks for what only that can do. */
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
  /** 'raw': commands alone, and no interpreter is started. Default 'auto': raw where there is no Node of version 12 or later. */
  runtime?: 'auto' | 'node' | 'raw'
  /**
   * Default: every 15,000 ms, 4 times. Where the configuration sets ServerAliveInterval, that and its ServerAliveCountMax are how this end looks after
   * the link; the target goes on looking after it as by default.
   */
  keepalive?: Partial<Keepalive>
  /** Milliseconds for all stages together. Default 30,000, and beside them ConnectTimeout of the configuration for reaching the server. */
  timeout?: number
  /** Gives the attempt up ('cancelled'), unless another handle waits for the same context. */
  signal?: AbortSignal
  /** Connects again after the connection was lost, until the handle is closed. What was under way ends as unknown and is never repeated. */
  reconnect?: boolean | Reconnect
  /** Opens a context of its own even when an equal one is open. */
  fresh?: boolean
}

/** What `secret()` gives: a text that logs, JSON and the console show as '[secret]'. For options of ours; as an argument of a call it is refused. */
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
  /** Milliseconds; then TERM to the process group, 2 s, KILL, and 'timeout'. Default: none. */
  timeout?: number
  /** Ends the command in the same way, and rejects with 'cancelled'. */
  signal?: AbortSignal
  /** Default 'utf8'. */
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
  /** Null when a signal ended it. */
  exitCode: number | null
  /** 'SIGTERM', …; null when it ended by itself. Both are null where nobody could say how it ended. */
  signal: string | null
  /** More was printed than `maxOutput`. */
  truncated: boolean
  /** Milliseconds the command took, measured at the target. */
  duration: number
}

/** The error of an exec that timed out, was aborted or failed a check carries what was printed so far. */
export interface ExecError extends RametError {
  result: ExecResult<string | Buffer>
}

export interface SpawnOptions {
  /** Default: the account's home directory. */
  cwd?: string
  /** Merged over the target's environment; undefined removes a variable. */
  env?: Record<string, string | undefined>
  /** Ends the process group: TERM, 2 s, KILL; `exited` rejects with 'cancelled'. */
  signal?: AbortSignal
}

/** A command under way. The target sends on only what is read here. When it is lost the streams end with the error that `exited` rejects with. */
export interface RemoteChild {
  /** Destroyed, it ends like any other: the command reads end of file. */
  readonly stdin: Writable
  /**
   * Destroyed (`for await … break` does so too), it is closed at the target, as `stderr` is, each by itself: a command that prints on
   * gets SIGPIPE, or EPIPE where it ignores the signal. On a target without Node the first that it prints from then on, or that
   * was on its way, sends SIGPIPE to its whole process group; where it ignores that, its output goes on crossing the wire, to be dropped.
   */
  readonly stdout: Readable
  readonly stderr: Readable
  /** On the target. Rejects with 'spawn-failed' when there never was one. */
  readonly pid: Promise<number>
  /** Sends a signal to the process group. Default 'SIGTERM'. */
  kill(signal?: string): void
  /** Resolves when it has ended and what it printed is here; rejects with 'spawn-failed', 'cancelled', 'link-lost' … */
  readonly exited: Promise<{ exitCode: number | null; signal: string | null }>
}

/** A call under way: a promise of the result, and an async iterable of it when the function returns one. */
export type Call<T> = Promise<T> & (T extends AsyncIterable<infer Item> ? AsyncIterable<Item> : T extends Iterable<infer Item> ? AsyncIterable<Item> : unknown)

type RemoteResult<T> = Awaited<T> extends Generator<infer Item> ? AsyncIterable<Item> : Awaited<T> extends AsyncIterable<infer Item> ? AsyncIterable<Item> : Awaited<T>

/** A function of a module as the controller sees it. Type parameters of its own become `unknown`. */
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
  /** Milliseconds until the call ends as 'timeout'; the function is told, and ended where it spins. Default: none. */
  timeout?: number
  /** Ends the call as 'cancelled', in the same way. */
  signal?: AbortSignal
  /**
   * Default: the context's Worker. 'none': on the main thread, fastest; refused on a context that others are reached through.
   * 'process': each call in a fresh process of its own, started ahead, so that nothing of it reaches the next one.
   */
  isolate?: 'none' | 'worker' | 'process'
}

/** What can be done with a context, whether it is connected already or still connecting. */
export interface ContextActions {
  /**
   * Runs a command: a text for /bin/sh -c, or an argv that no shell sees. Resolves however it ended; rejects with 'spawn-failed',
   * 'timeout', 'cancelled', 'exec-failed' (`check`), or with what became of the connection. All but a refusal carry `result`.
   */
  exec(command: string | string[], options: ExecOptions & { encoding: 'buffer' }): Promise<ExecResult<Buffer>>
  exec(command: string | string[], options?: ExecOptions): Promise<ExecResult>
  /** The same with live streams. Returns at once; throws only on a context that is lost or closed. */
  spawn(command: string | string[], options?: SpawnOptions): RemoteChild
  /**
   * A file's functions, to be called on the target. A relative path starts at the working directory; the file is read with the first
   * call. Exports named `then` and `toJSON` cannot be called: promises and loggers look for them. Arguments and results are what
   * structured clone carries, but for holes in arrays, which arrive as undefined, and boxed primitives (`new String('a')`), which are
   * refused. Type parameters of a function are `unknown` here: TypeScript cannot keep them. Export one with its types written out beside it.
   */
  use<M>(module: URL | string): RemoteModule<M>
  /** Runs a function that uses nothing from outside itself. Rejects with 'captured-variables', or with 'remote-error' and what it threw as `cause`. Arguments and results as for `use`. */
  call<Args extends unknown[], Result>(fn: (...args: Args) => Result, ...args: Args): Call<RemoteResult<Result>>
  /** The same context under these options; those that are not named stay as they are. */
  with(options: CallOptions): ContextActions
}

export interface ContextInfo {
  pid: number
  /** 'v20.19.4' */
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
  /** 'unresponsive': it has left a PING unanswered, and may answer again. */
  readonly state: 'connecting' | 'connected' | 'unresponsive' | 'lost' | 'closed'
  /** Whether there is a Node with our stub behind it ('node') or commands run over plain channels ('raw'). */
  readonly runtime: 'node' | 'raw'
  /** What the target said of itself; undefined on a raw context. */
  readonly info: ContextInfo | undefined
  /** Milliseconds of one round trip to it; on a raw context, of a command that does nothing. `timeout`: milliseconds. */
  ping(options?: { timeout?: number; signal?: AbortSignal }): Promise<number>
  /** Opens another context from this one: `controller.connect(target, { via: this })`. */
  connect(target: string, options?: ConnectOptions): Connecting
  /** Lets go of this handle. With the last one the context ends, and resolves when nothing of it is left there. Twice is harmless. */
  close(): Promise<void>
}

/** A promise of the context on which work can be started at once: it leaves with the bytes that open the connection. */
export interface Connecting extends Promise<Context>, ContextActions {}

/** What the way to a context has carried, seen from its upper end: In is what came from it. Bytes are those on the wire, frames ours. */
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
  /** Calls that were made on it. */
  roundTrips: number
  modulesSent: number
  /** Modules that were wanted again and had not to be sent. */
  modulesReused: number
  /** Of the modules that were sent, compressed. */
  codeBytes: number
}
