import type { RametError } from '../router/errors.ts'
import { RECEIVE_PACKET, RECEIVE_WINDOW } from './ssh2-flow.ts'
import type { SshProtocol } from './ssh2-protocol.ts'

/** What a channel is for. */
export interface ChannelKind {
  /** Asks the server for it. `id`: our number for the channel. */
  open(protocol: SshProtocol, id: number): void
  /**
   * Starts the work on it, which may be sent ahead of the server's confirmation, and input behind it. Left out: the
   * confirmation is all that is waited for, and nothing may be sent before it.
   */
  start?(protocol: SshProtocol, remote: number): void
  /** The error for a server that refuses it. `reason` is SSH's number. */
  refused(reason: number, text: string): RametError
  /** The server has confirmed it. */
  opened?(): void
  /** It is over, or will never be. Called once. */
  over?(cause: Error | undefined): void
}

/** A channel for one command. */
export function commandChannel(command: string, owner: { error(code: 'launch-failed', text: string, hint: string): RametError }): ChannelKind {
  return {
    open: (protocol, id) => protocol.session(id, RECEIVE_WINDOW, RECEIVE_PACKET),
    start: (protocol, remote) => protocol.exec(remote, command, true),
    refused: (reason, text) => owner.error('launch-failed', `the server refused to open a channel (${text || `reason ${reason}`})`,
      'The server may allow fewer sessions per connection (MaxSessions in sshd_config, 10 by default): use fewer at once.'),
  }
}
