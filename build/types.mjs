import { execFileSync } from 'node:child_process'
import { readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { dist, root } from './paths.mjs'

/** Declarations beside the bundles. They name one another with `.js`, which every consumer's resolution understands. */
export async function buildTypes() {
  await rm(dist + 'types', { recursive: true, force: true })
  execFileSync(process.execPath, [root + 'node_modules/typescript/bin/tsc', '-p', root + 'tsconfig.types.json'], { stdio: 'inherit' })
  const files = (await readdir(dist + 'types', { recursive: true })).filter(name => name.endsWith('.d.ts'))
  for (const name of files) {
    const text = await readFile(dist + 'types/' + name, 'utf8')
    await writeFile(dist + 'types/' + name, text.replace(/((?:from |import\()['"]\.{1,2}\/[^'"]+)\.ts(['"])/g, '$1.js$2'))
  }
  return files.length
}
