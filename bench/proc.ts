import { readdirSync, readFileSync } from 'node:fs'

/** A file of /proc, or '' for a process that is gone. */
export function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** A directory of /proc, empty for a process that is gone. */
export function list(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}
