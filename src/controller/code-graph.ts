import { createHash } from 'node:crypto'
import type { SentFile } from './api.ts'

/** One file of user code as it is sent. */
export interface CodeModule {
  /** Names the instance, hex SHA-256: over the name, the text and the keys of the imports. */
  key: string
  /** Names the text, hex SHA-256 of its UTF-8. */
  hash: string
  /** Body of `function (exports, require, module, __filename, __dirname)`; names no path of this machine. */
  text: string
  /** Short path for stacks: 'src/tasks.ts', 'node_modules/yaml/index.js'; never absolute. */
  name: string
  /** Absolute path on this machine; undefined for a function that was given to `call()`. */
  file: string | undefined
  /** What `require(specifier)` in the text means; builtins and 'ramet/remote' are not listed. */
  imports: [specifier: string, key: string][]
  /** Source map of the text (JSON), its sources relative to the root of the file system. Stays on this machine. */
  map: string | undefined
}

export interface CodeGraph {
  /** Key of the module whose exports are wanted. */
  entry: string
  /** Names that the entry exports; undefined when they are known only at run time (CommonJS). */
  exports: string[] | undefined
  /** By key; dependencies first where there is no cycle. Only what the entry reaches. */
  modules: Map<string, CodeModule>
}

/** A module before keys are given out; imports are named by the ids of the map it stands in. */
export interface ModuleParts {
  text: string
  name: string
  file: string | undefined
  map: string | undefined
  imports: (readonly [specifier: string, id: string])[]
}

/**
 * Gives every module that `entry` reaches its key. A key depends on nothing but the module and what it imports, so an edit
 * changes the keys of the edited file and of its importers, whatever entry they are reached from.
 */
export function codeGraph(entry: string, exports: string[] | undefined, parts: ReadonlyMap<string, ModuleParts>): CodeGraph {
  const keys = new Map<string, string>()
  const hashes = new Map<string, string>()
  const modules = new Map<string, CodeModule>()
  for (const component of components(entry, parts)) {
    for (const id of component) hashes.set(id, sha256(partsOf(parts, id).text))
    giveKeys(component, parts, hashes, keys)
    for (const id of component) {
      const { text, name, file, map, imports } = partsOf(parts, id)
      const key = keys.get(id) as string
      // The keys of a cycle are all known only now; those of everything below it were known before.
      modules.set(key, { key, hash: hashes.get(id) as string, text, name, file, imports: imports.map(([specifier, to]) => [specifier, keys.get(to) as string]), map })
    }
  }
  return { entry: keys.get(entry) as string, exports, modules }
}

/** The graph of one function that imports nothing of ours. */
export function inlineGraph(text: string, name: string, map?: string): CodeGraph {
  return codeGraph(name, ['default'], new Map([[name, { text, name, file: undefined, map, imports: [] }]]))
}

/** The files that leave this machine when the graph is used. */
export function sentFiles(graph: CodeGraph): SentFile[] {
  const files: SentFile[] = []
  for (const { file, text, hash } of graph.modules.values()) {
    if (file !== undefined) files.push({ file, bytes: Buffer.byteLength(text), hash })
  }
  return files
}

export function sha256(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex')
}

/**
 * Modules that import each other get their keys together: from the members in an order that does not depend on where the
 * walk began, imports inside the cycle by position in that order, imports below it by key.
 */
function giveKeys(component: string[], parts: ReadonlyMap<string, ModuleParts>, hashes: Map<string, string>, keys: Map<string, string>): void {
  const sortable = component.map((id) => ({ id, order: `${partsOf(parts, id).name}\0${hashes.get(id)}\0${id}` }))
  const members = sortable.sort((a, b) => (a.order < b.order ? -1 : 1)).map(({ id }) => id)
  const position = new Map(members.map((id, index) => [id, index]))
  const described = members.map((id) => {
    const { name, imports } = partsOf(parts, id)
    return [name, hashes.get(id), imports.map(([specifier, to]) => [specifier, position.get(to) ?? keys.get(to)])]
  })
  const joint = sha256(JSON.stringify(described))
  for (const [index, id] of members.entries()) keys.set(id, members.length === 1 ? joint : sha256(`${joint} ${index}`))
}

/** Strongly connected components, dependencies first (Tarjan, without recursion: a graph may be deeper than the stack). */
function components(entry: string, parts: ReadonlyMap<string, ModuleParts>): string[][] {
  const found: string[][] = []
  const index = new Map<string, number>()
  const low = new Map<string, number>()
  const open: string[] = []
  const isOpen = new Set<string>()
  const walk: { id: string; next: number }[] = []
  const enter = (id: string): void => {
    index.set(id, index.size)
    low.set(id, index.size - 1)
    open.push(id)
    isOpen.add(id)
    walk.push({ id, next: 0 })
  }
  const lower = (id: string, to: number): void => {
    if (to < (low.get(id) as number)) low.set(id, to)
  }
  enter(entry)
  for (let step = walk.at(-1); step !== undefined; step = walk.at(-1)) {
    const { id } = step
    const edge = partsOf(parts, id).imports[step.next++]
    if (edge !== undefined) {
      const to = edge[1]
      if (!index.has(to)) enter(to)
      else if (isOpen.has(to)) lower(id, index.get(to) as number)
      continue
    }
    walk.pop()
    const parent = walk.at(-1)
    if (parent !== undefined) lower(parent.id, low.get(id) as number)
    if (low.get(id) !== index.get(id)) continue
    const members = open.splice(open.lastIndexOf(id))
    for (const member of members) isOpen.delete(member)
    found.push(members)
  }
  return found
}

function partsOf(parts: ReadonlyMap<string, ModuleParts>, id: string): ModuleParts {
  const found = parts.get(id)
  if (found === undefined) throw new TypeError(`no module ${id} in the graph`)
  return found
}
