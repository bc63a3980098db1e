import { RametError, type Stage } from '../router/errors.ts'

/** What an SSH connection ends with, besides what its server says. `name` is the target's. */

const WAITS: Partial<Record<Stage, string>> = { resolve: 'its name', tcp: 'a TCP connection', 'host-key': 'the key exchange', auth: 'the login' }

export function timedOut(name: string, stage: Stage, ms: number): RametError {
  return new RametError('connect-timeout', `${name}: no answer in ${ms} ms (waiting for ${WAITS[stage]})`, {
    stage, path: [name], outcome: 'not-sent',
    hint: 'Check the address, firewalls on the way and the load of the server, or give it more time (timeout).' })
}

/** `ms`: ConnectTimeout. */
export function unreached(name: string, stage: Stage, ms: number): RametError {
  return new RametError('connect-timeout', `${name}: the server was not reached within ${ms} ms, the ConnectTimeout of the SSH configuration (waiting for ${WAITS[stage]})`, {
    stage, path: [name], outcome: 'not-sent',
    hint: 'Check the address, firewalls on the way and the load of the server, or give it more time (timeout, --connect-timeout, ConnectTimeout).' })
}

export function cancelled(name: string, stage: Stage, reason: unknown): RametError {
  return new RametError('cancelled', `${name}: connecting was cancelled`, {
    stage, path: [name], outcome: 'not-sent', cause: reason, hint: 'The caller aborted it.' })
}

export function closedHere(name: string): RametError {
  return new RametError('closed', `${name}: the connection was closed here`, { path: [name], outcome: 'unknown', hint: 'Open it again.' })
}

export function silent(name: string): RametError {
  return new RametError('link-lost', `${name}: the server does not answer any more`, {
    path: [name], outcome: 'unknown', hint: 'Look at the network on the way, and at the load of the server.' })
}
