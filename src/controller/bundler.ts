import { existsSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { extname, parse, resolve } from 'node:path'
import type { BuildOptions, Metafile, Plugin } from 'esbuild'
import { deferred } from '../base/deferred.ts'
import { RametError } from '../router/errors.ts'
import { buildError } from './build-error.ts'
import { codeGraph, inlineGraph } from './code-graph.ts'
import type { CodeGraph, ModuleParts } from './code-graph.ts'
import { DATA_FILES, dataModule } from './data-module.ts'
import { DEFAULT_DENY, denyRules } from './deny.ts'
import type { DenyRules } from './deny.ts'
import { entryFile } from './entry-file.ts'
import { configFiles, isUnchanged, stampOf } from './file-stamps.ts'
import { functionModule } from './free-variables.ts'
import { importGraph } from './import-graph.ts'
import type { ImportGraph } from './import-graph.ts'
import { IMPORT_META, codeText, lazyImports, moduleName, printable, starExports, withInterop } from './module-text.ts'
import type { ModuleText } from './module-text.ts'
import { leaveOutAddons } from './native-addons.ts'
import { isSyntaxOf } from './syntax.ts'

export interface BundlerOptions {
  /** Patterns of files that are refused as code, as in .gitignore. Default: DEFAULT_DENY. */
  deny?: readonly string[]
  /** Bytes of text that one graph may have. Default 64 MiB, what a context keeps. */
  limit?: number | undefined
  /** Milliseconds since 1970, for comparison with the times of files. Default: Date.now. */
  wallClock?: () => number
}

type Esbuild = typeof import('esbuild')

/** What the entry's file was made from when it was last loaded. */
interface Loaded {
  graph: CodeGraph
  /** Stamp by path: of each file of the graph and of the configuration files above the entry. */
  stamps: Map<string, string>
}

/** A file written this shortly before (ms) we read it may be written again without a change of its times. */
const RACY = 20
const CLOCKS_APART = 2_000

/** What Node 12 knows of the syntax after ES2019, and what it would do other than we want. */
const SYNTAX: Pick<BuildOptions, 'target' | 'supported'> = {
  target: 'es2019',
  supported: {
    'bigint': true, 'class-field': true, 'class-private-field': true, 'class-static-field': true, 'class-private-static-field': true,
    // import() of a module of the graph must be a require of it, done late.
    'dynamic-import': false,
  },
}

// esbuild's service is one per process, so the last bundler that used it stops it.
const users = new Set<Bundler>()
const requireHere = createRequire(import.meta.url)

/** Turns files and functions into graphs of modules that a target can run. The only place that knows esbuild. */
export class Bundler {
  #state: 'open' | 'closed' = 'open'
  readonly #deny: DenyRules
  readonly #limit: number
  readonly #wallClock: () => number
  readonly #loaded = new Map<string, Loaded>()
  readonly #texts = new Map<string, { stamp: string; text: ModuleText }>()
  readonly #packages = new Map<string, boolean>()
  readonly #inline = new Map<string, CodeGraph>()
  /** Loads begun in this turn of the event loop: further ones of the same entry share their check. */
  readonly #turn = new Map<string, Promise<CodeGraph>>()
  /** What entries as callers write them were found to be. */
  readonly #entries = new Map<string, string>()
  readonly #running = new Map<string, Promise<CodeGraph>>()
  /** Builds under way: esbuild says nothing any more of those that its service was stopped under. */
  readonly #waiting = new Set<(cause: RametError) => void>()

  constructor(options: BundlerOptions = {}) {
    this.#deny = denyRules(options.deny ?? DEFAULT_DENY)
    this.#limit = options.limit ?? 64 * 1024 * 1024
    this.#wallClock = options.wallClock ?? Date.now
  }

  get state(): 'open' | 'closed' {
    return this.#state
  }

  /**
   * The graph of a file and all it imports. The same object as long as no file of it has changed, which is looked up once
   * per turn of the event loop. A relative path is taken from `base` (a file URL or a directory; default: the working directory).
   * Rejects with module-not-found, module-failed, module-denied, or closed.
   */
  async load(entry: URL | string, base?: URL | string): Promise<CodeGraph> {
    this.#refuseClosed()
    const written = base === undefined ? String(entry) : `${String(entry)}\n${String(base)}`
    const shared = this.#turn.get(written)
    if (shared !== undefined) return shared
    const before = this.#entries.get(written)
    // As long as nothing has changed, an entry means what it meant.
    const unchanged = before === undefined ? undefined : this.#unchanged(before)
    const result = unchanged === undefined ? this.#loadFile(written, entryFile(entry, base)) : Promise.resolve(unchanged)
    this.#share(written, result)
    return result
  }

  #loadFile(written: string, file: string): Promise<CodeGraph> {
    this.#entries.set(written, file)
    const shared = this.#turn.get(file)
    if (shared !== undefined) return shared
    // A build under way may have read a file before it was edited: its result has to be looked at again, not shared.
    const running = this.#running.get(file)
    const result = running === undefined ? this.#fresh(file) : running.then(() => this.#fresh(file), () => this.#fresh(file))
    this.#share(file, result)
    return result
  }

  #share(name: string, result: Promise<CodeGraph>): void {
    if (this.#turn.size === 0) setImmediate(() => this.#turn.clear())
    this.#turn.set(name, result)
  }

  /**
   * The graph of a function's own text (`fn.toString()`), its default export; the same object for the same text.
   * Throws captured-variables, function-unsupported, closed.
   */
  inline(functionText: string, name: string): CodeGraph {
    this.#refuseClosed()
    const cached = this.#inline.get(functionText)
    if (cached !== undefined) return cached
    const text = functionModule(functionText, name)
    const lowered = isSyntaxOf(2019, text) ? { code: text } : this.#lower(text, name)
    const graph = inlineGraph(lowered.code, printable(name), lowered.map)
    if (this.#inline.size >= 1000) this.#inline.clear()
    this.#inline.set(functionText, graph)
    return graph
  }

  /** Forgets everything; esbuild's service ends with the last bundler that used it. May be called twice. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#loaded.clear()
    this.#texts.clear()
    this.#inline.clear()
    for (const reject of this.#waiting) reject(closed())
    this.#waiting.clear()
    if (users.delete(this) && users.size === 0) await (requireHere('esbuild') as Esbuild).stop()
  }

  #refuseClosed(): void {
    if (this.#state === 'closed') throw closed()
  }

  #lower(text: string, name: string): { code: string; map?: string } {
    try {
      return this.#esbuild().transformSync(text, { ...SYNTAX, sourcemap: 'external', sourcesContent: false, logLevel: 'silent' })
    } catch (error) {
      throw new RametError('function-unsupported', `${name} cannot be made into code for old versions of Node: ${error instanceof Error ? error.message : String(error)}`,
        { outcome: 'not-sent', hint: 'Move the function to a module and use() it.', cause: error })
    }
  }

  #esbuild(): Esbuild {
    this.#refuseClosed()
    users.add(this)
    return requireHere('esbuild') as Esbuild
  }

  #unchanged(file: string): CodeGraph | undefined {
    const loaded = this.#loaded.get(file)
    return loaded !== undefined && isUnchanged(loaded.stamps) ? loaded.graph : undefined
  }

  #fresh(file: string): Promise<CodeGraph> {
    const unchanged = this.#unchanged(file)
    if (unchanged !== undefined) return Promise.resolve(unchanged)
    this.#refuseClosed()
    const { promise, resolve, reject } = deferred<CodeGraph>()
    this.#running.set(file, promise)
    this.#waiting.add(reject)
    this.#build(file).then(resolve, reject).finally(() => {
      this.#running.delete(file)
      this.#waiting.delete(reject)
    })
    return promise
  }

  async #build(entry: string): Promise<CodeGraph> {
    for (let attempt = 1; ; attempt++) {
      const started = this.#wallClock()
      const { inputs, exports } = await this.#imports(entry)
      const stamps = new Map<string, string>()
      let newest = 0
      let config = ''
      const configs = configFiles(entry)
      for (const file of [...configs, ...inputs.keys()]) {
        const stats = statSync(file, { throwIfNoEntry: false })
        // A clock ahead of ours (a file server's) says nothing of when a file will change again.
        const changed = stats === undefined || stats.ctimeMs > started + CLOCKS_APART ? 0 : stats.ctimeMs
        newest = Math.max(newest, changed)
        // An empty stamp equals none: the file is read again at the next load.
        stamps.set(file, stats === undefined || changed > started - RACY ? '' : stampOf(stats))
      }
      // Edited while we read: imports and texts might be of different versions.
      if (newest >= started && attempt < 3) continue
      for (const file of configs) config += stamps.get(file) || `${started} ${attempt}`
      await this.#transform([...inputs.keys()].filter((file) => extname(file) !== '.node'), stamps, config)
      const graph = this.#assemble(entry, exports, inputs)
      this.#loaded.set(entry, { graph, stamps })
      return graph
    }
  }

  /** What imports what, as far as the entry reaches. */
  async #imports(entry: string): Promise<ImportGraph> {
    const root = parse(entry).root
    const { metafile } = await this.#run(entry, {
      bundle: true, format: 'esm', platform: 'node', target: 'esnext', outdir: root, entryPoints: [{ in: entry, out: 'entry' }],
      external: ['ramet/remote'], ignoreAnnotations: true, plugins: [this.#plugin()],
      loader: { '.node': 'empty', ...Object.fromEntries(Object.entries(DATA_FILES).map(([ext, kind]) => [ext, kind === 'json' ? 'json' : 'empty'])) },
    })
    return importGraph(entry, metafile)
  }

  /** Brings the texts of files up to date whose stamps differ. */
  async #transform(files: string[], stamps: ReadonlyMap<string, string>, config: string): Promise<void> {
    const stampFor = (file: string): string => `${stamps.get(file)}\n${config}`
    const stale = files.filter((file) => stamps.get(file) === '' || this.#texts.get(file)?.stamp !== stampFor(file))
    const code: string[] = []
    for (const file of stale) {
      const kind = DATA_FILES[extname(file)]
      if (kind === undefined) code.push(file)
      else this.#texts.set(file, { stamp: stampFor(file), text: dataModule(file, kind) })
    }
    if (code.length === 0) return
    const root = parse(code[0] as string).root
    const { outputFiles = [], metafile } = await this.#run(code[0] as string, {
      bundle: false, format: 'cjs', platform: 'neutral', ...SYNTAX, define: { 'import.meta': IMPORT_META }, outdir: root,
      sourcemap: 'external', sourcesContent: false, legalComments: 'none', keepNames: false,
      entryPoints: code.map((file, index) => ({ in: file, out: `m${index}` })),
    })
    const output = new Map(outputFiles.map(({ path, text }) => [path, text]))
    for (const [index, file] of code.entries()) {
      const out = resolve(root, `m${index}.js`)
      const format = metafile.inputs[relativeToRoot(file)]?.format ?? 'cjs'
      this.#texts.set(file, { stamp: stampFor(file), text: codeText(output.get(out) ?? '', output.get(`${out}.map`), format) })
    }
  }

  #assemble(entry: string, exports: string[] | undefined, inputs: ReadonlyMap<string, Map<string, string>>): CodeGraph {
    leaveOutAddons(entry, inputs, (file) => this.#texts.get(file)?.text.text ?? '')
    const parts = new Map<string, ModuleParts>()
    let known = exports
    let bytes = 0
    for (const [file, imports] of inputs) {
      const source = this.#texts.get(file)?.text
      if (source === undefined) continue
      const formatOf = (specifier: string): 'esm' | 'cjs' => this.#texts.get(imports.get(specifier) ?? '')?.text.format ?? 'cjs'
      // What `export * from` a CommonJS module or a builtin passes on is known only where it runs.
      if (starExports(source.text).some((specifier) => formatOf(specifier) === 'cjs')) known = undefined
      const text = lazyImports(withInterop(source.text, (specifier) => formatOf(specifier) === 'esm'))
      bytes += Buffer.byteLength(text)
      parts.set(file, { text, name: moduleName(file, (directory) => this.#isPackage(directory)), file, map: source.map, imports: [...imports] })
    }
    if (bytes > this.#limit) {
      throw new RametError('module-failed', `the code of ${entry} is ${bytes} bytes in ${parts.size} files, the limit is ${this.#limit}`,
        { outcome: 'not-sent', hint: 'Import less in the code that runs on targets, or raise limits.code.' })
    }
    return codeGraph(entry, known, parts)
  }

  #isPackage(directory: string): boolean {
    let found = this.#packages.get(directory)
    if (found === undefined) this.#packages.set(directory, found = existsSync(resolve(directory, 'package.json')))
    return found
  }

  #plugin(): Plugin {
    const rules = this.#deny
    return {
      name: 'ramet',
      setup(build) {
        build.onResolve({ filter: /^ramet$/ }, () => ({ errors: [{ text: "'ramet' stays on the controller: code for targets may import 'ramet/remote' alone" }] }))
        // Before esbuild reads the file: its errors quote lines.
        build.onLoad({ filter: rules.filter }, ({ path }) => {
          const pattern = rules.match(path)
          return pattern === undefined ? undefined : { errors: [{ text: path, detail: { denied: path, pattern } }] }
        })
      },
    }
  }

  async #run(entry: string, options: BuildOptions): Promise<{ metafile: Metafile; outputFiles?: { path: string; text: string }[] }> {
    this.#refuseClosed()
    try {
      const { metafile, outputFiles } = await this.#esbuild().build({ ...options, absWorkingDir: parse(entry).root, write: false, metafile: true, logLevel: 'silent' })
      this.#refuseClosed()
      if (metafile === undefined) throw new TypeError('esbuild gave no metafile')
      return { metafile, ...(outputFiles === undefined ? {} : { outputFiles }) }
    } catch (error) {
      // Closing stops esbuild, whatever it was at.
      throw this.#state === 'closed' ? closed() : buildError(error, entry)
    }
  }
}

function closed(): RametError {
  return new RametError('closed', 'the bundler is closed', { outcome: 'not-sent', hint: 'Open a new Controller.' })
}

function relativeToRoot(file: string): string {
  return file.slice(parse(file).root.length).replaceAll('\\', '/')
}
