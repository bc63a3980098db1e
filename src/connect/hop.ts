import type { LoginRules } from './login-rules.ts'
import type { BecomeMethod, ContainerTool } from './target.ts'

/**
 * What a controller asks of a hop, and what the hop asks back. Plain data, since it crosses the wire; what comes up from a hop
 * is read with suspicion.
 */

/** A key that the controller can sign with. The hop gets to know the public part only. */
export interface HopKey {
  publicBlob: Uint8Array
  type: string
  comment: string
  /** As SshKey.local: signing asks no person, and the key is meant for this target. */
  local: boolean
}

export interface HopSshTarget {
  kind: 'ssh'
  host: string
  port: number
  user: string
  /** In the order in which they are tried. */
  keys: HopKey[]
  /** The controller has a password for it. */
  password: boolean
  /** The controller can ask a person. */
  prompt: boolean
  /** What the controller's configuration says of login methods. */
  rules: LoginRules
  /** ms for reaching the server, until the key exchange is done; 0: none of its own. */
  reachTime: number
  /** Host key types to ask for, best first. */
  hostKeyAlgorithms: string[]
  kex?: string[] | undefined
  cipher?: string[] | undefined
  hmac?: string[] | undefined
}

/** The hop's own ssh client, with the hop's own configuration, keys and known_hosts. */
export interface HopOpensshTarget {
  kind: 'openssh'
  host: string
  port?: number | undefined
  user?: string | undefined
  hostKeys?: 'enforce' | 'accept' | 'ignore' | undefined
  /** Keys behind an agent socket that it gets: the controller signs, once session-bind has proven the host key. Undefined: no socket. */
  agent?: HopKey[] | undefined
}

export type HopTarget =
  /** Another process of the hop's own Node, for isolation. */
  | { kind: 'process' }
  /** A shell of the hop's own account. */
  | { kind: 'local' }
  | { kind: 'become'; method: BecomeMethod; user: string }
  | { kind: 'container'; tool: ContainerTool; name: string; user?: string | undefined }
  | HopSshTarget
  | HopOpensshTarget

/** How an SSH server proved that it owns its host key: it signed the hash of the first key exchange, which is the session's id. */
export interface HostProof {
  /** The host key as SSH sends it. */
  blob: Uint8Array
  /** SSH's signature blob: string algorithm, string signature. */
  signature: Uint8Array
  sessionId: Uint8Array
}

/** Every question that concerns an SSH server carries the proof of its host key: the controller answers after it has checked that. */
export type HopQuestion =
  /** Whether the host key is the right one. Answer: true. */
  | { ask: 'host'; proof: HostProof }
  /** A signature for the key at this place of `keys` over `data`. Answer: SSH's signature blob. */
  | { ask: 'sign'; proof: HostProof; key: number; algorithm: string; data: Uint8Array }
  /** The password that the controller has or a person types. Answer: text. */
  | { ask: 'password'; proof: HostProof; text: string }
  /** One question of keyboard-interactive. Answer: text. */
  | { ask: 'interactive'; proof: HostProof; text: string }
  /** The password that sudo, su or doas wants. Answer: text. */
  | { ask: 'become'; text: string }

/** Asks the controller. Rejects with the RametError that says why not. */
export type Ask = (question: HopQuestion) => Promise<unknown>

/** What a controller sends to have a context opened. */
export interface HopRequest {
  /** Of the new context. The ROUTE that announced it has said the rest: its path and limits, and how the context looks after us. */
  id: number
  target: HopTarget
  /** Names from the controller down, joined: how messages name the target. */
  name: string
  path: string[]
  /** For the launch line, so that `ps` on the target names both. */
  version: string
  owner: string
  node?: string | string[] | undefined
  /** How we look after the link to it, in ms, where the SSH configuration has a say. Default: as the ROUTE said. */
  keepalive?: { interval: number; count: number } | undefined
  /** No stub: processes of the controller's choice follow one another. */
  commands?: boolean | undefined
}

/** Messages on the channel that holds a context below a hop: msgpack arrays that begin with one of these. */
export const HOP_UP = {
  /** [STAGE, stage]: how far connecting has come. */
  STAGE: 1,
  /** [ASK, number, question]: a HopQuestion. */
  ASK: 2,
  /** [STRAY, bytes]: printed by the target besides frames. */
  STRAY: 3,
  /** [HELLO, payload]: the context has said who it is. Of a connection for commands: [HELLO, empty, whether its server loses channels]. */
  HELLO: 4,
  /** [RESPONSIVE, boolean]: a missed PING, or a sign of life after one. */
  RESPONSIVE: 5,
  /** [STATS, HopStats]: what its link carried. */
  STATS: 6,
  /** [PONG, number, HopStats]: the answer to a PING, when the context has answered the hop's. */
  PONG: 7,
  /** [FAILED, HopFailure]: why the channel ends, where that was not asked for. */
  FAILED: 8,
} as const

export const HOP_DOWN = {
  /** [ANSWER, number, value]: of a question. */
  ANSWER: 1,
  /** [REFUSE, number, HopFailure]: of a question. */
  REFUSE: 2,
  /** [PING, number] */
  PING: 3,
  /** [CLOSE]: the context says goodbye to what is below it, and ends. The channel ends when nothing of it is left at the hop. */
  CLOSE: 4,
} as const

/** A RametError without its path, which the reader knows better. */
export type HopFailure = [code: string, message: string, stage: string | null, outcome: string, hint: string]

/** Counters of the link to a context below a hop, as LinkStats has them; rtt in ms. */
export type HopStats = [rtt: number | null, bytesIn: number, bytesOut: number, framesIn: number, framesOut: number, modulesSent: number, modulesReused: number, codeBytes: number]

/** Messages of one process on a target without an interpreter: one of these bytes, then what it carries. The channel ends with [exitCode, signal], and a HopFailure where it could not be started or was lost. */
export const PROCESS_UP = { STDOUT: 1, STDERR: 2 } as const
export const PROCESS_DOWN = {
  STDIN: 0,
  EOF: 1,
  /** The signal's name, or nothing: as firmly as can be. */
  KILL: 2,
  /** Digits: the process, or with a minus the group, that the hop ends when nobody above is left to do it; 0: none any more. */
  ENTRUST: 3,
} as const
