/**
 * What a module of ours that runs on a target gets to work with. Types only: modules are shipped as code of their own
 * and import nothing of the engine.
 */
import type { Clock } from '../base/clock.ts'

/** One channel, seen from the function that answers it. Messages are whole: the engine splits and joins them. */
export interface ServiceChannel {
  /** Queues one message. False when it has to wait for credit: go on after `onWritable`. */
  send(message: Uint8Array): boolean
  /** Ends the channel with the function's result (any value the codec carries). */
  end(value: unknown): void
  /** Ends the channel with an error. */
  fail(error: Error): void
  /** Gives credit back for received bytes once they have been used; without it the peer stops sending. */
  consumed(bytes: number): void
  onMessage: ((message: Uint8Array) => void) | undefined
  /** The peer has ended its direction. */
  onEnd: (() => void) | undefined
  /** The peer gave up (cancelled, timed out, lost). Nothing may be sent any more. */
  onReset: (() => void) | undefined
  onWritable: (() => void) | undefined
}

/** The children of the stub that must not outlive it. */
export interface ProcessTable {
  /** Not `open` once the stub ends: every group has got TERM then, and stays registered for as long as a member runs. */
  readonly state: 'open' | 'ending' | 'closed'
  /** Registers the leader of a process group; the stub signals the group when its parent is gone. */
  add(groupLeader: number): void
  delete(groupLeader: number): void
}

export interface ServiceHost {
  clock: Clock
  processes: ProcessTable
  /** The environment with which the account's login shell started us, before anything of ours. */
  environment: Record<string, string | undefined>
}

/** A function of src/modules: `args` are those of the caller. */
export type Service = (channel: ServiceChannel, host: ServiceHost, ...args: never[]) => void
