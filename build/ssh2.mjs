/** ssh2 looks for two native addons and does without them when they are missing: they always are. */
export const withoutAddons = {
  name: 'without-addons',
  setup(build) {
    build.onResolve({ filter: /^cpu-features$|\.node$/ }, args => ({ path: args.path, namespace: 'addon' }))
    build.onLoad({ filter: /.*/, namespace: 'addon' }, () => ({ contents: `throw new Error('native addons are not bundled')` }))
  },
}

/** On a hop there are no key files: what decrypts them, a third of the code, stays at home. */
export const withoutKeyFiles = {
  name: 'without-key-files',
  setup(build) {
    build.onResolve({ filter: /^bcrypt-pbkdf$/ }, args => ({ path: args.path, namespace: 'none' }))
    build.onLoad({ filter: /.*/, namespace: 'none' }, () => ({ contents: 'exports.pbkdf = () => -1' }))
  },
}

/** ssh2's wasm loader asks for its directory, and then needs nothing from there. */
export const noDirectory = { __dirname: '"/"', __filename: '"/ramet.js"' }

/**
 * ssh2 fills each packet's padding, 4 to 19 bytes, by a call of the generator that costs as much as encrypting the packet. Here the bytes
 * come from 4 KiB of the same generator's, and no byte is used twice.
 */
const pooledRandom = `
const crypto = require('crypto')
const pool = Buffer.allocUnsafeSlow(4096)
let used = pool.length
module.exports = Object.create(crypto, {
  randomFillSync: {
    value(buffer, offset, size) {
      if (used + size > pool.length) {
        crypto.randomFillSync(pool)
        used = 0
      }
      for (let i = 0; i < size; i++) buffer[offset + i] = pool[used++]
      return buffer
    },
  },
})
`

export const pooledPadding = {
  name: 'pooled-padding',
  setup(build) {
    build.onResolve({ filter: /^crypto$/ }, ({ path, importer }) => /ssh2[\\/]lib[\\/]protocol[\\/]crypto\.js$/.test(importer) ? { path, namespace: 'padding' } : undefined)
    build.onLoad({ filter: /.*/, namespace: 'padding' }, () => ({ contents: pooledRandom }))
  },
}
