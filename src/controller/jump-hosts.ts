import type { JumpStop } from '../connect/jump-route.ts'
import type { SshConfig } from '../connect/ssh-config.ts'
import type { ConnectOptions } from './api.ts'
import { JumpHost, type JumpHome } from './jump-host.ts'
import type { Jumps, JumpUser, JumpWay } from './jump-way.ts'
import { equalKey } from './pool-key.ts'

/** Every jump host of a controller once: equal servers, reached in the same way under equal options, share a connection. */
export class JumpHosts implements Jumps {
  private readonly hosts = new Map<string, JumpHost>()
  private readonly home: JumpHome
  private readonly throughContext: Jumps['through']

  constructor(home: Pick<JumpHome, 'clock' | 'book' | 'pace'>, throughContext: Jumps['through']) {
    this.home = { ...home, jumps: this, gone: (host) => this.gone(host) }
    this.throughContext = throughContext
  }

  way(route: readonly JumpStop[], options: ConnectOptions, user: JumpUser): JumpWay {
    const keys: string[] = []
    for (const { config } of route) keys.push(JSON.stringify([keys.at(-1), equalKey(optionsOf(config, options)), serverOf(config)]))
    // One that is there holds all that is before it.
    const known = keys.findLastIndex((key) => this.hosts.has(key))
    let host = this.hosts.get(keys[known] ?? '')
    for (const [index, stop] of route.entries()) {
      if (index <= known) continue
      // Whoever needs it first says whether ConnectTimeout holds: a time that is given is for the whole way.
      const { timeout } = options
      host = new JumpHost(stop, { ...optionsOf(stop.config, options), ...(timeout === undefined ? {} : { timeout }) }, host, this.home)
      this.hosts.set(keys[index] as string, host)
    }
    return (host as JumpHost).use(user)
  }

  through(context: object, name: string): JumpWay {
    return this.throughContext(context, name)
  }

  describe(): Record<string, unknown>[] {
    return [...this.hosts.values()].map((host) => host.describe())
  }

  private gone(host: JumpHost): void {
    for (const [key, other] of this.hosts) if (other === host) this.hosts.delete(key)
  }
}

/**
 * What of a target's options holds for the jump hosts before it: how to decide on host keys and whom to ask; a key where the
 * configuration names none for that host. The password is the target's alone: jump hosts are machines that nobody trusts.
 */
function optionsOf(config: SshConfig, { identityFile, passphrase, prompt, hostKeys, knownHosts, keepalive }: ConnectOptions): ConnectOptions {
  const key = config.identityFilesGiven ? undefined : identityFile
  const given = { identityFile: key, passphrase, prompt, hostKeys, knownHosts, keepalive }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

/** What makes two entries of the configuration one server: all but the name by which it was found. */
function serverOf({ alias: _alias, ...rest }: SshConfig): unknown {
  return rest
}
