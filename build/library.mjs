import { chmod, readFile, readdir, rm, writeFile } from 'node:fs/promises'
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

/** The library, the command, `ramet/remote` and the server of `ramet bench` without a host, in dist/ or (for tests) in another directory. What is heavy is imported dynamically in the source and so becomes a chunk of its own. */
export async function buildLibrary(into = dist) {
  // Chunks are named by their content: those of an earlier build would be packed too.
  for (const name of await readdir(into).catch(() => [])) {
    if (name.endsWith('.js') && name !== 'stub.js') await rm(into + name)
  }
  const result = await build({
    ...common,
    entryPoints: { index: source + 'controller/index.ts', cli: source + 'cli/main.ts', remote: source + 'remote.ts', 'embedded-server': source + 'cli/bench/embedded-server.ts' },
    outdir: into,
    external,
    banner,
  })
  const { splitting: _, ...whole } = common
  const keyFiles = await build({ ...whole, format: 'cjs', plugins: [], entryPoints: { 'bcrypt-pbkdf': 'bcrypt-pbkdf' }, outdir: into, outExtension: { '.js': '.cjs' } })
  const cli = await readFile(into + 'cli.js', 'utf8')
  if (!cli.startsWith('#!')) await writeFile(into + 'cli.js', `#!/usr/bin/env node\n${cli}`)
  await chmod(into + 'cli.js', 0o755)
  return {
    inputs: [result, keyFiles].flatMap(({ metafile }) => Object.keys(metafile.inputs)),
    outputs: Object.entries(result.metafile.outputs).map(([file, output]) => ({ file, bytes: output.bytes })),
  }
}
