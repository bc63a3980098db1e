/** What is done on the target: a shell command there, or a function. */
export type Kind = 'command' | 'function'

export const KINDS: readonly Kind[] = ['command', 'function']

/** A way in which work gets done on the target, in use. */
export interface Contender {
  /** Makes what stays open between calls. */
  open(signal: AbortSignal): Promise<void>
  /**
   * One call; rejects when the result is not what it must be, or when the signal aborts. What comes back, if anything, ends the
   * call's own connection: the result is in hand by then.
   */
  call(kind: Kind, signal: AbortSignal): Promise<void | (() => Promise<void>)>
  /** Ends everything; harmless when repeated. Never rejects. */
  close(): Promise<void>
}

/** Where a contender connects instead of the target: a relay of ours that counts. */
export interface Door {
  host: string
  port: number
}

/** A contender in the list of what will be measured. */
export interface Entry {
  readonly id: string
  /** For tables and pictures: short. */
  readonly label: string
  /** What it is, for people. */
  readonly what: string
  /** Each call has a connection of its own. */
  readonly fresh: boolean
  /** Calls at once that the server lets through; `why` names its limit. */
  readonly most?: { readonly count: number; readonly why: string } | undefined
  /** Each call leaves a process behind that only init waits for: what that spent nobody can read. */
  readonly orphans?: boolean
  /** It may have to ask a person: how long it takes to begin says nothing. */
  readonly asks?: boolean
  /** Why it takes no part. */
  readonly leftOut?: string | undefined
  make(door?: Door): Contender
}

/** What crossed the relay. Sizes are TCP payload. */
export interface Wire {
  connections: number
  /** Away from us. */
  bytesOut: number
  bytesIn: number
  /** Segments of at most 1,448 bytes; acknowledgements alone are not among them. */
  packetsOut: number
  packetsIn: number
  /** Times that an answer had to be waited for before anything else could happen, one for each TCP handshake among them; of a call: until its result. */
  roundTrips: number
}

export interface LeftOut {
  id: string
  label: string
  kinds: readonly Kind[]
  reason: string
}

/** One contender doing one kind of work. Times are milliseconds. */
export interface Row {
  readonly id: string
  readonly label: string
  readonly kind: Kind
  /** Calls that were meant to be made; fewer than asked for where a contender is slow. */
  planned: number
  /** Of each call that succeeded. */
  readonly times: number[]
  /** Time that its slices took, with what ends connections. */
  busy: number
  /** CPU of this process and, where it can be read, of its children in its slices. */
  cpuOwn: number
  cpuChildren: number | undefined
  /** More was spent than that: by processes that nobody of ours waits for. */
  readonly orphans?: boolean
  failed: number
  /** The last failure. */
  failure: string | undefined
}

/** What one contender sends: to open what stays open, with the code that its first calls bring along, and for each call. */
export interface Counted {
  fresh: boolean
  opening: Wire
  calls: Partial<Record<Kind, Wire>>
}

/** How the run ended. */
export type Ending = 'whole' | 'time' | 'interrupted'

/** What a run has found, whole or not. */
export interface Report {
  target: string
  /** Calls of each kind by each contender that were asked for. */
  calls: number
  rounds: number
  concurrency: number
  /** Bytes. */
  payload: number
  /** Milliseconds. */
  maxTime: number
  elapsed: number
  ending: Ending
  rows: Row[]
  leftOut: LeftOut[]
  /** By contender's id. */
  counted: Map<string, Counted>
  /** Name of the first hop of the way, if there is one: what is counted passes between here and there. */
  hop: string | undefined
  /** Why nothing could be counted. */
  uncounted: string | undefined
  /** Milliseconds. tcp: of a TCP handshake with the target or the first hop; ping: of one through an open ramet link. */
  rtt: { tcp: number | undefined; ping: number | undefined }
  notes: string[]
  /** What took part: this Node, the ssh client. */
  versions: { ramet: string; node: string; ssh: string | undefined; platform: string }
}
