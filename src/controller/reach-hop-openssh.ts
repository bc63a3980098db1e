import type { HopOpensshTarget } from '../connect/hop.ts'
import { withJump } from '../connect/jump-route.ts'
import { resolveSshConfig } from '../connect/ssh-config.ts'
import type { TargetAddress } from '../connect/target.ts'
import { RametError } from '../router/errors.ts'
import type { ConnectOptions } from './api.ts'
import type { HopWay } from './hop-way.ts'
import type { ReachContext } from './reach-context.ts'
import { hopKeys, withProblems } from './reach-hop-ssh.ts'
import { SignGuard } from './sign-guard.ts'
import { sshLogin } from './ssh-login.ts'

type SshAddress = Extract<TargetAddress, { kind: 'ssh' }>

/** Logins of one target by a hop's ssh. It connects anew for a command when it keeps no shared connection. */
const MAX_LOGINS = 64

/**
 * SSH by the hop's own client, which reads the hop's configuration and knows the hosts that the hop knows. With `agent` it may
 * have logins signed here, for the host that this machine's configuration and known_hosts mean.
 */
export async function hopWayByOpenssh(address: SshAddress, options: ConnectOptions, context: ReachContext): Promise<HopWay> {
  const { hostKeys, agent } = options
  const invalid = (text: string, hint: string): RametError => new RametError('config-invalid', `${context.path.join(' > ')}: ${text}`, {
    stage: 'resolve', path: context.path, outcome: 'not-sent', hint })
  if (typeof hostKeys === 'function') throw invalid('a function cannot decide on host keys over transport openssh', 'Use enforce, accept or ignore, or transport ssh2.')
  if (options.password !== undefined) throw invalid('the ssh of a hop takes no password', 'Use transport ssh2.')
  if (agent !== true) {
    const [name] = (['identityFile', 'knownHosts', 'sshConfig', 'passphrase'] as const).filter((each) => options[each] !== undefined)
    if (name !== undefined) throw invalid(`${name} names something of this machine, and the ssh of a hop uses the hop's own`, 'Use transport ssh2, or allow an agent socket there (agent: true, --agent).')
    const { host, port, user } = address
    return { target: { kind: 'openssh', host, port, user, hostKeys }, answer: () => Promise.reject(refused(context)), close: () => {} }
  }
  const config = await resolveSshConfig(address.host, { user: address.user, port: address.port, configFile: options.sshConfig, signal: context.signal })
  const needs = withJump(config.needsOpenSsh)
  if (needs.length > 0) throw invalid(`the SSH configuration asks for ${needs.join(', ')}, which an agent cannot give`, 'Use another configuration (sshConfig).')
  const login = await sshLogin(config, options, context, true)
  const guard = new SignGuard({ ...login, password: undefined, prompt: undefined, sessions: MAX_LOGINS }, context.path, (level, fields, text) => context.book.write(level, fields, text))
  const target: HopOpensshTarget = { kind: 'openssh', host: login.host, port: login.port, user: login.user, hostKeys, agent: hopKeys(login.keys) }
  return {
    target,
    answer: (question) => guard.answer(question),
    explain: (failure) => withProblems(failure, login),
    close: () => {
      guard.close()
      login.close()
    },
  }
}

function refused({ path }: ReachContext): RametError {
  return new RametError('not-allowed', `${path.join(' > ')}: the hop asked for something, and has keys of its own`, {
    stage: 'auth', path, outcome: 'not-sent', hint: 'A stub of ours does not do that: find out who runs on the hop.' })
}
