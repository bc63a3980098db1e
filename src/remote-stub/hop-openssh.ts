import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { AgentServer } from '../connect/agent-server.ts'
import type { Ask, HopOpensshTarget, HopRequest } from '../connect/hop.ts'
import { abandonShared, connectOpenssh } from '../connect/openssh.ts'
import { ramDirectory, removeDirectories, removeDirectory } from '../connect/ram-directory.ts'
import type { Connection } from '../connect/transport.ts'
import type { ServiceChannel } from '../modules/service.ts'
import { RametError } from '../router/errors.ts'
import type { Connect } from './child.ts'
import type { HopHost } from './hop-host.ts'
import { openRawWith, openWith } from './parent.ts'

export interface OpensshFromHopOptions {
  /** How messages name the target. */
  name: string
  clock: Clock
  /** Short commands will follow one another. */
  commands?: boolean | undefined
}

/**
 * Connects by the ssh of this machine, with its configuration, keys and known_hosts. Where the controller's keys are to be used it
 * finds them behind an agent socket, in a directory of its own in RAM that goes with the connection. Throws 'not-supported'
 * where there is no place for that.
 */
export function opensshFromHop({ host, port, user, hostKeys, agent }: HopOpensshTarget, ask: Ask, { name, clock, commands }: OpensshFromHopOptions): Connection {
  const options = { host, port, user, hostKeys, name, clock, commands, inRam: true, timeout: 0 }
  if (agent === undefined) return connectOpenssh(options)
  const directory = ramDirectory()
  if (directory === undefined) {
    throw new RametError('not-supported', `${name}: this hop has no place in RAM for an agent's socket (XDG_RUNTIME_DIR, /dev/shm)`, {
      stage: 'ssh', outcome: 'not-sent', hint: 'Use transport ssh2, which needs none.' })
  }
  const path = join(directory, 'agent')
  const server = new AgentServer(path, agent, ask)
  return connectOpenssh({
    ...options,
    // Named by the environment: a path among the arguments would be read for % and $.
    env: { ...process.env, SSH_AUTH_SOCK: path },
    args: ['-o', 'IdentityAgent=SSH_AUTH_SOCK', '-o', 'IdentitiesOnly=no', '-o', 'ForwardAgent=no', '-o', 'PubkeyAuthentication=yes'],
    gone: () => {
      server.close()
      removeDirectory(directory)
    },
  })
}

function connect(host: HopHost): Connect {
  return (ask, { target, name, commands }) => {
    if (target.kind !== 'openssh') throw new RametError('not-supported', `${name}: not by openssh`)
    return opensshFromHop(target, ask, { name, clock: host.clock, commands })
  }
}

/** The hop ends: what ssh keeps in the background goes, and what is on no disk. */
function leave(): void {
  abandonShared()
  removeDirectories()
}

/** As parent.ts's, for targets behind the hop's own ssh. */
export function open(channel: ServiceChannel, host: HopHost, request: HopRequest): void {
  openWith(channel, host, request, connect(host))
  host.below?.atEnd.add(leave)
}

export function openRaw(channel: ServiceChannel, host: HopHost, request: HopRequest): void {
  openRawWith(channel, host, request, connect(host))
  host.below?.atEnd.add(leave)
}

export { start } from './parent.ts'
