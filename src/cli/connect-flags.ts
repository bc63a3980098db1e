import type { ConnectOptions } from '../controller/api.ts'
import type { Flags } from './options.ts'

/** The options of connect() that the flags stand for; files are taken as they are written. */
export function connectOptions(flags: Flags, runtime: 'auto' | 'node' | 'raw', password: string | undefined): ConnectOptions {
  const options: ConnectOptions = { runtime: flags.runtime ?? runtime }
  if (flags['private-key'] !== undefined) options.identityFile = flags['private-key']
  if (flags['host-keys'] !== undefined) options.hostKeys = flags['host-keys']
  if (flags['known-hosts'] !== undefined) options.knownHosts = flags['known-hosts']
  if (flags['ssh-config'] !== undefined) options.sshConfig = flags['ssh-config'] === 'none' ? false : flags['ssh-config']
  if (flags.transport !== undefined) options.transport = flags.transport
  if (flags.node !== undefined) options.node = flags.node
  if (flags['connect-timeout'] !== undefined) options.timeout = milliseconds(flags['connect-timeout'])
  if (password !== undefined) options.password = password
  return options
}

/** API times are milliseconds. */
export function milliseconds(seconds: number): number {
  return Math.ceil(seconds * 1000)
}
