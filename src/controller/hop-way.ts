import { controllerName } from '../connect/first-stage.ts'
import type { HopQuestion, HopRequest, HopTarget } from '../connect/hop.ts'
import type { Connection } from '../connect/transport.ts'
import type { CodeLink } from '../router/code-link.ts'
import type { RametError, Stage } from '../router/errors.ts'
import type { Keepalive } from './api.ts'
import type { CodeGraph } from './code-graph.ts'
import { ownModule, version } from './stub-image.ts'

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
  /** How the hop looks after the link, where that is not what the context's ROUTE said. */
  keepalive?: Keepalive | undefined
  /** Throws or rejects with the RametError that the hop is to hear. */
  answer(question: HopQuestion): unknown
  /** What is known here, and not at the hop, of why that could not connect. */
  explain?(failure: RametError): RametError
  /** Nobody will ask any more. */
  close(): void
}

/** Where connecting can stand. */
export const STAGES: readonly unknown[] = ['resolve', 'tcp', 'host-key', 'auth', 'launch', 'interpreter', 'stub', 'hello', 'ssh'] satisfies Stage[]

/** How messages and statistics call the way to a target. */
export function transportOf(target: HopTarget): Connection['transport'] {
  switch (target.kind) {
    case 'become':
      return target.method
    case 'container':
      return target.tool
    case 'ssh':
      return 'ssh2'
    default:
      return target.kind
  }
}

/** The code of ours that opens a target on a hop. */
export function hopModule({ kind }: HopTarget): CodeGraph {
  return ownModule(kind === 'ssh' ? 'ssh2' : kind === 'openssh' ? 'openssh' : 'spawned')
}

export function hopRequest(id: number, path: readonly string[], { target, keepalive }: HopWay, node?: string | string[]): HopRequest {
  return { id, target, keepalive, name: path.join(' > '), path: [...path], version: version(), owner: controllerName(), node }
}
