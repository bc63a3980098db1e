import { readFileSync } from 'node:fs'

/** The version of this package: its manifest stands above dist/, and above src/cli/ where the source itself runs. */
export function packageVersion(): string {
  for (const place of ['../package.json', '../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(place, import.meta.url), 'utf8')) as { name?: string; version?: string }
      if (name === 'ramet' && version !== undefined) return version
    } catch {
      // Not there: the other place, then.
    }
  }
  return 'unknown'
}
