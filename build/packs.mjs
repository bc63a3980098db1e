import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { build } from 'esbuild'
import { writeWhole } from './files.mjs'
import { dist, root, source } from './paths.mjs'

const folder = dist + 'modules/'

/** What a controller sends of our own modules in one push: to a target that has none of it, and to a hop that has `parent` already. */
const sets = [['exec'], ['tcp'], ['orphan'], ...['ssh2', 'openssh', 'spawned'].flatMap(way => [['parent', way], [way]])]

/**
 * dist/modules/HASH.pack: pushes of our own modules, compressed as well as brotli can. A controller that did it itself would
 * spend 5 to 20 ms on what makes a hop, less well. HASH names the texts inside, so a pack is of these modules or is not found.
 */
export async function writePacks() {
  const packTexts = await packer()
  await mkdir(folder, { recursive: true })
  const present = new Set(await readdir(folder))
  const kept = new Set()
  for (const names of sets) {
    const texts = await Promise.all(names.map(name => readFile(`${folder}${name}.js`)))
    const file = `${hash(texts.map(hash).join()).slice(0, 32)}.pack`
    kept.add(file)
    if (!present.has(file)) await writeWhole(folder + file, packTexts(texts, 11))
  }
  for (const file of present) if (file.endsWith('.pack') && !kept.has(file)) await rm(folder + file, { force: true })
}

/** The engine's own packer: the format is written down there alone. */
async function packer() {
  const { outputFiles } = await build({
    absWorkingDir: root, entryPoints: [source + 'router/code-link.ts'], bundle: true, write: false, format: 'esm', platform: 'node', logLevel: 'warning',
  })
  const { packTexts } = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`)
  return packTexts
}

function hash(bytes) {
  return createHash('sha256').update(bytes).digest('hex')
}
