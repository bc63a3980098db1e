import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { CodeGraph } from './code-graph.ts'

// Run from its sources (tests), the project keeps what it built beside them.
const DIST = new URL(import.meta.url.endsWith('.ts') ? '../../dist/' : './', import.meta.url)

let stub: Uint8Array | undefined

/** The compressed stub: the same bytes for every target. */
export function stubImage(): Uint8Array {
  stub ??= readFileSync(new URL('stub.br', DIST))
  return stub
}

const own = new Map<string, CodeGraph>()

/** One of our own modules that run on targets, by its name in src/modules. */
export function ownModule(name: string): CodeGraph {
  let graph = own.get(name)
  if (graph === undefined) {
    const text = readFileSync(new URL(`modules/${name}.js`, DIST), 'utf8')
    const hash = createHash('sha256').update(text).digest('hex')
    const key = `ramet:${hash}`
    graph = { entry: key, exports: undefined, modules: new Map([[key, { key, hash, text, name: `ramet/${name}.js`, file: undefined, imports: [], map: undefined }]]) }
    own.set(name, graph)
  }
  return graph
}

let packageVersion: string | undefined

/** Version of this package. */
export function version(): string {
  packageVersion ??= (JSON.parse(readFileSync(new URL('../package.json', DIST), 'utf8')) as { version: string }).version
  return packageVersion
}
