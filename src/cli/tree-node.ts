import type { ContextInfo, LinkStats } from '../controller/api.ts'
import type { Failure, Verdict } from './outcome.ts'

/** A context of the tree as `ramet tree` shows it. The controller is the one with an empty path. */
export interface TreeNode {
  /** Names from the controller, which is not named, down to this context. */
  path: string[]
  /** Whether it was asked for; the others are hops. */
  isTarget: boolean
  /** Of a context that stands: its state; of one that does not: the verdict on it. */
  state: 'connected' | 'unresponsive' | 'connecting' | 'lost' | 'closed' | Exclude<Verdict, 'ok'>
  runtime: 'node' | 'raw' | undefined
  info: ContextInfo | undefined
  /** Milliseconds from us to it and back. */
  ping: number | undefined
  /** SSH servers that carry the connection to it. */
  jump: string | undefined
  /** The link to the context above. */
  link: LinkStats | undefined
  failure: Failure | undefined
}
