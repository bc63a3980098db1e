import type { Connection } from '../connect/transport.ts'
import type { CodeLink } from '../router/code-link.ts'
import type { Link } from '../router/link.ts'
import type { LinkStats } from './api.ts'

/** What a context's link carried so far. Bytes are those on the wire where the transport can count them. */
export function linkStats(
  path: readonly string[],
  connection: Connection | undefined,
  link: Link | undefined,
  code: CodeLink | undefined,
  roundTrips: number,
): LinkStats {
  const wire = connection?.stats() ?? { bytesIn: 0, bytesOut: 0 }
  return {
    from: path.at(-2) ?? 'controller',
    to: path.at(-1) ?? '',
    transport: connection?.transport ?? '',
    rtt: link?.rtt,
    bytesIn: wire.bytesIn || (link?.bytesIn ?? 0),
    bytesOut: wire.bytesOut || (link?.bytesOut ?? 0),
    framesIn: link?.framesIn ?? 0,
    framesOut: link?.framesOut ?? 0,
    roundTrips,
    modulesSent: code?.modulesSent ?? 0,
    modulesReused: code?.modulesReused ?? 0,
    codeBytes: code?.codeBytes ?? 0,
  }
}
