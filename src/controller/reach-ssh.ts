import { connectOpenssh } from '../connect/openssh.ts'
import { jumpArgument, jumpHosts, jumpRoute, withJump } from '../connect/jump-route.ts'
import { resolveSshConfig, type SshConfig } from '../connect/ssh-config.ts'
import type { TargetAddress } from '../connect/target.ts'
import type { Connection } from '../connect/transport.ts'
import { RametError } from '../router/errors.ts'
import type { ConnectOptions } from './api.ts'
import { heeded } from './heeded.ts'
import type { JumpWay } from './jump-way.ts'
import type { ReachContext } from './reach-context.ts'
import { loginBySsh2 } from './reach-ssh2.ts'
import { loginThrough } from './reach-through.ts'

type SshAddress = Extract<TargetAddress, { kind: 'ssh' }>

/** Connects to a target over SSH, as the user's OpenSSH configuration says where the options do not. */
export async function reachSsh(address: SshAddress, options: ConnectOptions, context: ReachContext): Promise<Connection> {
  const { name, path, signal } = context
  if (options.transport === 'openssh') return openssh(address, options, context)
  const config = await resolveSshConfig(address.host, { user: address.user, port: address.port, configFile: options.sshConfig, signal })
  const { reachTime, keepalive } = heeded(config, options)
  const { way, needs } = await wayTo(config, options, context)
  const bySystem = needs.length > 0 && options.transport === undefined && typeof options.jump !== 'object'
  // The system's ssh has read ConnectTimeout itself.
  context.heed({ keepalive, reachTime: bySystem ? 0 : reachTime })
  if (bySystem) return openssh(address, options, context)
  if (needs.length > 0) {
    throw new RametError('config-invalid', `${name}: the SSH configuration asks for ${needs.join(', ')}, which transport ssh2 cannot do`, {
      stage: 'resolve',
      path,
      outcome: 'not-sent',
      hint: 'Leave the transport to be chosen, or take openssh.',
    })
  }
  return way === undefined ? loginBySsh2(config, options, context) : loginThrough(way(), config, options, context)
}

/** How TCP gets to a host, if not straight from here, and what on the way only OpenSSH's own client can do. */
async function wayTo(config: SshConfig, options: ConnectOptions, context: ReachContext): Promise<{ way: (() => JumpWay) | undefined; needs: readonly string[] }> {
  const { jump, sshConfig: configFile } = options
  const { name, path, signal, jumps } = context
  if (typeof jump === 'object') return { way: () => jumps.through(jump, name), needs: withJump(config.needsOpenSsh) }
  const hosts = jump === undefined ? config.proxyJump : jumpHosts(jump)
  if (hosts.length === 0) return { way: undefined, needs: config.needsOpenSsh }
  const route = await jumpRoute(config, hosts, { name, path, configFile, signal })
  const onTheWay = route.flatMap((stop) => stop.needs.map((each) => `${each} (for ${stop.name})`))
  return { way: () => jumps.way(route, options, context), needs: [...withJump(config.needsOpenSsh), ...onTheWay] }
}

async function openssh(address: SshAddress, options: ConnectOptions, context: ReachContext): Promise<Connection> {
  const { hostKeys, sshConfig, identityFile, knownHosts, jump } = options
  if (typeof jump === 'object') {
    throw new RametError('config-invalid', `${context.name}: transport openssh cannot jump through a context`, {
      stage: 'resolve', path: context.path, outcome: 'not-sent', hint: 'Name the jump host instead (jump: user@host:port), or leave the transport to be chosen.' })
  }
  if (typeof hostKeys === 'function') {
    throw new RametError('config-invalid', `${context.name}: a function cannot decide on host keys over transport openssh`, {
      stage: 'host-key',
      path: context.path,
      outcome: 'not-sent',
      hint: "Use hostKeys: 'enforce', 'accept' or 'ignore', or transport ssh2.",
    })
  }
  const { clock, signal, name } = context
  const commands = options.runtime === 'raw'
  const withheld = options.password !== undefined || options.passphrase !== undefined || options.prompt !== undefined
  return connectOpenssh({ commands, withheld, host: address.host, port: address.port, user: address.user, name, configFile: sshConfig, identityFile, knownHosts, hostKeys, jump: jump === undefined ? undefined : jumpArgument(jump), timeout: 0, signal, clock })
}
