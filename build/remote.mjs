import { brotliCompressSync, constants } from 'node:zlib'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { basename } from 'node:path'
import { build } from 'esbuild'
import { writeWhole } from './files.mjs'
import { lazyModules } from './lazy.mjs'
import { dist, root, source } from './paths.mjs'
import { privateNames } from './private-names.mjs'
import { noDirectory, ssh2Plugins, withoutKeyFiles } from './ssh2.mjs'
import { assertAscii } from './text.mjs'

/** What every boot sends before HELLO: the launch line and the compressed stub together. 20 KB, of which 120 bytes are left to the first frames, which the same flight holds. */
export const BOOT_BUDGET = 20_000 - 120

/**
 * The stub: the program that a target runs, in one file, and what of it goes over the wire.
 * Target node12 is the floor for syntax; it also takes the `node:` prefix off imports, which Node before 14.18 lacks.
 */
export async function buildStub() {
  const result = await build({
    absWorkingDir: root,
    entryPoints: [source + 'remote-stub/main.ts'],
    bundle: true,
    write: false,
    metafile: true,
    outfile: dist + 'stub.js',
    format: 'cjs',
    platform: 'node',
    target: 'node12',
    charset: 'ascii',
    minify: true,
    mangleProps: await privateNames(['base', 'router', 'remote-stub']),
    legalComments: 'none',
    plugins: [lazyModules],
    // An uncaught error prints the whole source line it came from: keep lines short.
    lineLimit: 500,
    logLevel: 'warning',
  })
  const text = Buffer.from(result.outputFiles[0].contents)
  assertAscii('dist/stub.js', text)
  const compressed = brotliCompressSync(text, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 18, [constants.BROTLI_PARAM_SIZE_HINT]: text.length },
  })
  const line = await launchLineLength(compressed.length)
  if (line + compressed.length > BOOT_BUDGET) {
    throw new Error(`launch line (${line} bytes) and dist/stub.br (${compressed.length}) together exceed ${BOOT_BUDGET} bytes`)
  }
  await mkdir(dist, { recursive: true })
  await writeWhole(dist + 'stub.js', text)
  await writeWhole(dist + 'stub.br', compressed)
  return { bytes: text.length, compressed: compressed.length, line, inputs: Object.keys(result.metafile.inputs) }
}

/** Bytes of the command line that starts a stub, asked of the code that makes it. */
async function launchLineLength(stubSize) {
  const result = await build({
    absWorkingDir: root, entryPoints: [source + 'connect/first-stage.ts'], bundle: true, write: false, format: 'esm', platform: 'node', logLevel: 'warning',
  })
  const { launchLine } = await import(`data:text/javascript;base64,${Buffer.from(result.outputFiles[0].contents).toString('base64')}`)
  return Buffer.byteLength(launchLine({ version: '10.10.10', stubSize, nonce: '0'.repeat(32) }))
}

/**
 * Our own functions that run on targets: each module of src/modules in a CJS file of its own, shipped like user code.
 * es2019 is what Node 12 understands, and keeps the `node:` prefix for the loader to deal with.
 */
export async function buildModules() {
  const names = (await readdir(source + 'modules')).filter(name => name.endsWith('.ts'))
  const options = { ...remoteModule, entryPoints: names.map(name => `${source}modules/${name}`) }
  // A file that others here import is a part of theirs; one that holds types only compiles to nothing.
  const { metafile } = await build({ ...options, format: 'esm', write: false })
  const parts = new Set(Object.values(metafile.inputs).flatMap(input => input.imports.map(entry => entry.path)))
  const entries = Object.values(metafile.outputs).filter(output => output.exports.length > 0).map(output => output.entryPoint).filter(entry => !parts.has(entry))
  // What makes a stub a hop is no service of its own, but is sent the same way.
  const result = await build({ ...options, entryPoints: [...entries, source + 'remote-stub/parent.ts'], entryNames: '[name]', write: false })
  result.outputFiles.push(...(await build(hopWays)).outputFiles)
  await mkdir(dist + 'modules', { recursive: true })
  for (const file of result.outputFiles) await writeWhole(file.path, file.contents)
  const written = result.outputFiles.map(file => ({ file: basename(file.path), bytes: file.contents.length }))
  for (const name of await readdir(dist + 'modules')) {
    if (name.endsWith('.js') && !written.some(({ file }) => file === name)) await rm(dist + 'modules/' + name, { force: true })
  }
  return written
}

const remoteModule = {
  absWorkingDir: root,
  bundle: true,
  metafile: true,
  outdir: dist + 'modules',
  format: 'cjs',
  platform: 'node',
  target: 'es2019',
  charset: 'ascii',
  minify: true,
  legalComments: 'none',
  lineLimit: 160,
  logLevel: 'warning',
}

/** What makes a stub a hop is there once, however many ways lead on from it. */
const besideParent = {
  name: 'beside-parent',
  setup(build) {
    build.onResolve({ filter: /\/parent\.ts$/ }, () => ({ path: 'ramet/parent', external: true }))
  },
}

/** The ways that lead on from a hop: each is sent there only when it is to be gone. */
const hopWays = {
  ...remoteModule,
  entryPoints: ['ssh2', 'openssh', 'spawned'].map(name => ({ in: `${source}remote-stub/hop-${name}.ts`, out: name })),
  plugins: [...ssh2Plugins(), withoutKeyFiles, besideParent],
  define: noDirectory,
  write: false,
}
