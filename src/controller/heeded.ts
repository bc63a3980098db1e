import type { SshConfig } from '../connect/ssh-config.ts'
import type { ConnectOptions, Keepalive } from './api.ts'
import { keepaliveOf } from './greeting.ts'

/** What the SSH configuration says of time where the caller says nothing; known when it has been read. */
export interface Heeded {
  /** ms for reaching the server, beside the time for all that follows; 0: none of its own. */
  reachTime: number
  keepalive: SshConfig['keepalive']
}

export function heeded({ connectTimeout, keepalive }: SshConfig, { timeout }: ConnectOptions): Heeded {
  return { reachTime: timeout === undefined ? connectTimeout : 0, keepalive }
}

/** How a hop looks after a link that it makes; undefined where neither caller nor configuration says. */
export function watchBy({ keepalive }: SshConfig, options: ConnectOptions): Keepalive | undefined {
  return keepalive === undefined && options.keepalive === undefined ? undefined : keepaliveOf({ ...keepalive, ...options.keepalive })
}
