import { RametError } from '../router/errors.ts'
import { resolveSshConfig, type ResolveOptions } from './ssh-config.ts'
import type { SshConfig } from './ssh-config.ts'
import { displayName, parseTarget } from './target.ts'

/** A machine on the way to a target, which only carries TCP to the next one. */
export interface JumpStop {
  /** As it was written, in its shortest form. */
  name: string
  config: SshConfig
  /** What of its configuration only OpenSSH's own client can do. */
  needs: readonly string[]
}

/** Jump hosts on one way, at most. */
export const MAX_JUMPS = 16

/** Settings that a jump given by the caller, or by the host before, replaces. */
const REPLACED = ['proxycommand', 'proxyusefdpass', 'bindaddress', 'bindinterface']

export interface RouteOptions {
  /** How messages name the target, and its path. */
  name: string
  path: readonly string[]
  configFile?: string | false | undefined
  signal?: AbortSignal | undefined
  /** Default: the user's configuration. */
  resolve?: ((alias: string, options: ResolveOptions) => Promise<SshConfig>) | undefined
}

/** What a `jump` text stands for: hosts in order, the one nearest to us first. */
export function jumpHosts(text: string): string[] {
  return text.trim().toLowerCase() === 'none' ? [] : text.split(',').map((host) => host.trim())
}

/** The same for an argument of ssh -J. Throws 'target-invalid' for what is no host. */
export function jumpArgument(text: string): string {
  return jumpHosts(text).map((host) => displayName(parseTarget(host))).join(',') || 'none'
}

/** What is left of `needs` where a jump has been given, as with ssh -J. */
export function withJump(needs: readonly string[]): string[] {
  return needs.filter((each) => !REPLACED.includes(each))
}

/**
 * The hosts through which a target is reached, nearest first. As with OpenSSH a list is followed as it is, and only its
 * first host is reached the way that its own ProxyJump says. Throws 'target-invalid' for what is no host, 'config-invalid'
 * for a circle (named) and for more than MAX_JUMPS.
 */
export async function jumpRoute(target: SshConfig, hosts: readonly string[], options: RouteOptions): Promise<JumpStop[]> {
  const seen = [{ name: target.alias, id: identity(target) }]
  let route: JumpStop[] = []
  let next = hosts
  while (next.length > 0) {
    const stops: JumpStop[] = []
    for (const [place, text] of next.entries()) {
      if (route.length + stops.length === MAX_JUMPS) throw invalid(options, `there are more than ${MAX_JUMPS} jump hosts on the way`, LOOK)
      stops.push(await stopOf(text, place === 0, options))
    }
    route = [...stops, ...route]
    const first = stops[0] as JumpStop
    const id = identity(first.config)
    if (seen.some((other) => other.id === id)) {
      const circle = [...seen, { name: first.name }].map(({ name }) => name).join(' > ')
      throw invalid(options, `its jump hosts go in a circle (${circle})`, `Write ProxyJump none in the entry of ${first.name}, or leave it out of the pattern that gives it a jump (Host * !${first.config.alias}).`)
    }
    seen.push({ name: first.name, id })
    next = first.config.proxyJump
  }
  return route
}

const LOOK = 'Look at ProxyJump in the SSH configuration of each host: one that jumps through ever new ones has no end.'

async function stopOf(text: string, first: boolean, options: RouteOptions): Promise<JumpStop> {
  const address = parseTarget(text)
  if (address.kind !== 'ssh') throw invalid(options, `"${displayName(address)}" is no SSH server to jump through`, 'Write user@host:port or an alias; a host that is really called so is written ssh://NAME.')
  const { configFile, signal, resolve = resolveSshConfig } = options
  const config = await resolve(address.host, { user: address.user, port: address.port, configFile, signal })
  // The others are reached through the host before them, whatever their own entries say.
  return { name: displayName(address), config, needs: first ? config.needsOpenSsh : withJump(config.needsOpenSsh) }
}

function identity({ alias, user, port }: SshConfig): string {
  return JSON.stringify([alias.toLowerCase(), user, port])
}

function invalid({ name, path }: RouteOptions, what: string, hint: string): RametError {
  return new RametError('config-invalid', `${name}: ${what}`, { stage: 'resolve', path, outcome: 'not-sent', hint })
}
