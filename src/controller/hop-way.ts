import type { HopQuestion, HopTarget } from '../connect/hop.ts'
import type { CodeLink } from '../router/code-link.ts'
import type { CodeGraph } from './code-graph.ts'

/** The hop that opens a context, as that context's stem needs it. */
export interface Hop {
  readonly id: number
  readonly path: readonly string[]
  /** Code for the hop goes over this link, and so does code for what is below it. */
  readonly code: CodeLink
  /** Offers a module of ours to the hop's main thread; returns its number. */
  ship(graph: CodeGraph): number
  remoteError(wire: unknown): Error
}

/** What a hop is to do, and who answers what it asks. */
export interface HopWay {
  target: HopTarget
  /** Throws or rejects with the RametError that the hop is to hear. */
  answer(question: HopQuestion): unknown
  /** Nobody will ask any more. */
  close(): void
}
