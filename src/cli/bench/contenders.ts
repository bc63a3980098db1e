import { execFile } from 'node:child_process'
import { setImmediate } from 'node:timers/promises'
import { promisify } from 'node:util'
import { systemClock } from '../../base/clock.ts'
import { resolveSshConfig } from '../../connect/ssh-config.ts'
import type { SshConfig } from '../../connect/ssh-config.ts'
import { offeredAlgorithms } from '../../connect/ssh2-protocol.ts'
import { parseTarget } from '../../connect/target.ts'
import { dialTcp } from '../../connect/tcp.ts'
import type { Connecting } from '../../controller/api.ts'
import { Controller } from '../../controller/index.ts'
import type { reach } from '../../controller/reach.ts'
import { loginBySsh2 } from '../../controller/reach-ssh2.ts'
import { isRametError } from '../../router/errors.ts'
import { connectOptions } from '../connect-flags.ts'
import { behind } from '../hops.ts'
import type { Flags } from '../options.ts'
import type { Place, Step } from '../ways.ts'
import type { Door, Entry } from './contender.ts'
import { ColdRamet, WarmRamet } from './ramet-contenders.ts'
import type { OpenRamet } from './ramet-contenders.ts'
import type { Situation } from './situation.ts'
import { FreshSsh, MasterSsh } from './ssh-contenders.ts'
import type { SshOptions } from './ssh-contenders.ts'
import { sshArgs, sshWay } from './ssh-way.ts'
import { plainSsh2 } from './ssh2-contender.ts'

/** Logins that sshd has under way before it turns some away (MaxStartups 10:30:100), with room for others. */
const LOGINS = { count: 8, why: 'the server\'s MaxStartups' }
/** Sessions of one connection (MaxSessions 10). */
const SESSIONS = { count: 8, why: 'the server\'s MaxSessions' }

/** Milliseconds for a question to the ssh program. */
const QUESTION = 5000

/** Where the target, or the first hop before it, listens, when TCP goes there straight from here. */
export type Direct = { config: SshConfig } | { none: string; /** A client of the system's needs a process of its own to get there. */ led?: boolean }

/** What the ssh client of this machine is; undefined: there is none. */
export interface SshProgram {
  version: string
  /** Ciphers it knows. */
  ciphers: readonly string[]
}

export async function findSsh(program = 'ssh'): Promise<SshProgram | undefined> {
  const ask = promisify(execFile)
  try {
    const [{ stdout: ciphers }, { stderr: version }] = await Promise.all([ask(program, ['-Q', 'cipher'], { timeout: QUESTION }), ask(program, ['-V'], { timeout: QUESTION })])
    return { version: version.trim().split(',')[0] ?? '', ciphers: ciphers.trim().split('\n') }
  } catch {
    return undefined
  }
}

/** Whether the first machine of the way is reached by SSH over TCP from here, so that a relay of ours can stand before it. */
export async function findDirect({ place, flags }: Situation): Promise<Direct> {
  const first = place.steps[0]!
  const config = await sshConfigOf(first, flags)
  const name = place.steps.length > 1 ? `the hop ${first.name}` : 'the target'
  if (config === undefined) return { none: `${name} is not reached by SSH` }
  if ((first.jump ?? 'none') !== 'none' || config.proxyJump.length > 0) return { none: 'the connection goes through a jump host', led: true }
  if (config.needsOpenSsh.length > 0) return { none: `the configuration asks for ${config.needsOpenSsh.join(', ')}`, led: config.needsOpenSsh.includes('proxycommand') }
  if (flags.transport === 'openssh') return { none: 'ramet was told to use the system\'s ssh' }
  return { config }
}

/** The way of a client that knows SSH alone and goes on over the hops by TCP, as `ssh -J` does. */
async function findSshWay({ place, flags }: Situation, direct: Direct): Promise<SshConfig[] | { none: string }> {
  if ('none' in direct) return direct
  const configs = [direct.config]
  for (const step of place.steps.slice(1)) {
    const config = await sshConfigOf(step, flags)
    if (config === undefined) return { none: `there is no equivalent: ${step.name} is no SSH server` }
    if (config.needsOpenSsh.length > 0) return { none: `the configuration asks for ${config.needsOpenSsh.join(', ')}` }
    configs.push(config)
  }
  return configs
}

/** Undefined for what is no SSH server. */
async function sshConfigOf({ target }: Step, flags: Flags): Promise<SshConfig | undefined> {
  const address = parseTarget(target)
  if (address.kind !== 'ssh') return undefined
  return resolveSshConfig(address.host, { user: address.user, port: address.port, configFile: flags['ssh-config'] === 'none' ? false : flags['ssh-config'] })
}

/** Everybody that could take part, in the order in which they are shown. */
export async function allContenders(situation: Situation, ssh: SshProgram | undefined, direct: Direct): Promise<Entry[]> {
  const { work, files, children, place, flags, prompts } = situation
  const asks = prompts !== undefined
  const config = 'config' in direct ? direct.config : undefined
  const way = sshWay(place, flags)
  const noSsh = ssh === undefined ? 'there is no ssh client on this machine' : 'none' in way ? way.none : files.none
  const options = (door: Door | undefined, lines: readonly string[] = []): SshOptions =>
    ({ program: 'ssh', way: 'none' in way ? { host: '', args: [] } : sshArgs(way, { flags, files, lines, ...(door !== undefined && config !== undefined ? { door: { ...door, config } } : {}) }), work, children })
  const pinned = pinnedLines(ssh, config)
  const byTcp = await findSshWay(situation, direct)
  const ramet = (door: Door | undefined): OpenRamet => opener(situation, door)
  const orphans = place.steps.length > 1 || ('none' in direct && direct.led === true)
  return [
    { id: 'ssh', label: 'ssh', what: 'a new ssh for each call, as it is configured', fresh: true, most: LOGINS, orphans, leftOut: noSsh, make: (door) => new FreshSsh(options(door)) },
    { id: 'ssh-pinned', label: 'ssh, pinned', what: "the same with ramet's key exchange and cipher, which cost less", fresh: true, most: LOGINS, orphans, leftOut: noSsh, make: (door) => new FreshSsh(options(door, pinned)) },
    { id: 'ssh-master', label: 'ssh, ControlMaster', what: 'a new ssh for each call over one open connection', fresh: false, most: SESSIONS, leftOut: noSsh, make: (door) => new MasterSsh(options(door), files) },
    { id: 'ssh2', label: 'ssh2', what: 'the ssh2 library, one channel for each call on one open connection', fresh: false, most: SESSIONS, asks, leftOut: 'none' in byTcp ? byTcp.none : undefined, make: (door) => plainSsh2(situation, 'none' in byTcp ? [] : byTcp, door) },
    { id: 'ramet-raw', label: 'ramet, raw', what: 'ramet without a Node on the target, on an open connection', fresh: false, most: SESSIONS, make: (door) => new WarmRamet(ramet(door), 'raw', work) },
    { id: 'ramet-cold', label: 'ramet, cold', what: 'ramet with a new connection and a new program there for each call', fresh: true, most: LOGINS, asks, make: (door) => new ColdRamet(ramet(door), work) },
    { id: 'ramet-warm', label: 'ramet, warm', what: 'ramet on an open connection', fresh: false, make: (door) => new WarmRamet(ramet(door), 'node', work) },
  ]
}

/** A configuration of OpenSSH with what ramet offers: the key exchange that both know, and the same ciphers in the same order. */
function pinnedLines(ssh: SshProgram | undefined, config: SshConfig | undefined): string[] {
  const offered = config?.ciphers ?? offeredAlgorithms().cipher
  const ciphers = offered.filter((name) => ssh?.ciphers.includes(name))
  return ['KexAlgorithms curve25519-sha256', ...(ciphers.length === 0 ? [] : [`Ciphers ${ciphers.join(',')}`])]
}

/** Opens the target's way in a controller of its own; with a door, its first connection through that. */
function opener({ place, flags, password, prompts, logger }: Situation, door: Door | undefined): OpenRamet {
  return (runtime, signal) => {
    const controller = new Controller({ logger, ...(prompts === undefined ? {} : { prompt: prompts() }) }, systemClock, door === undefined ? undefined : reachThrough(door))
    const way: Connecting[] = []
    place.steps.forEach((step, index) => {
      const isHop = index < place.steps.length - 1
      way.push(controller.connect(step.target, { ...connectOptions(flags, { step, via: way.at(-1), isHop, runtime, password }), signal }))
    })
    return { context: way.at(-1)!, reason: (error) => hopFailure(place, way, error), close: () => controller.close() }
  }
}

async function hopFailure({ steps }: Place, way: readonly Connecting[], error: unknown): Promise<unknown> {
  for (const [index, { name }] of steps.slice(0, -1).entries()) {
    // A hop's failure, and what follows from it, arrive together and in any order.
    const why = await Promise.race([way[index]!.then(() => undefined, (reason: unknown) => reason), setImmediate()])
    if (isRametError(why)) return behind(steps.at(-1)!.name, name, why, error)
  }
  return error
}

/** As ramet reaches an SSH server, with its TCP connection led elsewhere: names, keys and host keys stay the target's. */
function reachThrough(door: Door): typeof reach {
  return async (address, options, context) => {
    if (address.kind !== 'ssh') throw new Error('only TCP can be led elsewhere')
    const config = await resolveSshConfig(address.host, { user: address.user, port: address.port, configFile: options.sshConfig, signal: context.signal })
    return loginBySsh2(config, options, context, { dial: (signal) => dialTcp({ ...door, name: context.name }, signal) })
  }
}
