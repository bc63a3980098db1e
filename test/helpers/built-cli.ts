import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from './source-tree.ts'

/** Builds the command line into a folder, as an installed package lies: its own files, its dependencies above it. Returns its program. */
export async function buildCli(place: string): Promise<string> {
  const dist = `${place}/dist/`
  mkdirSync(dist)
  const build = `import { buildLibrary } from './build/library.mjs'; await buildLibrary(process.argv[1])`
  await promisify(execFile)(process.execPath, ['--input-type=module', '-e', build, dist], { cwd: root })
  for (const name of ['stub.br', 'modules']) cpSync(join(root, 'dist', name), join(dist, name), { recursive: true })
  cpSync(join(root, 'package.json'), join(place, 'package.json'))
  symlinkSync(join(root, 'node_modules'), join(place, 'node_modules'))
  return `${dist}cli.cjs`
}
