import { fileURLToPath } from 'node:url'

/** The repository. Everything the build reads is under it, everything it writes is under dist/. */
export const root = fileURLToPath(new URL('../', import.meta.url))
export const source = root + 'src/'
export const dist = root + 'dist/'
