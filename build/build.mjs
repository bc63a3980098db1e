#!/usr/bin/env node
/**
 * `node build/build.mjs [part …]` writes dist/. Parts: stub modules library types start bench; all but the last two by default.
 * What runs often takes only the parts it needs: the tests build stub and modules, types cost seconds and are for `npm pack`.
 */
import { mkdir } from 'node:fs/promises'
import { buildBench, buildExample } from './bench.mjs'
import { buildLibrary } from './library.mjs'
import { writeLicences } from './licences.mjs'
import { dist } from './paths.mjs'
import { writePacks } from './packs.mjs'
import { buildModules, buildStub } from './remote.mjs'
import { kib } from './text.mjs'
import { buildTypes } from './types.mjs'

const inputs = []

const parts = {
  async stub() {
    const stub = await buildStub()
    inputs.push(...stub.inputs)
    return `${kib(stub.bytes)}; launch line ${stub.line} + compressed ${stub.compressed} = ${stub.line + stub.compressed} bytes before HELLO`
  },
  async modules() {
    const modules = await buildModules()
    await writePacks()
    return modules.map(({ file, bytes }) => `${file} ${kib(bytes)}`).join(', ')
  },
  async library() {
    const built = await buildLibrary()
    inputs.push(...built.inputs)
    const chunks = built.outputs.filter(({ file }) => file.includes('/chunk-'))
    const entries = built.outputs.filter(output => !chunks.includes(output)).map(({ file, bytes }) => `${file.replace('dist/', '')} ${kib(bytes)}`)
    return `${entries.join(', ')}, ${chunks.length} chunks ${kib(chunks.reduce((sum, { bytes }) => sum + bytes, 0))}`
  },
  async types() {
    return `${await buildTypes()} files`
  },
  async start() {
    await Promise.all([buildBench(['start']), buildExample('machine')])
    return 'dist/bench/start.js'
  },
  async bench() {
    await buildBench(['run', 'programs/hundred-ramet', 'programs/hundred-ssh2', 'programs/loop-ramet'])
    return 'dist/bench/run.js'
  },
}

const wanted = process.argv.slice(2)
const unknown = wanted.find(name => !(name in parts))
if (unknown !== undefined) {
  console.error(`no such part: ${unknown}; there are: ${Object.keys(parts).join(' ')}`)
  process.exit(1)
}

try {
  await mkdir(dist, { recursive: true })
  for (const name of wanted.length > 0 ? wanted : ['stub', 'modules', 'library', 'types']) {
    const from = performance.now()
    const line = await parts[name]()
    console.log(`${name.padEnd(8)}${`${Math.round(performance.now() - from)} ms`.padStart(8)}  ${line}`)
  }
  if (wanted.length === 0) console.log(`bundled: ${(await writeLicences(inputs)).join(' ')}`)
} catch (error) {
  // esbuild has printed its own errors already.
  console.error(error.errors ? 'the build failed' : error.message)
  process.exit(1)
}
