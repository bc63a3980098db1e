import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { dist, root } from './paths.mjs'

/** Names of the packages that the given input files of a bundle belong to. */
function packagesOf(inputs) {
  const names = new Set()
  for (const file of inputs) {
    const path = file.split('node_modules/').slice(1).pop()
    if (path === undefined) continue
    const parts = path.split('/')
    names.add(path.startsWith('@') ? `${parts[0]}/${parts[1]}` : parts[0])
  }
  return [...names].sort((a, b) => (a < b ? -1 : 1))
}

/** Writes down the licence of every package whose code is inside ours. A package without one fails the build. */
export async function writeLicences(inputs) {
  const names = packagesOf(inputs)
  const parts = names.map(name => {
    const folder = `${root}node_modules/${name}/`
    const manifest = JSON.parse(readFileSync(folder + 'package.json', 'utf8'))
    const file = existsSync(folder) && readdirSync(folder).find(entry => /^licen[cs]e/i.test(entry))
    if (!file) throw new Error(`${name} is bundled and has no licence file`)
    return `${name} ${manifest.version} (${manifest.license ?? manifest.licenses?.[0]?.type})\n\n${readFileSync(folder + file, 'utf8').trim()}\n`
  })
  const rule = `\n${'-'.repeat(80)}\n\n`
  await writeFile(dist + 'THIRD-PARTY-LICENSES', `Parts of these packages are contained in the files beside this one.\n${rule}${parts.join(rule)}`)
  return names
}
