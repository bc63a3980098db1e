import type { Endpoint } from '../workspace.ts'

/** What a program that is measured as a whole process is told. */
export interface HundredWork {
  target: Endpoint
  user: string
  key: string
  knownHosts: string
  /** The command; no shell is asked for where a peer can do without. */
  argv: string[]
  times: number
}
