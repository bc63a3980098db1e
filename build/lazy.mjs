import { constants } from 'node:zlib'

const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN } = constants

/**
 * What the stub uses of those modules of Node's that its Worker does without. They are loaded when they are first used:
 * at its start they would take as long as the whole rest of the Worker's own program.
 */
const used = {
  'node:crypto': ['export const createHash = (name) => require("crypto").createHash(name)'],
  'node:net': ['export const Socket = function (options) { return new (require("net").Socket)(options) }'],
  'node:zlib': [
    'export const brotliDecompressSync = (bytes, options) => require("zlib").brotliDecompressSync(bytes, options)',
    'export const brotliCompressSync = (bytes, options) => require("zlib").brotliCompressSync(bytes, options)',
    `export const constants = ${JSON.stringify({ BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN })}`,
  ],
}

export const lazyModules = {
  name: 'lazy-modules',
  setup(build) {
    build.onResolve({ filter: /^node:(crypto|net|zlib)$/ }, ({ path }) => ({ path, namespace: 'lazy', sideEffects: false }))
    build.onLoad({ filter: /.*/, namespace: 'lazy' }, ({ path }) => ({ contents: used[path].join('\n') }))
  },
}
