import { SourceMap } from 'node:module'
import { parse, resolve } from 'node:path'
import type { CodeGraph, CodeModule } from './code-graph.ts'

/** What a remote frame is traced back with. */
export type Source = Pick<CodeModule, 'map' | 'file'>

/** Finds the module with this text hash (its first 12 hex digits); `name` tells files of equal text apart. */
export type SourceLookup = (hashPrefix: string, name: string) => Source | undefined

// The name is bounded: on a line made to hurt, every start would otherwise look to the line's end.
const FRAME = /ramet:\/([0-9a-f]{12})\/([^\n]{1,256}?):(\d{1,9}):(\d{1,9})(?!\d)/g

/** Lines that stand before an inline function in its module. */
const INLINE_LINES = 1

const parsed = new WeakMap<Source, SourceMap | undefined>()

/**
 * A remote stack with the places of the original files: `ramet:/<hash>/<name>:line:column` becomes `<file>:line:column` here,
 * lines and columns counted from 1. A function given to `call()` has no file: its name stays, lines are those of its own text.
 * What `lookup` does not know is left as it is.
 */
export function remapStack(stack: string, lookup: SourceLookup): string {
  return stack.replace(FRAME, (whole, prefix: string, name: string, line: string, column: string) => {
    const source = lookup(prefix, name)
    if (source === undefined) return whole
    const place = original(source, Number(line), Number(column))
    if (source.file !== undefined) return `${place.file ?? source.file}:${place.line}:${place.column}`
    return `${name}:${Math.max(place.line - INLINE_LINES, 1)}:${place.column}`
  })
}

/** Makes every module of a graph known to a lookup over `index`. Old texts stay: functions of them may still be running. */
export function indexSources(index: Map<string, Source>, graph: CodeGraph): void {
  for (const module of graph.modules.values()) {
    const prefix = module.hash.slice(0, 12)
    index.set(prefix, module)
    index.set(`${prefix}/${module.name}`, module)
  }
}

/** A lookup over what `indexSources` filled. */
export function lookupIn(index: ReadonlyMap<string, Source>): SourceLookup {
  return (prefix, name) => index.get(`${prefix}/${name}`) ?? index.get(prefix)
}

function original(source: Source, line: number, column: number): { file?: string; line: number; column: number } {
  const entry = mapOf(source)?.findEntry(line - 1, column - 1)
  if (entry === undefined || !('originalLine' in entry) || entry.originalSource === undefined) return { line, column }
  const place = { line: entry.originalLine + 1, column: entry.originalColumn + 1 }
  // A map may lead to files that a package was built from, wherever they were.
  if (source.file === undefined) return place
  const from = entry.originalSource
  return { ...place, file: /^[a-z]{2,}:/i.test(from) ? from : resolve(parse(source.file).root, from) }
}

function mapOf(source: Source): SourceMap | undefined {
  if (parsed.has(source)) return parsed.get(source)
  let map: SourceMap | undefined
  try {
    map = source.map === undefined ? undefined : new SourceMap(JSON.parse(source.map) as ConstructorParameters<typeof SourceMap>[0])
  } catch {
    // A package's own broken map must not hide the error whose stack this is.
  }
  parsed.set(source, map)
  return map
}
