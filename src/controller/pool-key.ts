import type { ConnectOptions } from './api.ts'

const identities = new WeakMap<object, number>()
let nextIdentity = 1

/** Equal for equal targets and options. Functions, secrets and contexts are equal to themselves only. */
export function poolKey(target: string, options: ConnectOptions): string {
  const { signal: _signal, fresh: _fresh, timeout: _timeout, ...rest } = options
  return JSON.stringify([target, equalKey(rest)])
}

/** What makes options equal; plain data. */
export function equalKey(options: ConnectOptions): unknown {
  return Object.entries(options)
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]: [string, unknown]) => [name, plain(value) ? value : identity(value as object)])
}

function plain(value: unknown): boolean {
  if (typeof value === 'function') return false
  if (value === null || typeof value !== 'object') return true
  return Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype
}

function identity(value: object): string {
  let number = identities.get(value)
  if (number === undefined) identities.set(value, (number = nextIdentity++))
  return `#${number}`
}
