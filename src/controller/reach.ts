import type { Clock } from '../base/clock.ts'
import { connectLocal } from '../connect/local.ts'
import type { TargetAddress } from '../connect/target.ts'
import type { Connection } from '../connect/transport.ts'
import { RametError } from '../router/errors.ts'
import type { ConnectOptions } from './api.ts'
import type { LogBook } from './logs.ts'

export interface ReachContext {
  name: string
  path: readonly string[]
  clock: Clock
  signal: AbortSignal
  prompting: (now: boolean) => void
  book: LogBook
}

/** Opens the connection that a target's address asks for. */
export async function reach(address: TargetAddress, _options: ConnectOptions, context: ReachContext): Promise<Connection> {
  switch (address.kind) {
    case 'local':
      return connectLocal({ name: context.name })
    default:
      throw new RametError('not-supported', `${context.name}: this kind of target cannot be reached yet`, { path: context.path, outcome: 'not-sent' })
  }
}
