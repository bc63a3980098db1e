import { chmod, readFile, readdir, rm } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { build } from 'esbuild'
import { dist, root, source } from './paths.mjs'
import { lateKeyFiles, noDirectory, ssh2Plugins } from './ssh2.mjs'

const manifest = JSON.parse(readFileSync(root + 'package.json', 'utf8'))

/** What users' npm installs beside us. Everything else is bundled, so that no native addon is ever built on their machines. */
const external = Object.keys(manifest.dependencies)

/** Bundled CommonJS asks for Node's own modules through `require`. */
const banner = {
  js: [
    `import { createRequire as rametCreateRequire } from 'node:module'`,
    `const require = rametCreateRequire(import.meta.url)`,
  ].join('\n'),
}

const common = {
  absWorkingDir: root,
  bundle: true,
  splitting: true,
  metafile: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  // Files stand beside one another, so that `new URL('./stub.br', import.meta.url)` is right in each of them.
  chunkNames: 'chunk-[hash]',
  legalComments: 'none',
  sourcemap: false,
  // A program as short as `ramet run` spends a seventh of its own time on parsing. Names stay, and lines short enough for a stack to point at.
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 160,
  plugins: [...ssh2Plugins(), lateKeyFiles],
  define: noDirectory,
  logLevel: 'warning',
}

/** In CommonJS, which loads sooner and which V8 can be given compiled; there import() would not work, and no package that we load is for import() alone. */
const { splitting: _, chunkNames: __, ...whole } = common
const commonjs = {
  ...whole,
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  supported: { 'dynamic-import': false },
  banner: { js: `const rametUrl = require('node:url').pathToFileURL(__filename).href` },
  define: { ...noDirectory, 'import.meta.url': 'rametUrl', 'import.meta.dirname': '__dirname' },
}

/** The library, `ramet/remote` and the server of `ramet bench` without a host, in dist/ or (for tests) in another directory. What is heavy is imported dynamically in the source and so becomes a chunk of its own. */
export async function buildLibrary(into = dist) {
  // Chunks are named by their content: those of an earlier build would be packed too.
  for (const name of await readdir(into).catch(() => [])) {
    if (name.endsWith('.js') && name !== 'stub.js') await rm(into + name)
  }
  const result = await build({
    ...common,
    entryPoints: { index: source + 'controller/index.ts', remote: source + 'remote.ts', 'embedded-server': source + 'cli/bench/embedded-server.ts' },
    outdir: into,
    external,
    banner,
  })
  const keyFiles = await build({ ...commonjs, plugins: [], banner: {}, entryPoints: { 'bcrypt-pbkdf': 'bcrypt-pbkdf' }, outdir: into })
  const command = await buildCommand(into)
  const built = [result, keyFiles, ...command]
  return {
    inputs: built.flatMap(({ metafile }) => Object.keys(metafile.inputs)),
    outputs: built.flatMap(({ metafile }) => Object.entries(metafile.outputs)).map(([file, output]) => ({ file, bytes: output.bytes })),
  }
}

/** The command, whole in one file, and the program that starts it. */
async function buildCommand(into) {
  const command = await build({ ...commonjs, entryPoints: { command: source + 'cli/main.ts' }, outdir: into, external })
  const id = createHash('sha256').update(await readFile(into + 'command.cjs')).digest('hex').slice(0, 16)
  const launch = await build({
    ...commonjs,
    banner: { js: '#!/usr/bin/env node' },
    define: { ...commonjs.define, RAMET_BUILD: JSON.stringify(id) },
    entryPoints: { cli: source + 'cli/launch.ts' },
    outdir: into,
  })
  await chmod(into + 'cli.cjs', 0o755)
  return [command, launch]
}
