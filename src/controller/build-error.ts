import { parse, resolve } from 'node:path'
import { RametError } from '../router/errors.ts'
import { DATA_FILES } from './data-module.ts'

/** What is used of esbuild's messages; esbuild itself is known to bundler.ts alone. */
interface BuildMessage {
  text: string
  location: { file: string; line: number; column: number; lineText: string } | null
  /** What a plugin of ours attached. */
  detail: unknown
}

/** esbuild's complaints in our words, at file:line:column. */
export function buildError(error: unknown, entry: string): RametError {
  const messages = (error as { errors?: BuildMessage[] }).errors ?? []
  const denied = messages.find(({ detail }) => isDenial(detail)) ?? messages[0]
  if (denied === undefined) {
    return new RametError('module-failed', `esbuild failed on ${entry}: ${error instanceof Error ? error.message : String(error)}`,
      { outcome: 'not-sent', hint: 'Check that the package esbuild is installed for this machine (npm rebuild esbuild).', cause: error })
  }
  const { code, text, hint } = explain(denied, entry)
  const more = messages.length > 1 ? ` (and ${messages.length - 1} more)` : ''
  return new RametError(code, text + more, { outcome: 'not-sent', hint, cause: error })
}

function explain(message: BuildMessage, entry: string): { code: 'module-failed' | 'module-denied' | 'module-not-found'; text: string; hint: string } {
  const at = placeOf(message, entry)
  if (isDenial(message.detail)) {
    const { denied, pattern } = message.detail
    return { code: 'module-denied', text: `${at}: ${denied} may not be sent: it matches ${pattern}`,
      hint: 'Read it on the controller and pass the value as an argument (see secret()); if it holds no secret, give it another name.' }
  }
  const missing = /^Could not resolve "(.*)"/.exec(message.text)?.[1]
  if (missing !== undefined) {
    return { code: 'module-not-found', text: `${at}: cannot find ${JSON.stringify(missing)}`, hint: /^[./#]/.test(missing)
      ? 'Check the path: it starts at the file that imports it.'
      : `Install it here (npm install ${missing.split('/').slice(0, missing.startsWith('@') ? 2 : 1).join('/')}): packages are sent from this machine, targets need none.` }
  }
  const loader = /^No loader is configured for "(.*)" files: (.*)/.exec(message.text)
  if (loader !== null) {
    return { code: 'module-failed', text: `${at}: ${loader[2]?.split('/').at(-1)} is no code, and ${loader[1]} files cannot be imported`,
      hint: `Read it on the controller and pass it as an argument, or name it ${Object.keys(DATA_FILES).join(', ')}.` }
  }
  if (message.text.startsWith('Top-level await')) {
    return { code: 'module-failed', text: `${at}: top-level await does not work in code for targets`,
      hint: 'Await inside an exported function; to do it once, keep the promise in a variable of the module.' }
  }
  return { code: 'module-failed', text: `${at}: ${message.text}`, hint: 'Correct the file: nothing was sent.' }
}

function isDenial(detail: unknown): detail is { denied: string; pattern: string } {
  return typeof detail === 'object' && detail !== null && 'denied' in detail && 'pattern' in detail
}

function placeOf({ location }: BuildMessage, entry: string): string {
  if (location === null) return entry
  // esbuild counts columns in bytes from 0; editors count characters from 1.
  const column = Buffer.from(location.lineText).subarray(0, location.column).toString('utf8').length + 1
  return `${resolve(parse(entry).root, location.file)}:${location.line}:${column}`
}
