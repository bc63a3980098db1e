import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
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

/** What our modules require of each other. */
const REQUIRES: Record<string, string[]> = { ssh2: ['parent'], openssh: ['parent'], spawned: ['parent'] }

/** One of our own modules that run on targets, by its name in dist/modules. */
export function ownModule(name: string): CodeGraph {
  let graph = own.get(name)
  if (graph === undefined) {
    const text = readFileSync(new URL(`modules/${name}.js`, DIST), 'utf8')
    const hash = createHash('sha256').update(text).digest('hex')
    const required = (REQUIRES[name] ?? []).map((other) => [other, ownModule(other)] as const)
    const imports = required.map(([other, { entry }]): [string, string] => [`ramet/${other}`, entry])
    const key = ['ramet', hash, ...imports.map(([, entry]) => entry)].join(':')
    const modules = new Map(required.flatMap(([, { modules: inner }]) => [...inner]))
    modules.set(key, { key, hash, text, name: `ramet/${name}.js`, file: undefined, imports, map: undefined })
    graph = { entry: key, exports: undefined, modules }
    own.set(name, graph)
  }
  return graph
}

/** The push that holds these modules of ours, as the build made it; undefined for any other. `hashes`: joined by commas. */
export function readyPack(hashes: string): Uint8Array | undefined {
  const file = new URL(`modules/${createHash('sha256').update(hashes).digest('hex').slice(0, 32)}.pack`, DIST)
  return existsSync(file) ? readFileSync(file) : undefined
}

let packageVersion: string | undefined

/** Version of this package. */
export function version(): string {
  packageVersion ??= (JSON.parse(readFileSync(new URL('../package.json', DIST), 'utf8')) as { version: string }).version
  return packageVersion
}
