import { realpathSync, statSync } from 'node:fs'
import { dirname, parse, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { RametError } from '../router/errors.ts'

/** The file that an entry means: extensions of TypeScript and JavaScript stand for each other, the written one first. */
export function entryFile(entry: URL | string, base: URL | string | undefined): string {
  const path = entryPath(entry, base)
  const { dir, name, ext } = parse(path)
  const tries = CODE_EXTENSIONS.includes(ext) ? [path, ...CODE_EXTENSIONS.map((other) => resolve(dir, name + other))] : [path]
  const found = tries.find((file) => statSync(file, { throwIfNoEntry: false })?.isFile())
  if (found === undefined) {
    throw new RametError('module-not-found', `there is no module ${path}`, {
      outcome: 'not-sent', hint: 'Write new URL(\'./tasks.ts\', import.meta.url), or an absolute path; a relative one starts at the working directory.',
    })
  }
  return realpathSync(found)
}

const CODE_EXTENSIONS = ['.ts', '.js', '.mts', '.mjs', '.cts', '.cjs', '.tsx', '.jsx']

function entryPath(entry: URL | string, base: URL | string | undefined): string {
  const text = String(entry)
  if (/^[a-z][a-z0-9+.-]+:/i.test(text) && !/^file:/i.test(text)) {
    throw new RametError('module-not-found', `${text.slice(0, 100)} is no file: only file URLs and paths can be sent`,
      { outcome: 'not-sent', hint: 'Write new URL(\'./tasks.ts\', import.meta.url).' })
  }
  if (/^file:/i.test(text)) return fileURLToPath(text)
  if (base === undefined) return resolve(text)
  const from = String(base)
  return /^file:/i.test(from) ? resolve(dirname(fileURLToPath(from)), text) : resolve(from, text)
}
