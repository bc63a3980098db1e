import { deferred } from '../base/deferred.ts'
import { printable } from '../base/printable.ts'
import { type ErrorCode, RametError, type Stage } from '../router/errors.ts'
import type { Pipe } from '../router/pipe.ts'
import type { ChannelKind } from './ssh2-channel-kind.ts'
import type { SshChannel } from './ssh2-channel.ts'
import { RECEIVE_PACKET, RECEIVE_WINDOW } from './ssh2-flow.ts'

/** Why a server refuses a channel, as numbered by SSH. */
const PROHIBITED = 1
const UNKNOWN_TYPE = 3
const NO_ROOM = 4

/** The port that OpenSSH's client, too, names as its own where it has none. */
const NO_PORT = 65535

/**
 * A channel to a TCP port behind the server (direct-tcpip): no process is started there, so accounts without a shell will do.
 * `name` is the server's in messages. `pipe` resolves when the server has connected; rejects with a RametError, or with the
 * signal's reason.
 */
export function forwardChannel(name: string, host: string, port: number, signal?: AbortSignal): {
  kind: ChannelKind
  pipe(channel: SshChannel): Promise<Pipe>
} {
  const confirmed = deferred<void>()
  const kind: ChannelKind = {
    open: (protocol, id) => protocol.directTcpip(id, RECEIVE_WINDOW, RECEIVE_PACKET,
      { srcIP: '127.0.0.1', srcPort: NO_PORT, dstIP: host, dstPort: port }),
    refused: (reason, text) => refusal(name, `${host} port ${port}`, reason, printable(text)),
    opened: () => confirmed.resolve(),
    over: (cause) => confirmed.reject(cause ?? refusal(name, `${host} port ${port}`, 0, 'the channel was closed')),
  }
  const pipe = async (channel: SshChannel): Promise<Pipe> => {
    const abort = (): void => {
      confirmed.reject(signal?.reason)
      channel.close()
    }
    if (signal?.aborted === true) abort()
    signal?.addEventListener('abort', abort, { once: true })
    try {
      await confirmed.promise
    } finally {
      signal?.removeEventListener('abort', abort)
    }
    return channel
  }
  return { kind, pipe }
}

function refusal(name: string, where: string, reason: number, text: string): RametError {
  const said = text === '' || text === 'open failed' ? '' : ` (${text})`
  const fail = (code: ErrorCode, what: string, hint: string, stage: Stage = 'tcp'): RametError =>
    new RametError(code, `${name}: ${what}`, { stage, path: [name], outcome: 'not-sent', hint })
  if (reason === PROHIBITED || reason === UNKNOWN_TYPE) {
    return fail('not-allowed', `it does not let connections through to ${where}${said}`,
      `In the sshd_config of ${name} AllowTcpForwarding has to be yes or local, and PermitOpen, where it is set, has to name this host `
      + 'and port as written here; in its authorized_keys the key must not be restricted (restrict, no-port-forwarding, permitopen).')
  }
  if (reason === NO_ROOM) return fail('connect-failed', `it has no room for another connection, to ${where}${said}`, 'Use fewer targets behind it at once.')
  if (/refused/i.test(text)) return fail('connect-refused', `nothing listens at ${where}, seen from there`, 'Check the port, and that the SSH server runs.')
  if (/timed out|timeout/i.test(text)) {
    return fail('connect-timeout', `no answer from ${where}, seen from there`, 'Check the address, routes and firewalls between the two.')
  }
  if (/not known|name resolution|no address|resolv|nodename|unknown host/i.test(text)) {
    return fail('resolve-failed', `the name in ${where} has no address there${said}`,
      `The name is looked up by ${name}: write the host as that machine knows it (HostName).`, 'resolve')
  }
  return fail('connect-failed', `it cannot reach ${where}${said}`, 'Check routes and firewalls between the two.')
}
