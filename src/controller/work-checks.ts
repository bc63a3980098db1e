import { RametError } from '../router/errors.ts'
import type { CallOptions, ExecOptions, SpawnOptions } from './api.ts'
import { escapeControls } from './logs.ts'

/*
 * What a program without types may get wrong, found before anything is started: found later it would cost a command that nobody
 * watches any more, or the connection that others use.
 */

const OF_CALLS = ['timeout', 'signal', 'isolate']
const OF_SPAWN = ['cwd', 'env', 'signal']
const OF_EXEC = [...OF_SPAWN, 'stdin', 'timeout', 'encoding', 'maxOutput', 'check']

/** Throws RametError 'usage'. Infinity is no limit, and zero is over already. */
export function checkCall(options: CallOptions, path: readonly string[]): void {
  const { timeout, signal, isolate } = options
  refuseUnknown(options, OF_CALLS, path)
  if (timeout !== undefined && (typeof timeout !== 'number' || !(timeout >= 0))) throw wrong(path, 'timeout', 'a number of milliseconds, not below zero', timeout)
  if (signal !== undefined && !isSignal(signal)) throw wrong(path, 'signal', 'an AbortSignal', signal)
  if (isolate !== undefined && !['none', 'worker', 'process'].includes(isolate)) throw wrong(path, 'isolate', "'worker', 'none' or 'process'", isolate)
}

/** Throws RametError 'usage'. */
export function checkCommand(command: unknown, options: SpawnOptions, path: readonly string[], known = OF_SPAWN): void {
  const { cwd, env, signal } = options
  refuseUnknown(options, known, path)
  if (typeof command !== 'string' && !(Array.isArray(command) && command.every((word) => typeof word === 'string'))) {
    throw wrong(path, 'command', 'a text or an array of texts', command)
  }
  if (cwd !== undefined && typeof cwd !== 'string') throw wrong(path, 'cwd', 'a text', cwd)
  if (signal !== undefined && !isSignal(signal)) throw wrong(path, 'signal', 'an AbortSignal', signal)
  if (env === undefined) return
  if (env === null || typeof env !== 'object' || Array.isArray(env)) throw wrong(path, 'env', 'an object', env)
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && typeof value !== 'string') throw wrong(path, `env.${name}`, 'a text, or undefined to remove it', value)
  }
}

/** Throws RametError 'usage'. */
export function checkExec(command: unknown, options: ExecOptions, path: readonly string[]): void {
  const { timeout, stdin, encoding, maxOutput } = options
  checkCommand(command, options, path, OF_EXEC)
  checkCall(timeout === undefined ? {} : { timeout }, path)
  if (encoding !== undefined && encoding !== 'utf8' && encoding !== 'buffer') throw wrong(path, 'encoding', "'utf8' or 'buffer'", encoding)
  if (maxOutput !== undefined && (typeof maxOutput !== 'number' || !(maxOutput >= 0))) throw wrong(path, 'maxOutput', 'a number of bytes', maxOutput)
  if (stdin !== undefined && typeof stdin !== 'string' && !(stdin instanceof Uint8Array) && typeof (stdin as { pipe?: unknown } | null)?.pipe !== 'function') {
    throw wrong(path, 'stdin', 'a text, a Uint8Array or a Readable', stdin)
  }
}

/** A misspelt time limit would be none. */
function refuseUnknown(options: object, known: readonly string[], path: readonly string[]): void {
  for (const name of Object.keys(options)) {
    // Ours, of work for several contexts.
    if (known.includes(name) || name === 'together') continue
    throw new RametError('usage', `${path.join(' > ')}: '${escapeControls(name.slice(0, 100))}' is no option here`, {
      path, outcome: 'not-sent', hint: `Nothing was started. The options here are ${known.join(', ')}.`,
    })
  }
}

function isSignal(value: unknown): boolean {
  const { aborted, addEventListener, removeEventListener } = (value ?? {}) as Record<string, unknown>
  return typeof aborted === 'boolean' && typeof addEventListener === 'function' && typeof removeEventListener === 'function'
}

/** Says what kind of thing it got, not what it says: that may be a secret. */
function wrong(path: readonly string[], name: string, wanted: string, got: unknown): RametError {
  const kind = got === null || typeof got === 'number' ? String(got) : Array.isArray(got) ? 'an array' : typeof got === 'object' ? 'an object' : `a ${typeof got}`
  return new RametError('usage', `${path.join(' > ')}: ${name} has to be ${wanted}, and is ${kind}`, {
    path, outcome: 'not-sent', hint: `Nothing was started. Give ${name} as the documentation says, or leave it out.`,
  })
}
