import type { Connecting, ConnectOptions } from '../controller/api.ts'
import type { Flags } from './options.ts'
import type { Step } from './ways.ts'

/** What the options of connect() depend on beside the flags. */
export interface StepUse {
  step: Step
  /** The context from which it is opened; undefined: from here. */
  via: Connecting | undefined
  /** Targets are reached through it. */
  isHop: boolean
  /** What the command needs where it is a target. */
  runtime: 'auto' | 'node' | 'raw'
  /** What the person typed for --ask-password. */
  password: string | undefined
}

/**
 * The options of connect() that the flags stand for; files are taken as they are written. Keys, host keys and the SSH
 * configuration are ours and hold on the whole way; what is said of targets does not hold for bastions.
 */
export function connectOptions(flags: Flags, use: StepUse): ConnectOptions {
  const { step, via, password } = use
  const options: ConnectOptions = { runtime: chosenRuntime(flags, use) }
  if (flags['private-key'] !== undefined) options.identityFile = flags['private-key']
  if (flags['host-keys'] !== undefined) options.hostKeys = flags['host-keys']
  if (flags['known-hosts'] !== undefined) options.knownHosts = flags['known-hosts']
  if (flags['ssh-config'] !== undefined) options.sshConfig = flags['ssh-config'] === 'none' ? false : flags['ssh-config']
  if (flags.transport !== undefined) options.transport = flags.transport
  if (flags.agent === true && via !== undefined) options.agent = true
  if (flags.node !== undefined && step.own) options.node = flags.node
  if (flags['connect-timeout'] !== undefined) options.timeout = milliseconds(flags['connect-timeout'])
  if (password !== undefined && step.own) options.password = password
  if (step.jump !== undefined) options.jump = step.jump
  if (via !== undefined) options.via = via
  return options
}

/** The only place that knows where a stub is needed: on hops. */
function chosenRuntime(flags: Flags, { isHop, runtime }: StepUse): 'auto' | 'node' | 'raw' {
  return isHop ? 'node' : (flags.runtime ?? runtime)
}

/** API times are milliseconds. */
export function milliseconds(seconds: number): number {
  return Math.ceil(seconds * 1000)
}
