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
