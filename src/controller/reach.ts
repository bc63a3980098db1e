import type { TargetAddress } from '../connect/target.ts'
import type { Connection } from '../connect/transport.ts'
import { RametError } from '../router/errors.ts'
import type { ConnectOptions } from './api.ts'
import type { ReachContext } from './reach-context.ts'
import { reachSpawned } from './reach-spawned.ts'
import { reachSsh } from './reach-ssh.ts'

/** Opens the connection that a target's address asks for. */
export async function reach(address: TargetAddress, options: ConnectOptions, context: ReachContext): Promise<Connection> {
  if (address.kind !== 'ssh' && options.jump !== undefined) {
    throw new RametError('usage', `${context.name}: a jump leads to an SSH server, which this is not`, {
      path: context.path, outcome: 'not-sent', hint: 'Connect the machine by a jump, and this from there (via).' })
  }
  switch (address.kind) {
    case 'local':
    case 'become':
    case 'container':
      return reachSpawned(address, options, context)
    case 'ssh':
      return reachSsh(address, options, context)
  }
}
