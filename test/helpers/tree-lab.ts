import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, vi } from 'vitest'
import type { Context, ConnectOptions, Controller } from '../../src/controller/index.ts'
import { loginTo } from './e2e-lab.ts'
import { type SshdOptions, startSshd, type TestServer } from './sshd.ts'

/** Real trees: one sshd that answers on several loopback addresses (16 at most), so that it plays several machines. */
export interface Machines extends AsyncDisposable {
  readonly server: TestServer
  /** Target of the machine with this number, from 1. */
  at(number: number): string
  /** The name that paths give it. */
  name(number: number): string
  readonly login: ConnectOptions
  /** Logins that sshd has accepted so far. */
  logins(): number
}

export async function startMachines(count: number, options: SshdOptions = {}): Promise<Machines> {
  const addresses = Array.from({ length: count - 1 }, (_, index) => `ListenAddress 127.0.0.${index + 2}`)
  const server = await startSshd({ ...options, config: [...addresses, ...(options.config ?? [])] })
  const knownHosts = join(server.dir, 'known_machines')
  writeFileSync(knownHosts, server.hostKeys.map((key) => `[127.0.0.*]:${server.port} ${key}\n`).join(''))
  const name = (number: number): string => `${server.user}@127.0.0.${number}:${server.port}`
  return {
    server,
    at: (number) => `ssh://${name(number)}`,
    name,
    login: { ...loginTo(server), knownHosts },
    logins: () => server.log().match(/Accepted publickey/g)?.length ?? 0,
    [Symbol.asyncDispose]: () => server.stop(),
  }
}

/** Opens contexts behind one another; the last one is the deepest. Nothing is awaited before all have been asked for. */
export async function chain(ramet: Controller, targets: readonly (string | [target: string, options: ConnectOptions])[], common: ConnectOptions = {}): Promise<Context[]> {
  const contexts: Promise<Context>[] = []
  let via: ConnectOptions['via']
  for (const each of targets) {
    const [target, options] = typeof each === 'string' ? [each, {}] : each
    const connecting = ramet.connect(target, { ...common, ...options, ...(via === undefined ? {} : { via }) })
    contexts.push(connecting)
    via = connecting
  }
  return Promise.all(contexts)
}

/** Process id of a context's stub. All machines of a test are this one. */
export function pidOf(context: Context): number {
  const pid = context.info?.pid
  if (pid === undefined) throw new Error(`${context.path.join(' > ')} has not said its process id`)
  return pid
}

/** Whether a process lives. One that nobody has collected yet does not. */
export function alive(pid: number): boolean {
  try {
    return !/^State:\t[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** Waits until it no longer throws; as long as a busy machine may need, which proves nothing about how fast it is. */
export function soon<T>(look: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(look, { timeout: 10_000, interval: 20 })
}

/** Waits until none of these processes lives. */
export async function expectGone(pids: readonly number[]): Promise<void> {
  await soon(() => expect(pids.filter(alive)).toEqual([]))
}

/** Processes whose command line holds this text: 'pid command line'. */
export function withText(text: string): string[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid && alive(Number(name))).flatMap((pid) => {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim()
      return line.includes(text) ? [`${pid} ${line.slice(0, 100)}`] : []
    } catch {
      return []
    }
  })
}
