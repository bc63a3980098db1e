import type { ConnectOptions } from './api.ts'

const identities = new WeakMap<object, number>()
let nextIdentity = 1

/** Equal for equal targets and options. Functions, secrets and contexts are equal to themselves only. */
export function poolKey(target: string, options: ConnectOptions): string {
  const { signal: _signal, fresh: _fresh, timeout: _timeout, ...rest } = options
  const entries = Object.entries(rest)
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => [name, plain(value) ? value : identity(value as object)])
  return JSON.stringify([target, entries])
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
