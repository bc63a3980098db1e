import { RametError } from '../router/errors.ts'
import type { ConnectOptions, Reconnect } from './api.ts'
import { escapeControls } from './logs.ts'

const KNOWN: Record<keyof ConnectOptions, true> = {
  identityFile: true, password: true, passphrase: true, prompt: true, hostKeys: true, knownHosts: true, sshConfig: true, transport: true, agent: true, via: true,
  jump: true, node: true, runtime: true, keepalive: true, timeout: true, signal: true, reconnect: true, fresh: true,
}

/** What a program without types may get wrong about a connection, found before anything is opened. Throws RametError 'target-invalid' or 'usage'. */
export function checkConnect(target: unknown, options: ConnectOptions): void {
  if (typeof target !== 'string') {
    throw new RametError('target-invalid', `a target is a text, and this one is ${target === null ? 'null' : typeof target}`, {
      outcome: 'not-sent', hint: 'Write ssh://user@host:port, user@host, an alias of your OpenSSH configuration, local:, sudo:USER or docker:NAME.',
    })
  }
  for (const name of Object.keys(options)) if (!Object.hasOwn(KNOWN, name)) throw unknown(target, name)
  const { hostKeys, transport, runtime, timeout, keepalive, reconnect, signal } = options
  // A mode that is misspelt must not open what the right one would have refused.
  if (hostKeys !== undefined && typeof hostKeys !== 'function') oneOf(target, 'hostKeys', hostKeys, ['enforce', 'accept', 'ignore'])
  if (transport !== undefined) oneOf(target, 'transport', transport, ['ssh2', 'openssh'])
  if (runtime !== undefined) oneOf(target, 'runtime', runtime, ['auto', 'node', 'raw'])
  if (timeout !== undefined) number(target, 'timeout', timeout)
  if (keepalive?.interval !== undefined) number(target, 'keepalive.interval', keepalive.interval)
  if (keepalive?.count !== undefined) number(target, 'keepalive.count', keepalive.count)
  const { delay, attempts } = Object(reconnect) as Reconnect
  if (delay !== undefined) number(target, 'reconnect.delay', delay)
  if (attempts !== undefined) number(target, 'reconnect.attempts', attempts)
  if (signal !== undefined && typeof (signal as Partial<AbortSignal> | null)?.addEventListener !== 'function') throw wrong(target, 'signal', 'an AbortSignal')
}

function oneOf(target: string, name: string, value: unknown, allowed: string[]): void {
  if (!allowed.includes(value as string)) throw wrong(target, name, `one of ${allowed.join(', ')}`)
}

function number(target: string, name: string, value: unknown): void {
  if (typeof value !== 'number' || !(value >= 0)) throw wrong(target, name, 'a number, not below zero')
}

function wrong(target: string, name: string, wanted: string): RametError {
  return new RametError('usage', `${shown(target)}: ${name} has to be ${wanted}`, { outcome: 'not-sent', hint: `Nothing was opened. Give ${name} as the documentation says, or leave it out.` })
}

/** A misspelt via would connect from here, a misspelt timeout never give up. */
function unknown(target: string, name: string): RametError {
  return new RametError('usage', `${shown(target)}: '${escapeControls(name.slice(0, 100))}' is no option of connect()`, {
    outcome: 'not-sent', hint: `Nothing was opened. The options are ${Object.keys(KNOWN).join(', ')}.`,
  })
}

/** What stands before @ may hold a password. */
const shown = (target: string): string => escapeControls(target.slice(0, 256).replace(/^.*@/s, ''))
