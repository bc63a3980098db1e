import { connectLocal } from '../connect/local.ts'
import type { TargetAddress } from '../connect/target.ts'
import type { Connection } from '../connect/transport.ts'
import { RametError } from '../router/errors.ts'
import type { ConnectOptions } from './api.ts'
import type { ReachContext } from './reach-context.ts'
import { reachSsh } from './reach-ssh.ts'

/** Opens the connection that a target's address asks for. */
export async function reach(address: TargetAddress, options: ConnectOptions, context: ReachContext): Promise<Connection> {
  if (options.via !== undefined || options.jump !== undefined) {
    throw notSupported(context, 'via and jump')
  }
  switch (address.kind) {
    case 'local':
      return connectLocal({ name: context.name })
    case 'ssh':
      return reachSsh(address, options, context)
    case 'become':
      throw notSupported(context, `${address.method}: targets`)
    case 'container':
      throw notSupported(context, `${address.tool}: targets`)
  }
}

function notSupported(context: ReachContext, what: string): RametError {
  return new RametError('not-supported', `${context.name}: this version of ramet does not know ${what} yet`, {
    path: context.path,
    outcome: 'not-sent',
    hint: 'Connect over SSH; a ProxyJump in the SSH configuration works.',
  })
}
