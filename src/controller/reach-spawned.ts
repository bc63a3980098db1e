import type { Ask } from '../connect/hop.ts'
import { connectSpawned } from '../connect/reach-spawned.ts'
import type { TargetAddress } from '../connect/target.ts'
import type { Connection } from '../connect/transport.ts'
import type { ConnectOptions } from './api.ts'
import type { ReachContext } from './reach-context.ts'
import { promptFor } from './ssh-login.ts'
import { reveal } from './secret.ts'

/** Connects to what a program of this machine leads to: a shell, another account, a container. */
export function reachSpawned(address: Exclude<TargetAddress, { kind: 'ssh' }>, options: ConnectOptions, context: ReachContext): Connection {
  const { name, path, clock, signal } = context
  return connectSpawned(address, { name, path, clock, signal, commands: options.runtime === 'raw', ask: passwordSource(options, context) })
}

/** The password that was given, or else the person who can be asked. */
export function passwordSource(options: ConnectOptions, context: ReachContext): Ask | undefined {
  const { password } = options
  if (password !== undefined) return () => Promise.resolve(reveal(password))
  const prompt = promptFor(options, context)
  return prompt === undefined ? undefined : (question) => prompt({ kind: 'become', path: [...context.path], text: 'text' in question ? question.text : '' })
}
