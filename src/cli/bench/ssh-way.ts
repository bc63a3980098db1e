import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { lookupName } from '../../connect/known-hosts.ts'
import type { SshConfig } from '../../connect/ssh-config.ts'
import { parseTarget } from '../../connect/target.ts'
import type { Flags } from '../options.ts'
import type { Place } from '../ways.ts'
import type { Door } from './contender.ts'

/** Length of a unix socket's path on the strictest system, less what ssh appends while it makes the socket. */
const MAX_SOCKET = 104 - 18

/** What `ssh` is given to reach the target. */
export interface SshWay {
  host: string
  /** Before the host. */
  args: readonly string[]
}

/** The temporary files of a run, in a directory that only we can look into. */
export class BenchFiles {
  state: 'open' | 'closed' = 'open'
  readonly dir: string = mkdtempSync(join(tmpdir(), 'ramet-b-'))
  #sockets = 0

  /** A path for a control socket. Throws where the directory's name leaves no room for one. */
  socket(): string {
    const path = join(this.dir, `s${++this.#sockets}`)
    if (path.length > MAX_SOCKET) throw new Error(`the path of its socket would be too long: ${path}`)
    return path
  }

  write(name: string, text: string): string {
    const path = join(this.dir, name)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }

  close(): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** How `ssh` gets there, or why it has no way that would be the same as ours. */
export function sshWay(place: Place, flags: Flags, files: BenchFiles): SshWay | { none: string } {
  const addresses = place.steps.map(({ target }) => parseTarget(target))
  const last = addresses.at(-1)!
  if (last.kind !== 'ssh') return { none: `there is no equivalent: ${place.label} is no SSH server` }
  const odd = addresses.findIndex(({ kind }) => kind !== 'ssh')
  if (odd >= 0) return { none: `there is no equivalent: ssh can not go through ${place.steps[odd]!.name}` }
  if (flags['ask-password'] === true) return { none: 'ssh would ask for the password at each call' }
  const hops = place.steps.slice(0, -1).map(({ target }) => target.replace(/^ssh:\/\//i, ''))
  const jumps = [place.steps[0]!.jump ?? [], hops].flat()
  const args = ['-F', files.write('config', configText(flags)), '-T']
  if (jumps.length > 0) args.push('-J', jumps.join(','))
  if (last.user !== undefined) args.push('-l', last.user)
  if (last.port !== undefined) args.push('-p', String(last.port))
  // What a person's configuration may ask of an interactive ssh must not happen to a measured one.
  for (const [name, value] of Object.entries({ RemoteCommand: 'none', PermitLocalCommand: 'no', ClearAllForwardings: 'yes', ForwardX11: 'no', ForwardAgent: 'no' })) {
    args.push('-o', `${name}=${value}`)
  }
  return { host: last.host, args }
}

/** The same way with another address at its end, which has the target's host key. */
export function throughDoor({ host, args }: SshWay, door: Door | undefined, config: SshConfig | undefined): SshWay {
  if (door === undefined || config === undefined) return { host, args }
  const { hostName, port, hostKeyAlias } = config
  // Options are taken from where they are first given.
  return {
    host,
    args: ['-o', `HostName=${door.host}`, '-o', `Port=${door.port}`, '-o', `HostKeyAlias=${lookupName(hostName, port, hostKeyAlias)}`, '-o', 'CheckHostIP=no', ...args],
  }
}

/**
 * A configuration file that holds what must also be true of jump hosts, which options on ssh's command line are not, and behind it
 * all that would be read otherwise.
 */
function configText(flags: Flags): string {
  const known = flags['host-keys'] === 'ignore' ? ['/dev/null'] : (flags['known-hosts'] ?? []).map((file) => resolve(file))
  const identities = flags['private-key'] ?? []
  const lines = [
    // No shared connection of the person's own, on the way either: it would outlive us.
    'BatchMode yes', 'LogLevel INFO', 'ControlMaster no', 'ControlPath none', `ConnectTimeout ${Math.ceil(flags['connect-timeout'] ?? 30)}`,
    `StrictHostKeyChecking ${{ enforce: 'yes', accept: 'accept-new', ignore: 'no' }[flags['host-keys'] ?? 'enforce']}`,
    ...(known.length > 0 ? [`UserKnownHostsFile ${known.map(inQuotes).join(' ')}`] : []),
    ...identities.map((file) => `IdentityFile ${inQuotes(resolve(file))}`),
    ...(identities.length > 0 ? ['IdentitiesOnly yes'] : []),
  ]
  const own = flags['ssh-config']
  const included = own === 'none' ? [] : own === undefined ? [join(homedir(), '.ssh', 'config'), '/etc/ssh/ssh_config'] : [resolve(own)]
  return `Host *\n${lines.map((line) => `  ${line}\n`).join('')}${included.map((file) => `  Include ${inQuotes(file)}\n`).join('')}`
}

function inQuotes(path: string): string {
  return `"${path.replaceAll('%', '%%')}"`
}
