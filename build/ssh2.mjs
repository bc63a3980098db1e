import { readFile } from 'node:fs/promises'

/** ssh2 as ramet bundles it, for the controller and for hops. */
export const ssh2Plugins = () => [withoutAddons, pooledPadding, quickStart]

/** ssh2 looks for two native addons and does without them when they are missing: they always are. */
const withoutAddons = {
  name: 'without-addons',
  setup(build) {
    build.onResolve({ filter: /^cpu-features$|\.node$/ }, args => ({ path: args.path, namespace: 'addon' }))
    build.onLoad({ filter: /.*/, namespace: 'addon' }, () => ({ contents: `throw new Error('native addons are not bundled')` }))
  },
}

/** What decrypts key files is a tenth of ssh2 and seldom needed: a file of its own beside the others, see `keyFiles`. */
export const lateKeyFiles = {
  name: 'late-key-files',
  setup(build) {
    build.onResolve({ filter: /^bcrypt-pbkdf$/ }, args => ({ path: args.path, namespace: 'late' }))
    build.onResolve({ filter: /^\.\/bcrypt-pbkdf\.cjs$/ }, args => ({ path: args.path, external: true }))
    build.onLoad({ filter: /.*/, namespace: 'late' }, () => ({ contents: `exports.pbkdf = (...args) => require('./bcrypt-pbkdf.cjs').pbkdf(...args)` }))
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

const pooledPadding = {
  name: 'pooled-padding',
  setup(build) {
    build.onResolve({ filter: /^crypto$/ }, ({ path, importer }) => /ssh2[\\/]lib[\\/]protocol[\\/]crypto\.js$/.test(importer) ? { path, namespace: 'padding' } : undefined)
    build.onLoad({ filter: /.*/, namespace: 'padding' }, () => ({ contents: pooledRandom }))
  },
}

/**
 * ssh2 starts with two things that take a quarter of its start, whether they are needed or not: it makes a signature to see
 * whether Node can (a key pair tells as much), and compiles poly1305 for the one cipher that no server needs that has AES.
 */
const quickStart = {
  name: 'quick-start',
  setup(build) {
    build.onLoad({ filter: /ssh2[\\/]lib[\\/]protocol[\\/]constants\.js$/ }, async ({ path }) => {
      return { contents: replaced(await readFile(path, 'utf8'), /const eddsaSupported = \(\(\) => \{[^]*?\n\}\)\(\);/, () => `const eddsaSupported = ${eddsaSupported}();`, path) }
    })
    build.onLoad({ filter: /ssh2[\\/]lib[\\/]protocol[\\/]crypto[\\/]poly1305\.js$/ }, async ({ path }) => {
      let wasm
      const text = replaced(await readFile(path, 'utf8'), /base64,([A-Za-z0-9+/=]{1000,})/, (_, found) => (wasm = found, 'base64,'), path)
      return { contents: latePoly1305(text, wasm) }
    })
  },
}

const eddsaSupported = `(() => {
  try {
    return crypto.generateKeyPairSync('ed25519').publicKey.asymmetricKeyType === 'ed25519'
  } catch (error) {
    return false
  }
})`

/** What ssh2 asks of its poly1305 at once is answered without it; the module is made by the first packet that has to be authenticated. */
const latePoly1305 = (text, wasm) => `
const factory = { exports: {} }
;(function (module, exports) {${text}})(factory, factory.exports)
let made
function poly1305() {
  if (made === undefined) {
    const instantiateWasm = (imports, done) => {
      done(new WebAssembly.Instance(new WebAssembly.Module(Buffer.from('${wasm}', 'base64')), imports))
      return {}
    }
    made = { instantiateWasm }
    factory.exports(made)
  }
  return made
}
module.exports = () => Promise.resolve({
  // Where the result goes: 16 bytes that the module leaves free, its data begins at 1024.
  _malloc: () => 16,
  get HEAPU8() {
    return poly1305().HEAPU8
  },
  cwrap: (...signature) => {
    let own
    return (...args) => {
      if (own === undefined) own = poly1305().cwrap(...signature)
      return own(...args)
    }
  },
})
`

function replaced(text, pattern, by, path) {
  if (!pattern.test(text)) throw new Error(`${path} is not what the build expects`)
  return text.replace(pattern, by)
}
