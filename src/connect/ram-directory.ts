import { mkdtempSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'

/** Those that are there. */
const made = new Set<string>()

/** Removes what was made and not removed: for an end that leaves no time to close anything. */
export function removeDirectories(): void {
  for (const path of made) removeDirectory(path)
}

/** Somebody else removes it. */
export function keepDirectory(path: string): void {
  made.delete(path)
}

/** A new directory that nobody else can look into and that is on no disk; undefined where there is no place for one. */
export function ramDirectory(): string | undefined {
  for (const place of [process.env['XDG_RUNTIME_DIR'], '/dev/shm']) {
    if (place === undefined || !place.startsWith('/')) continue
    try {
      // With mode 0700.
      const path = mkdtempSync(join(place, 'ramet-'))
      made.add(path)
      return path
    } catch {
      // The next one may do.
    }
  }
  return undefined
}

/** Removes a directory with the files and sockets in it; harmless when it is gone. Node 12 has no recursive rm. */
export function removeDirectory(path: string): void {
  made.delete(path)
  unlessGone(() => {
    // Each by itself: a log may be on its way out just now, and must not keep what is listed after it.
    for (const name of readdirSync(path)) unlessGone(() => unlinkSync(join(path, name)))
    rmdirSync(path)
  })
}

function unlessGone(remove: () => void): void {
  try {
    remove()
  } catch {
    // Somebody else has cleaned up.
  }
}
