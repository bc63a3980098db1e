import { readFileSync, readlinkSync } from 'node:fs'
import { pino, type Logger } from 'pino'
import { expect, vi } from 'vitest'
import { Controller, isRametError, type RametError } from '../../src/controller/index.ts'
import type { ConnectOptions, ControllerOptions } from '../../src/controller/index.ts'
import { descendants, type TestServer } from './sshd.ts'

/** What a controller wrote into its log. */
export interface Records {
  logger: Logger
  all: Record<string, unknown>[]
}

export function records(): Records {
  const all: Record<string, unknown>[] = []
  const logger = pino({ level: 'trace' }, { write: (line: string) => void all.push(JSON.parse(line) as Record<string, unknown>) })
  return { logger, all }
}

/** A controller that prints nothing. */
export function quietController(options: ControllerOptions = {}): Controller {
  return new Controller({ logger: pino({ level: 'silent' }), ...options })
}

/** How a test reaches one of its own servers: with its key, its known_hosts, and nobody's configuration. */
export function loginTo(server: TestServer): ConnectOptions {
  return { identityFile: server.keyFile, knownHosts: server.knownHosts, sshConfig: false }
}

export function targetOf(server: TestServer): string {
  return `ssh://${server.user}@${server.host}:${server.port}`
}

/** The error that something must end with; every one has to say what to do. */
export async function failure(work: PromiseLike<unknown> | (() => PromiseLike<unknown>)): Promise<RametError> {
  try {
    await (typeof work === 'function' ? work() : work)
  } catch (error) {
    expect(isRametError(error), String((error as Error).stack)).toBe(true)
    return error as RametError
  }
  throw new Error('it succeeded')
}

/** Fails unless the error names the target and says what to do. */
export function expectHelpful(error: RametError, name: string): void {
  expect(error.path.length, `path of ${error.code}: ${error.message}`).toBeGreaterThan(0)
  expect(`${error.path.join(' > ')} ${error.message}`).toContain(name)
  expect(error.hint, `hint of ${error.code}: ${error.message}`).toMatch(/\w+ \w+/)
  expect(error.message).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/)
}

/** What keeps this process alive or open: handles by kind, and open descriptors by what they are. */
function held(): Record<string, number> {
  const counts: Record<string, number> = {}
  const ours = process.getActiveResourcesInfo().filter((kind) => /TCP|Process|Pipe|Worker|UDP|TLS/.test(kind))
  for (const kind of ours) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}

/** Processes below one that live: 'pid command line'. */
export function childrenOf(pid: number): string[] {
  return descendants(pid).flatMap((child) => {
    try {
      const status = readFileSync(`/proc/${child}/status`, 'utf8')
      // What has ended and was not collected yet is no process any more; the build helper of the test run is not ours.
      if (/^State:\tZ/m.test(status) || readlinkSync(`/proc/${child}/exe`).includes('esbuild')) return []
      return [`${child} ${readFileSync(`/proc/${child}/cmdline`, 'latin1').replaceAll('\0', ' ').trim().slice(0, 120)}`]
    } catch {
      return []
    }
  })
}

/** Remembers what this process holds; the function returned waits until it holds no more than that, and servers have no sessions. */
export function leakCheck(): (...servers: TestServer[]) => Promise<void> {
  const before = held()
  const children = new Set(childrenOf(process.pid).map((child) => Number.parseInt(child)))
  return async (...servers) => {
    await vi.waitFor(() => {
      const more = Object.fromEntries(Object.entries(held()).filter(([kind, count]) => count > (before[kind] ?? 0)))
      expect(more).toEqual({})
      expect(childrenOf(process.pid).filter((child) => !children.has(Number.parseInt(child)))).toEqual([])
    }, { timeout: 8000, interval: 20 })
    for (const server of servers) await vi.waitFor(() => expect(childrenOf(server.pid)).toEqual([]), { timeout: 10_000, interval: 50 })
  }
}
