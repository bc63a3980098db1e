import { readFileSync, readdirSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../../', import.meta.url))

/** The files below a folder of the repository whose names end so: path below that folder → text. */
export function readTree(folder: string, ending: RegExp): Map<string, string> {
  const base = join(root, folder)
  const files = readdirSync(base, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile() && ending.test(entry.name))
  return new Map(files.map(entry => {
    const path = join(entry.parentPath, entry.name)
    return [relative(base, path).split(sep).join('/'), readFileSync(path, 'utf8')]
  }))
}
