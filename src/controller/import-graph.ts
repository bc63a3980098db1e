import { resolve, parse } from 'node:path'

/** What is used of esbuild's metafile; esbuild itself is known to bundler.ts alone. Paths are relative to the root of the file system. */
interface BuildRecord {
  inputs: Record<string, { format?: 'esm' | 'cjs'; imports: { path: string; kind: string; external?: boolean; original?: string }[] }>
  outputs: Record<string, { entryPoint?: string; exports: string[] }>
}

export interface ImportGraph {
  /** By file: which file each specifier means. Builtins, and what could not be found inside `try`, are not listed. */
  inputs: Map<string, Map<string, string>>
  /** Names that the entry exports as far as ES modules say; undefined for CommonJS. */
  exports: string[] | undefined
}

/** Reads from the record of a build what imports what. */
export function importGraph(entry: string, record: BuildRecord): ImportGraph {
  const { root } = parse(entry)
  const inputs = new Map<string, Map<string, string>>()
  let exports: string[] | undefined
  for (const [path, input] of Object.entries(record.inputs)) {
    const imports = new Map<string, string>()
    // A file that both imports and requires one name has one `require` when it arrives: the import decides.
    const order = [...input.imports].sort((a, b) => Number(a.kind === 'require-call') - Number(b.kind === 'require-call'))
    for (const { original, path: to, external, kind } of order) {
      if (external || original === undefined || kind === 'require-resolve' || imports.has(original)) continue
      imports.set(original, resolve(root, plainPath(to)))
    }
    const file = resolve(root, plainPath(path))
    inputs.set(file, imports)
    if (file === entry && input.format === 'esm') exports = Object.values(record.outputs).find(({ entryPoint }) => entryPoint !== undefined)?.exports
  }
  return { inputs, exports }
}

/** esbuild names a file twice that is imported with attributes and without. */
function plainPath(path: string): string {
  return path.replace(/ with \{ [^{}]* \}$/, '')
}
