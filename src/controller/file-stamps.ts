import { existsSync, statSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** What decides how files are read, besides themselves: looked for above the entry alone, where people edit it. */
export function configFiles(entry: string): string[] {
  const found: string[] = []
  for (let directory = dirname(entry); ; directory = dirname(directory)) {
    for (const name of ['package.json', 'tsconfig.json']) {
      const file = resolve(directory, name)
      if (existsSync(file)) found.push(file)
    }
    if (directory === dirname(directory)) return found
  }
}

export function isUnchanged(stamps: ReadonlyMap<string, string>): boolean {
  for (const [file, stamp] of stamps) {
    const stats = stamp === '' ? undefined : statSync(file, { throwIfNoEntry: false })
    if (stats === undefined || stampOf(stats) !== stamp) return false
  }
  return true
}

/** Equal for two looks at a file that nobody wrote to in between, but for writes within the grain of its times. */
export function stampOf(stats: Stats): string {
  return `${stats.mtimeMs} ${stats.ctimeMs} ${stats.size} ${stats.ino}`
}
