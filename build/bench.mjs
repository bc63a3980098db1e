import { build } from 'esbuild'
import { dist, root } from './paths.mjs'

/**
 * The demonstration and the benchmarks, compiled for the Node that runs the build. They use `ramet` as any program does,
 * through the package's exports, and every other package from node_modules.
 */
export async function buildBench(programs) {
  await build({
    absWorkingDir: root,
    entryPoints: programs.map(name => `${root}bench/${name}.ts`),
    outbase: root + 'bench',
    bundle: true,
    outdir: dist + 'bench',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    // The repository's paths would put the library's source in the place of the package.
    tsconfigRaw: {},
    sourcemap: 'inline',
    logLevel: 'warning',
  })
}

/** An example as one file for `node -e`: what somebody would send who has no ramet, made once and ahead of time. */
export async function buildExample(name) {
  await build({
    absWorkingDir: root,
    entryPoints: [`${root}examples/${name}.ts`],
    bundle: true,
    outfile: `${dist}bench/${name}.cjs`,
    format: 'cjs',
    platform: 'node',
    target: 'es2019',
    charset: 'ascii',
    minify: true,
    legalComments: 'none',
    logLevel: 'warning',
  })
}
