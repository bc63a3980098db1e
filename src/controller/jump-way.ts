import type { JumpStop } from '../connect/jump-route.ts'
import type { Pipe } from '../router/pipe.ts'
import type { ConnectOptions } from './api.ts'
import type { Pace } from '../connect/pace.ts'

/** TCP through another machine, for one connection. */
export interface JumpWay {
  /** The machine's name, for messages. */
  readonly name: string
  readonly pace: Pace
  /** Resolves when the machine can dial. */
  readonly ready: Promise<void>
  /** Rejects with a RametError that begins with the machine's name, or with the signal's reason. */
  dial(host: string, port: number, signal: AbortSignal): Promise<Pipe>
  /** What has not been done yet of dial(), for messages. */
  waits(host: string, port: number): string
  /** It is not needed any more. Resolves when what was there for nobody else is gone; harmless when repeated. */
  release(): Promise<void>
}

/** Whoever needs a jump host. */
export interface JumpUser {
  /** Told with true when a person is asked something for the jump host, and with false when that is over. */
  prompting(now: boolean): void
}

/** The jump hosts of a controller. */
export interface Jumps {
  /** A way through these hosts, nearest first and at least one. Nothing is waited for. */
  way(route: readonly JumpStop[], options: ConnectOptions, user: JumpUser): JumpWay
  /** A way through a context of this controller. Throws RametError when it is none. */
  through(context: object, name: string): JumpWay
}

/** For a jump host that has not heard from the next machine. */
export function noAnswer(name: string, host: string, port: number): string {
  return `jump host ${name} had no answer from ${host} port ${port}`
}
