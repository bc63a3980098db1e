import { tcpError } from '../connect/tcp.ts'
import { encode } from '../router/codec.ts'
import { isRametError, RametError } from '../router/errors.ts'
import type { Pipe } from '../router/pipe.ts'
import { OPEN_KIND } from '../router/protocol.ts'
import type { Router } from '../router/router.ts'
import { ChannelPipe } from './channel-pipe.ts'
import type { Hop } from './hop-way.ts'
import { ownModule } from './stub-image.ts'

/** Opens a TCP connection from the machine of a context with an interpreter. Rejects with a RametError that names both. */
export async function dialFrom(hop: Hop, router: Router, host: string, port: number, signal: AbortSignal): Promise<Pipe> {
  const name = hop.path.join(' > ')
  const pipe = new ChannelPipe((wire, connected) => {
    const error = hop.remoteError(wire)
    // What the engine there refused keeps its code; what the socket ended with is a cause with the operating system's.
    if (isRametError(error) && error.code !== 'remote-error') return error
    const cause = (error.cause ?? error) as NodeJS.ErrnoException
    if (!connected) return tcpError({ host, port, name }, 'tcp', cause)
    return new RametError('link-lost', `${name}: the connection to ${host} port ${port} broke (${cause.code ?? cause.message})`, {
      path: hop.path, outcome: 'unknown', cause, hint: 'The network between the two or the machine behind ended it.' })
  })
  const abort = (): void => pipe.fail(signal.reason as Error)
  if (signal.aborted) throw signal.reason as Error
  signal.addEventListener('abort', abort, { once: true })
  try {
    const message = encode([OPEN_KIND.SERVICE, hop.ship(ownModule('tcp')), 'dial', [host, port]])
    pipe.attach(router.open(hop.id, message, pipe.handler, false, false))
    await pipe.connected
  } finally {
    signal.removeEventListener('abort', abort)
  }
  return pipe
}
