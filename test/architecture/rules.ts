import { posix } from 'node:path'
import { scan, type Import } from './scan.ts'

/** Path below src/ → text. */
export type Tree = ReadonlyMap<string, string>

/** Which layers each layer may import; types count too. A layer may always import itself. */
const LAYERS: Record<string, readonly string[]> = {
  base: [],
  router: ['base'],
  connect: ['base', 'router'],
  'remote-stub': ['base', 'router', 'connect'],
  controller: ['base', 'router', 'connect'],
  inventory: ['base', 'router', 'connect', 'controller'],
  run: ['base', 'router', 'connect', 'controller', 'inventory'],
  daemon: ['base', 'router', 'connect', 'controller', 'inventory', 'run'],
  cli: ['base', 'router', 'connect', 'controller', 'inventory', 'run', 'daemon'],
  // Shipped as code of their own: what they import is copied into them. The numbers both sides of an exec channel share, and types.
  modules: ['base', 'connect'],
  // `ramet/remote`, the file remote.ts.
  remote: ['router'],
}

/** Layers of which every other one may know the types, and nothing else. */
const TYPES_ONLY = ['modules', 'remote']

/** Packages and Node modules that only these files may import. */
const RESERVED: { specifier: RegExp; only: RegExp; why: string }[] = [
  { specifier: /^ssh2(\/|$)/, only: /^connect\/ssh2[^/]*\.ts$/, why: 'only connect/ssh2*.ts knows ssh2' },
  { specifier: /^esbuild$/, only: /^controller\/bundler\.ts$/, why: 'only controller/bundler.ts knows esbuild' },
  { specifier: /^(node:)?(child_process|net|fs)(\/|$)/, only: /^(?!router\/|base\/)/, why: 'the engine opens no process, socket or file' },
  { specifier: /^(?!\.)/, only: /^(?!base\/)/, why: 'base imports nothing at all' },
]

/** Files that a build or a user starts from; everything else must be imported by something. */
const ENTRIES = /^(controller\/index|cli\/(launch|main|bench\/embedded-server)|remote-stub\/(main|parent|hop-(ssh2|openssh|spawned))|remote|modules\/[^/]+)\.ts$/

export const MAX_LINES = 320

/** Every way in which the tree breaks the rules, as sentences. Empty is well. */
export function violations(tree: Tree): string[] {
  const found: string[] = []
  const graph = new Map<string, string[]>()
  for (const [file, text] of tree) {
    const { imports, bare, code } = scan(text)
    const edges: string[] = []
    for (const entry of imports) {
      if (entry.specifier.startsWith('.')) {
        const target = posix.join(posix.dirname(file), entry.specifier)
        if (tree.has(target)) edges.push(target)
        else if (!target.startsWith('../')) found.push(`${file} imports ${target}, which does not exist`)
      }
      found.push(...edgeViolations(file, entry))
    }
    graph.set(file, edges)
    found.push(...textViolations(file, text, code, bare))
  }
  return [...found, ...cycles(graph), ...unreachable(graph)]
}

function layerOf(file: string): string {
  return file.includes('/') ? file.slice(0, file.indexOf('/')) : file.replace(/\.ts$/, '')
}

function edgeViolations(file: string, { specifier, typeOnly }: Import): string[] {
  const from = layerOf(file)
  if (!specifier.startsWith('.')) {
    return RESERVED.filter(rule => rule.specifier.test(specifier) && !rule.only.test(file) && !typeOnly)
      .map(rule => `${file} imports ${specifier}: ${rule.why}`)
  }
  const target = posix.join(posix.dirname(file), specifier)
  // The version, for `ramet --version`: the build copies it in.
  if (target === '../package.json' && file === 'cli/main.ts') return []
  if (target.startsWith('../')) return [`${file} imports ${specifier}, which is outside src`]
  const to = layerOf(target)
  if (!(from in LAYERS)) return [`${file} is in no layer`]
  if (from === to) return []
  if (TYPES_ONLY.includes(to)) return typeOnly ? [] : [`${file} imports ${target}: ${to} gives types only`]
  return LAYERS[from]!.includes(to) ? [] : [`${file} imports ${target}: ${from} must not know ${to}`]
}

function textViolations(file: string, text: string, code: string, bare: string): string[] {
  const found: string[] = []
  const lines = text.split('\n').length - (text.endsWith('\n') ? 1 : 0)
  if (lines > MAX_LINES) found.push(`${file} has ${lines} lines, more than ${MAX_LINES}: it answers more than one question`)
  const lineOf = (offset: number): number => text.slice(0, offset).split('\n').length
  const forbid = (where: string, pattern: RegExp, sentence: string): void => {
    const match = pattern.exec(where)
    if (match !== null) found.push(`${file}:${lineOf(match.index)} ${sentence}`)
  }
  forbid(code, /[^\x00-\x7f]/, 'has a character outside of a comment that is not ASCII')
  forbid(bare, /(?:[:<,|&(=]\s*|\bas\s+|\bextends\s+)any\b(?!\s*[:(.=?])/, 'says any')
  forbid(bare, /(?:^|\n|;|\bexport\s+|\bconst\s+)\s*enum\s+[A-Z]/, 'declares an enum')
  // What is shipped to targets is several bundles, each with a copy of the class.
  forbid(bare, /\binstanceof\s+RametError\b/, 'asks for the class RametError: where several copies of it meet, isRametError tells')
  if (file !== 'remote-stub/main.ts' && !file.startsWith('cli/')) {
    forbid(bare, /\bprocess\s*\.\s*(stdin|stdout|exit)\b/, 'touches process.stdin, stdout or exit: only remote-stub/main.ts and the CLI may')
  }
  return found
}

/** Import cycles, types included: each once, named by the files on it. */
function cycles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const found = new Set<string>()
  const done = new Set<string>()
  const path: string[] = []
  const visit = (file: string): void => {
    const start = path.indexOf(file)
    if (start !== -1) {
      const loop = path.slice(start)
      const first = loop.indexOf([...loop].sort()[0]!)
      found.add(`import cycle: ${[...loop.slice(first), ...loop.slice(0, first), loop[first]!].join(' -> ')}`)
      return
    }
    if (done.has(file)) return
    path.push(file)
    for (const next of graph.get(file) ?? []) visit(next)
    path.pop()
    done.add(file)
  }
  for (const file of graph.keys()) visit(file)
  return [...found]
}

function unreachable(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const reached = new Set([...graph.keys()].filter(file => ENTRIES.test(file)))
  for (const file of reached) for (const next of graph.get(file) ?? []) reached.add(next)
  return [...graph.keys()].filter(file => !reached.has(file) && !file.endsWith('.d.ts')).map(file => `${file} is used by nothing`)
}
