import { basename } from 'node:path'
import type { HopKey, HopSshTarget } from '../connect/hop.ts'
import { printable } from '../base/printable.ts'
import { withJump } from '../connect/jump-route.ts'
import { resolveSshConfig } from '../connect/ssh-config.ts'
import { named } from '../connect/ssh2-auth-text.ts'
import type { SshKey } from '../connect/ssh-key.ts'
import type { TargetAddress } from '../connect/target.ts'
import { isRametError, RametError } from '../router/errors.ts'
import type { ConnectOptions } from './api.ts'
import type { HopWay } from './hop-way.ts'
import type { ReachContext } from './reach-context.ts'
import { heeded, watchBy } from './heeded.ts'
import { SignGuard } from './sign-guard.ts'
import { type SshLogin, sshLogin } from './ssh-login.ts'

type SshAddress = Extract<TargetAddress, { kind: 'ssh' }>

/** SSH from a hop, with the configuration, the known_hosts and the keys of this machine: the hop is told where to, and asks. */
export async function hopWayBySsh2(address: SshAddress, options: ConnectOptions, context: ReachContext): Promise<HopWay> {
  const config = await resolveSshConfig(address.host, { user: address.user, port: address.port, configFile: options.sshConfig, signal: context.signal })
  // How TCP gets there from here is of no use on the hop, which has its own way.
  const needs = withJump(config.needsOpenSsh)
  if (needs.length > 0) {
    throw new RametError('config-invalid', `${context.name}: the SSH configuration asks for ${needs.join(', ')}, which ssh2 on a hop cannot do`, {
      stage: 'resolve', path: context.path, outcome: 'not-sent', hint: 'Take transport openssh, which uses the hop\'s own ssh, or another configuration (sshConfig).' })
  }
  context.heed(heeded(config, options))
  const login = await sshLogin(config, options, context, true)
  const guard = new SignGuard(login, context.path, (level, fields, text) => context.book.write(level, fields, text))
  const close = (): void => {
    guard.close()
    login.close()
  }
  return { target: hopSshTarget(login), keepalive: watchBy(config, options), answer: (question) => guard.answer(question), explain: (failure) => withProblems(failure, login), close }
}

/** Where no key logged in: what keeps those from being used that were meant. The hop is told neither their paths nor their state. */
export function withProblems(failure: RametError, { keys, problems }: SshLogin): RametError {
  const { code, message, path, outcome, hint } = failure
  const [only] = problems
  if (code !== 'auth-failed' || only === undefined) return failure
  if (keys.length === 0 && problems.length === 1 && isRametError(only)) return named(only, path.join(' > '), path)
  const why = problems.map((problem) => `; ${printable(typeof problem === 'string' ? problem : problem.message)}`).join('')
  return new RametError(code, `${message}${why}`, { stage: 'auth', path, outcome, hint, cause: failure })
}

/** What a hop gets to know of a login: no secret, no private key. */
function hopSshTarget({ host, port, user, keys, password, prompt, rules, reachTime, hostKeyAlgorithms, kex, cipher, hmac }: SshLogin): HopSshTarget {
  return {
    kind: 'ssh', host, port, user,
    keys: hopKeys(keys),
    password: password !== undefined,
    prompt: prompt !== undefined,
    rules,
    reachTime,
    hostKeyAlgorithms: [...hostKeyAlgorithms],
    kex: kex === undefined ? undefined : [...kex],
    cipher: cipher === undefined ? undefined : [...cipher],
    hmac: hmac === undefined ? undefined : [...hmac],
  }
}

/** The public parts. For messages the last part of a key's path will do: the rest is nobody's business there. */
export function hopKeys(keys: readonly SshKey[]): HopKey[] {
  return keys.map(({ publicBlob, type, comment, local }) => ({ publicBlob, type, comment: basename(comment).slice(0, 64), local }))
}
