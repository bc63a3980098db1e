import type { Clock } from '../base/clock.ts'
import type { Connection } from '../connect/transport.ts'
import type { CallOutcome } from '../router/call.ts'
import type { CallOptions, Keepalive } from './api.ts'
import type { CodeGraph } from './code-graph.ts'
import type { Heeded } from './heeded.ts'
import type { Hop, HopWay } from './hop-way.ts'
import type { Library } from './library.ts'
import type { LogBook } from './logs.ts'
import type { RootRouter } from './root-router.ts'
import type { Together } from './together.ts'

/** Options of a call, and those that only we give. */
export interface WorkOptions extends CallOptions {
  /** The same is asked of other contexts in this tick. */
  together?: boolean
}

/** What a context needs of its controller. */
export interface CoreHome {
  readonly router: RootRouter
  readonly modules: Library
  /** For work that is the same for many contexts. */
  readonly together: Together
  readonly clock: Clock
  readonly book: LogBook
  readonly limits: { link?: number | undefined; code?: number | undefined; message?: number | undefined }
  /** The context is gone for good. */
  ended(id: number): void
}

/** A context, as those that it opens see it. */
export interface ParentCore {
  /** Throws RametError when it cannot be a hop. */
  hop(): Hop
  readonly children: Below
  /** Resolves when it is connected. */
  readonly ready: Promise<void>
}

/** Contexts that end before another one does: those that it opened and, in `jumps`, those whose connection passes through it. */
export class Below extends Set<{ close(): Promise<void>; responsive(responsive: boolean): void }> {
  readonly jumps = new Set<{ close(): Promise<void> }>()

  get all(): number {
    return this.size + this.jumps.size
  }

  async close(): Promise<void> {
    await Promise.all([...this, ...this.jumps].map((context) => context.close()))
  }
}

/** Calls of a context in processes of their own. */
export interface ProcessCalls {
  /** A call is to be expected. */
  prepare(): void
  call(graph: CodeGraph, name: string, args: readonly unknown[], options: WorkOptions, outcome: CallOutcome): void
}

/** How whoever reaches a target reports to its context: prompts that begin and end, work that must not be cut short, what the configuration says of time. */
export type Waiting = [signal: AbortSignal, prompting: (now: boolean) => void, unfinished: (work: Promise<unknown>) => void, heed: (heeded: Heeded) => void]

export interface CoreOptions {
  id: number
  name: string
  path: readonly string[]
  runtime: 'auto' | 'node' | 'raw'
  node?: string | string[] | undefined
  keepalive?: Partial<Keepalive> | undefined
  /** ms for all stages; time spent at prompts is not counted. */
  timeout: number
  /** Reaches the target. */
  reach?(...waiting: Waiting): Promise<Connection>
  /** The context that opens it; undefined: this process does, by `reach`. */
  parent?: ParentCore | undefined
  /** What that one is to open. */
  hopWay?: ((...waiting: Waiting) => Promise<HopWay>) | undefined
}
