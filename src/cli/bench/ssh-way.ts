import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { lookupName } from '../../connect/known-hosts.ts'
import type { SshConfig } from '../../connect/ssh-config.ts'
import { displayName, parseTarget } from '../../connect/target.ts'
import type { TargetAddress } from '../../connect/target.ts'
import type { Flags } from '../options.ts'
import type { Place } from '../ways.ts'
import type { BenchFiles } from './bench-files.ts'
import type { Door } from './contender.ts'

type SshAddress = Extract<TargetAddress, { kind: 'ssh' }>

/** What `ssh` is given to reach the target. */
export interface SshWay {
  host: string
  /** Before the host. */
  args: readonly string[]
}

/** The machines that `ssh` goes over, the last of which is the target. */
export interface SshMachines {
  addresses: readonly SshAddress[]
  /** As for -J, before the first of them. */
  jump: string | undefined
}

/** What is not the same for every `ssh`. */
export interface SshSettings {
  flags: Flags
  files: BenchFiles
  /** Further lines of configuration, for every machine; they win. */
  lines: readonly string[]
  /** Where the first machine of the way listens in truth; it has that machine's host key. */
  door?: Door & { config: SshConfig }
}

/** The way that `ssh` takes, or why it has none that would be the same as ours. */
export function sshWay(place: Place, flags: Flags): SshMachines | { none: string } {
  const addresses: SshAddress[] = []
  for (const { target, name } of place.steps) {
    const address = parseTarget(target)
    if (address.kind !== 'ssh') return { none: `there is no equivalent: ${name === place.steps.at(-1)!.name ? `${name} is no SSH server` : `ssh can not go through ${name}`}` }
    addresses.push(address)
  }
  if (flags['ask-password'] === true) return { none: 'ssh would ask for the password at each call' }
  return { addresses, jump: place.steps[0]!.jump }
}

/** The arguments for it. */
export function sshArgs({ addresses, jump }: SshMachines, { flags, files, lines, door }: SshSettings): SshWay {
  const text = configText(flags, lines)
  const target = addresses.at(-1)!
  const hops = addresses.slice(0, -1)
  const before = door === undefined ? [] : doorArgs(door)
  const args = ['-T']
  if (door === undefined || hops.length === 0) {
    const jumps = [jump ?? [], hops.map((hop) => displayName(hop).replace(/^ssh:\/\//, ''))].flat()
    args.push('-F', files.write(text), ...before, ...(jumps.length === 0 ? [] : ['-J', jumps.join(',')]))
  } else {
    // What -J does, in full: there options can be given to the first machine alone.
    const config = hops.reduce((led, hop, index) => {
      const through = ['ssh', '-F', files.write(led), ...(index === 0 ? before : []), ...account(hop), '-W', '[%h]:%p', '--', hop.host]
      return configText(flags, [...lines, `ProxyCommand ${through.map((word) => inShell(word)).join(' ')}`])
    }, text)
    args.push('-F', files.write(config))
  }
  // What a person's configuration may ask of an interactive ssh must not happen to a measured one.
  for (const [name, value] of Object.entries({ RemoteCommand: 'none', PermitLocalCommand: 'no', ClearAllForwardings: 'yes', ForwardX11: 'no', ForwardAgent: 'no' })) {
    args.push('-o', `${name}=${value}`)
  }
  return { host: target.host, args: [...args, ...account(target)] }
}

function account({ user, port }: SshAddress): string[] {
  return [...(user === undefined ? [] : ['-l', user]), ...(port === undefined ? [] : ['-p', String(port)])]
}

function doorArgs({ host, port, config: { hostName, port: own, hostKeyAlias } }: Door & { config: SshConfig }): string[] {
  // Options are taken from where they are first given.
  return ['-o', `HostName=${host}`, '-o', `Port=${port}`, '-o', `HostKeyAlias=${lookupName(hostName, own, hostKeyAlias)}`, '-o', 'CheckHostIP=no']
}

/**
 * A configuration file that holds what must also be true of jump hosts, which options on ssh's command line are not, and behind it
 * all that would be read otherwise.
 */
function configText(flags: Flags, first: readonly string[]): string {
  const hostKeys = flags['host-keys']
  const known = hostKeys === 'ignore' ? ['/dev/null'] : (flags['known-hosts'] ?? []).map((file) => resolve(file))
  const identities = flags['private-key'] ?? []
  const lines = [
    ...first,
    // No shared connection of the person's own, on the way either: it would outlive us.
    'BatchMode yes', 'LogLevel INFO', 'ControlMaster no', 'ControlPath none', `ConnectTimeout ${Math.ceil(flags['connect-timeout'] ?? 30)}`,
    // Not given, it is what the configuration says, as for ramet; ssh's own default refuses unknown hosts where nobody can be asked.
    ...(hostKeys === undefined ? [] : [`StrictHostKeyChecking ${{ enforce: 'yes', accept: 'accept-new', ignore: 'no' }[hostKeys]}`]),
    ...(known.length > 0 ? [`UserKnownHostsFile ${known.map(inQuotes).join(' ')}`] : []),
    ...identities.map((file) => `IdentityFile ${inQuotes(resolve(file))}`),
    ...(identities.length > 0 ? ['IdentitiesOnly yes'] : []),
  ]
  const own = flags['ssh-config']
  const included = own === 'none' ? [] : own === undefined ? [join(homedir(), '.ssh', 'config'), '/etc/ssh/ssh_config'] : [resolve(own)]
  return `Host *\n${lines.map((line) => `  ${line}\n`).join('')}${included.map((file) => `  Include ${inQuotes(file)}\n`).join('')}`
}

/** A word of a ProxyCommand, which ssh gives to a shell; only -W's own tokens are for ssh. */
function inShell(word: string): string {
  return word === '[%h]:%p' ? `'${word}'` : `'${word.replaceAll('%', '%%').replaceAll("'", `'\\''`)}'`
}

/** A path as ssh reads one in its configuration and behind -o. */
export function inQuotes(path: string): string {
  return `"${path.replaceAll('%', '%%')}"`
}
