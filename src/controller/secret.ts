import { inspect } from 'node:util'
import type { Secret } from './api.ts'

const values = new WeakMap<Secret, string>()

class HiddenText implements Secret {
  readonly secret = true

  /** It would arrive as an object without its text: what is sent to a target is refused that holds one. */
  get [Symbol.toStringTag](): string {
    return 'Secret'
  }

  toString(): string {
    return '[secret]'
  }

  toJSON(): string {
    return '[secret]'
  }

  [inspect.custom](): string {
    return '[secret]'
  }
}

/** Marks a text that nothing may print: logs, traces, JSON and the console show '[secret]'. */
export function secret(value: string): Secret {
  const hidden = new HiddenText()
  values.set(hidden, value)
  return hidden
}

/** The text behind a secret; a plain string is its own. */
export function reveal(value: string | Secret): string {
  return typeof value === 'string' ? value : (values.get(value) ?? '')
}
