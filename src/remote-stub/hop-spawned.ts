import type { HopRequest } from '../connect/hop.ts'
import { connectLocal } from '../connect/local.ts'
import { connectSpawned } from '../connect/reach-spawned.ts'
import type { ServiceChannel } from '../modules/service.ts'
import { RametError } from '../router/errors.ts'
import type { Connect } from './child.ts'
import type { HopHost } from './hop-host.ts'
import { openRawWith, openWith } from './parent.ts'

/** For every target that a program of this machine leads to: its shell, another account, a container. */
export function open(channel: ServiceChannel, host: HopHost, request: HopRequest): void {
  openWith(channel, host, request, connect(host))
}

export function openRaw(channel: ServiceChannel, host: HopHost, request: HopRequest): void {
  openRawWith(channel, host, request, connect(host))
}

export { start } from './parent.ts'

const connect = (host: HopHost): Connect => (ask, { target, name, path, commands }) => {
  switch (target.kind) {
    case 'process':
      return connectLocal({ name, clock: host.clock })
    case 'local':
    case 'become':
    case 'container':
      return connectSpawned(target, { name, path, ask, commands: commands === true, clock: host.clock })
    default:
      throw new RametError('not-supported', `${name}: this code opens no ${target.kind} target`)
  }
}
