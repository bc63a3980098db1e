import { utimesSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { setImmediate as turn } from 'node:timers/promises'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { Bundler } from '../../src/controller/bundler.ts'
import { sentFiles } from '../../src/controller/code-graph.ts'
import type { CodeGraph } from '../../src/controller/code-graph.ts'
import { byName, evaluate, exported, project } from './project.ts'
import type { Project } from './project.ts'

const bundler = new Bundler()
afterAll(() => bundler.close())

const opened: Project[] = []
afterEach(() => {
  for (const made of opened.splice(0)) made.remove()
})

function open(files: Record<string, string | Uint8Array>): Project {
  const made = project(files)
  opened.push(made)
  return made
}

function names(graph: CodeGraph): string[] {
  return [...byName(graph).keys()].sort()
}

/** Names of the modules whose keys differ between two graphs of the same files. */
function changedKeys(before: CodeGraph, after: CodeGraph): string[] {
  const old = byName(before)
  return [...byName(after)].filter(([name, { key }]) => old.get(name)?.key !== key).map(([name]) => name).sort()
}

const ES_MARKED = 'Object.defineProperty(exports,"__esModule",{value:true});exports.default=()=>"default";exports.named="named"'
const PACKAGES = {
  'node_modules/plain/package.json': '{"name":"plain","main":"main"}',
  'node_modules/plain/main.js': 'module.exports=function plain(){return "plain"};module.exports.named=require("./part").part',
  'node_modules/plain/part.js': 'exports.part="part"',
  'node_modules/marked/package.json': '{"name":"marked","main":"index.js"}',
  'node_modules/marked/index.js': ES_MARKED,
  'node_modules/modern/package.json': '{"name":"modern","type":"module","exports":{"import":"./esm.js","require":"./cjs.cjs"},"sideEffects":false}',
  'node_modules/modern/esm.js': 'import "./effect.js"; export default "modern"; export * from "./star.js"; export let count=0; export function add(){count++}',
  'node_modules/modern/effect.js': 'globalThis.__rametEffect=(globalThis.__rametEffect??0)+1',
  'node_modules/modern/star.js': 'export const star="star"',
  'node_modules/modern/cjs.cjs': 'module.exports="required"',
}

interface Case {
  title: string
  files: Record<string, string | Uint8Array>
  /** What the entry's `run` gives. */
  value: unknown
  names?: string[]
}

const cases: Case[] = [
  { title: 'one file with a default export', files: { 'src/a.ts': 'export default 1; export const run = (): number => 2' }, value: 2, names: ['src/a.ts'] },
  { title: 'TypeScript behind a .js specifier, and index files',
    files: { 'src/a.ts': 'import { b } from "./b.js"; import { c } from "./c/index.js"; export const run = () => [b, c]', 'src/b.ts': 'export const b: string = "b"', 'src/c/index.tsx': 'export const c = 3' },
    value: ['b', 3], names: ['src/a.ts', 'src/b.ts', 'src/c/index.tsx'] },
  { title: 'type-only imports, which are not sent',
    files: { 'src/a.ts': 'import type { T } from "./t.ts"; import { type U, V } from "./u.ts"; export const run = (x: T | U | V = 1) => x', 'src/t.ts': 'export type T = 1', 'src/u.ts': 'export type U = 1; export interface V {}; throw 1' },
    value: 1, names: ['src/a.ts'] },
  { title: 'enums, const enums and namespaces',
    files: { 'src/a.ts': 'import { E, F, N } from "./e.ts"; export const run = () => [E.B, F.B, N.x]', 'src/e.ts': 'export enum E { A, B } export const enum F { A = 5, B } export namespace N { export const x = 7 }' },
    value: [1, 6, 7] },
  { title: 'decorators of both kinds',
    files: { 'src/a.ts': 'const log: string[] = []; function d(v: unknown, c: { name: string }) { log.push(c.name) } class A { @d m() {} } export const run = () => [log, typeof A]' },
    value: [['m'], 'function'] },
  { title: 'experimental decorators where tsconfig says so',
    files: { 'tsconfig.json': '{"compilerOptions":{"experimentalDecorators":true}}', 'src/a.ts': 'const log: string[] = []; function d(t: object, k: string) { log.push(k) } class A { @d m() {} } export const run = () => [log, typeof A]' },
    value: [['m'], 'function'] },
  { title: 'a cycle of ES modules with hoisted functions and live bindings',
    files: { 'src/a.ts': 'import { b, seen } from "./b.ts"; export let n = 1; export function a() { return n } export const run = () => { n = 5; return [b(), seen] }', 'src/b.ts': 'import { a, n } from "./a.ts"; export const seen = typeof a; export const b = () => [a(), n]' },
    value: [[5, 5], 'function'] },
  { title: 'a cycle of CommonJS modules in a package',
    files: { 'src/a.ts': 'import c from "cyc"; export const run = () => c.b.b()', 'node_modules/cyc/package.json': '{}', 'node_modules/cyc/index.js': 'exports.a=1;exports.b=require("./b")', 'node_modules/cyc/b.js': 'const i=require("./index");exports.b=()=>i.a' },
    value: 1 },
  { title: 'CommonJS imported by Node\'s rules from a package of type module',
    files: { ...PACKAGES, 'src/a.ts': 'import plain, { named } from "plain"; import marked, { named as two } from "marked"; import * as all from "marked"; export const run = () => [plain(), named, typeof marked, (marked as any).default(), two, typeof (all as any).default.default]' },
    value: ['plain', 'part', 'object', 'default', 'named', 'function'], names: ['node_modules/marked/index.js', 'node_modules/plain/main.js', 'node_modules/plain/part.js', 'src/a.ts'] },
  { title: 'CommonJS imported as bundlers do where the package has no type',
    files: { ...PACKAGES, 'package.json': '{}', 'src/a.ts': 'import plain from "plain"; import marked from "marked"; export const run = () => [plain(), (marked as any)()]' },
    value: ['plain', 'default'] },
  { title: 'an ES package: default, namespace, star and live bindings, side effects kept',
    files: { ...PACKAGES, 'src/a.ts': 'import d, { star, count, add } from "modern"; import * as ns from "modern"; export const run = () => { add(); return [d, star, count, ns.default, ns.count, Object.keys(ns).sort()] }' },
    value: ['modern', 'star', 1, 'modern', 1, ['add', 'count', 'default', 'star']], names: ['node_modules/modern/effect.js', 'node_modules/modern/esm.js', 'node_modules/modern/star.js', 'src/a.ts'] },
  { title: 'an ES module imported from .mts by default and lazily',
    files: { 'package.json': '{}', 'src/a.mts': 'import d from "./d.mjs"; export const run = async () => [d, (await import("./d.mjs")).default, Object.keys(await import("./c.cjs"))]', 'src/d.mts': 'export default "d"', 'src/c.cts': 'exports.x = 1' },
    value: ['d', 'd', ['default', 'x']] },
  { title: 'a dynamic import of a file, run only when it is asked for',
    files: { 'src/a.ts': 'const g = globalThis as any; g.__lazy = 0; export const run = async () => { const before = g.__lazy; const m = await import("./lazy.ts"); return [before, g.__lazy, m.x] }', 'src/lazy.ts': '(globalThis as any).__lazy++; export const x = "x"' },
    value: [0, 1, 'x'], names: ['src/a.ts', 'src/lazy.ts'] },
  { title: 'dynamic imports of builtins, by literal and by name',
    files: { 'src/a.ts': 'export const run = async (n = "node:path") => [(await import("node:os")).EOL, (await import(n)).sep, (await import(n)).default.sep]' },
    value: ['\n', '/', '/'] },
  { title: 'JSON, with __proto__ as the key it is', files: { 'src/a.ts': 'import j from "./d.json" with { type: "json" }; import { v } from "./d.json"; export const run = () => [v, Object.keys(j), JSON.stringify(j)]', 'src/d.json': '\uFEFF{ "v": 1, "__proto__": { "x": 2 } }' },
    value: [1, ['v', '__proto__'], '{"v":1,"__proto__":{"x":2}}'] },
  { title: 'wasm and text as modules',
    files: { 'src/a.ts': 'import w from "./m.wasm"; import t from "./t.txt"; export const run = () => [w instanceof Uint8Array, WebAssembly.validate(w as any), (w as any).buffer.byteLength, t]', 'src/m.wasm': new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]), 'src/t.txt': 'tëxt\n' },
    value: [true, true, 8, 'tëxt\n'] },
  { title: 'import.meta beside declarations of __dirname and __filename',
    files: { 'src/a.ts': 'import { createRequire } from "node:module"; const __dirname = import.meta.dirname; const __filename = import.meta.filename; const module = 1; const require = createRequire("/"); export const run = () => [typeof import.meta.url, /^ramet:/.test(import.meta.url), __filename === import.meta.filename, typeof __dirname, module, require("path").sep]' },
    value: ['string', true, true, 'string', 1, '/'] },
  { title: 'ES modules in strict mode, CommonJS as it was',
    files: { 'src/a.ts': 'import c from "./c.cjs"; function f(this: unknown) { return this } export const run = () => [f() === undefined, c()]', 'src/c.cjs': '#!/usr/bin/env node\nmodule.exports=function(){return (function(){return this})()===globalThis}' },
    value: [true, true] },
  { title: 'the remote side of ramet, provided there', files: { 'src/a.ts': 'import { current } from "ramet/remote"; export const run = () => current' }, value: 'here', names: ['src/a.ts'] },
  { title: 'an optional dependency that is not installed, and an optional native addon',
    files: { 'src/a.ts': 'import c from "./c.cjs"; export const run = () => c', 'src/c.cjs': 'let a="none",b="none";try{a=require("absent-package")}catch(e){a=e.code}try{b=require("./x.node")}catch(e){b=e.code}module.exports=[a,b]', 'src/x.node': '' },
    value: ['MODULE_NOT_FOUND', 'MODULE_NOT_FOUND'], names: ['src/a.ts', 'src/c.cjs'] },
  { title: 'an optional dependency that an import() asks for',
    files: { 'src/a.ts': 'export const run = async (n = "absent-package") => { try { await import(n) } catch (e) { return e.code } }' },
    value: 'ERR_MODULE_NOT_FOUND', names: ['src/a.ts'] },
  { title: 'an optional package that needs a native addon, as ssh2 has',
    files: { 'src/a.ts': 'import c from "./c.cjs"; export const run = () => c', 'src/c.cjs': 'try{module.exports=require("fast")()}catch(e){module.exports=e.code}', 'node_modules/fast/package.json': '{}', 'node_modules/fast/index.js': 'const b=require("./deep");module.exports=()=>b', 'node_modules/fast/deep.js': 'module.exports=require("./x.node")', 'node_modules/fast/x.node': '' },
    value: 'MODULE_NOT_FOUND', names: ['src/a.ts', 'src/c.cjs'] },
  { title: 'new syntax lowered to what Node 12 knows',
    files: { 'src/a.ts': 'class A { #p = 1; static s = 2n; static { A.s = 3n } #m() { return this.#p } has(o: object) { return #p in o ? this.#m() : 0 } } export const run = (o?: { b?: { c?: number } }) => { let x = o?.b?.c ?? 1; x ||= 2; return [x, new A().has(new A()), Number(A.s)] }' },
    value: [1, 1, 3] },
  { title: 'imports through the names of package.json and tsconfig',
    files: { 'package.json': '{"type":"module","imports":{"#int":"./src/i.ts"}}', 'tsconfig.json': '{"compilerOptions":{"paths":{"@/*":["./src/*"]}}}', 'src/a.ts': 'import { i } from "#int"; import { k } from "@/k"; export const run = () => [i, k]', 'src/i.ts': 'export const i = 1', 'src/k.ts': 'export const k = 2' },
    value: [1, 2] },
  { title: 'a .js and an .mjs of the same name', files: { 'src/a.ts': 'import { x } from "./x.mjs"; import { x as y } from "./x.js"; export const run = () => [x, y]', 'src/x.mjs': 'export const x = "mjs"', 'src/x.js': 'export const x = "js"' }, value: ['mjs', 'js'] },
]

describe('a graph runs where it is sent', () => {
  for (const { title, files, value, names: sent } of cases) {
    test(title, async () => {
      const made = open(files)
      const graph = await bundler.load(made.path(files['src/a.mts'] === undefined ? 'src/a.ts' : 'src/a.mts'))
      expect(await exported(graph, 'run')()).toEqual(value)
      if (sent !== undefined) expect(names(graph)).toEqual(sent)
      for (const { text } of graph.modules.values()) expect(text).not.toContain(made.path(''))
    })
  }
})

describe('what is exported is known before anything is sent', () => {
  test.each<[string, Record<string, string>, string[] | undefined]>([
    ['names of an ES module', { 'a.ts': 'export const b = 1; export default 2; export type T = 1; export * from "./c.ts"', 'c.ts': 'export const c = 1' }, ['b', 'c', 'default']],
    ['nothing of CommonJS', { 'package.json': '{}', 'a.ts': 'module.exports = { x: 1 }' }, undefined],
    ['nothing where a builtin is passed on', { 'a.ts': 'export * from "node:os"; export const b = 1' }, undefined],
    ['nothing where CommonJS is passed on below', { 'a.ts': 'export * from "./c.ts"', 'c.ts': 'export * from "./d.cjs"', 'd.cjs': 'exports.d = 1' }, undefined],
  ])('%s', async (_title, files, exports) => {
    expect((await bundler.load(open(files).path('a.ts'))).exports?.toSorted()).toEqual(exports)
  })
})

describe('what cannot be sent is refused before anything is sent', () => {
  const refusals: [title: string, files: Record<string, string>, code: string, message: RegExp, hint: RegExp][] = [
    ['a syntax error, at its line and character', { 'a.ts': 'import "./b.ts"', 'b.ts': 'export const x = 1\nexport const ä = "ö", y = = 3' }, 'module-failed', /\/b\.ts:2:27: Unexpected "="$/, /Correct/],
    ['top-level await, at its line', { 'a.ts': 'import "./b.ts"', 'b.ts': 'export {}\n  const x = await 1' }, 'module-failed', /\/b\.ts:2:13: top-level await/, /Await inside/],
    ['a file that is missing', { 'a.ts': 'import x from "./nope.ts"; export default x' }, 'module-not-found', /\/a\.ts:1:15: cannot find "\.\/nope\.ts"/, /Check the path/],
    ['a package that is not installed', { 'a.ts': 'import x from "@no/such/part"; export default x' }, 'module-not-found', /cannot find "@no\/such\/part"/, /npm install @no\/such\)/],
    ['a native addon', { 'a.ts': 'import x from "./c.cjs"; export default x', 'c.cjs': 'module.exports=require("./x.node")', 'x.node': '' }, 'module-failed', /c\.cjs needs the native addon .*x\.node/, /wasm/],
    ['a file that is no code', { 'a.ts': 'import x from "./x.parquet"; export default x', 'x.parquet': '' }, 'module-failed', /\/a\.ts:1:15: x\.parquet is no code/, /argument/],
    ['JSON that is none', { 'a.ts': 'import x from "./x.json"; export default x', 'x.json': '{ "a": }' }, 'module-failed', /\/x\.json:1:8: /, /Correct/],
    ['a file of environment variables', { 'a.ts': 'import x from "./.env.local"; export default x', '.env.local': 'TOKEN=hunter2' }, 'module-denied', /\/a\.ts:1:15: .*\/\.env\.local may not be sent: it matches \*\*\/\.env\*/, /argument/],
    ['a secret in JSON, in any letter case', { 'a.ts': 'export { default } from "./mySecrets.json"', 'mySecrets.json': '{"token":"hunter2"}' }, 'module-denied', /mySecrets\.json may not be sent: it matches \*\*\/\*secret\*/, /argument/],
    ['a private key', { 'a.ts': 'import k from "./server.pem"; export default k', 'server.pem': 'hunter2' }, 'module-denied', /server\.pem .*\*\*\/\*\.pem/, /argument/],
    ['ramet itself', { 'a.ts': 'import { Controller } from "ramet"; export const run = () => new Controller()' }, 'module-failed', /\/a\.ts:1:28: 'ramet' stays on the controller/, /Correct/],
    ['a secret file as the entry itself', { 'a.ts': '', 'secret.ts': 'export const x = "hunter2"' }, 'module-denied', /secret\.ts/, /argument/],
  ]
  test.each(refusals)('%s', async (_title, files, code, message, hint) => {
    const made = open(files)
    const error = await bundler.load(made.path(files['secret.ts'] === undefined ? 'a.ts' : 'secret.ts')).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ name: 'RametError', code, outcome: 'not-sent', message: expect.stringMatching(message), hint: expect.stringMatching(hint) })
    expect(String((error as Error).message)).not.toContain('hunter2')
  })

  test('an entry that does not exist is named in full', async () => {
    const made = open({})
    await expect(bundler.load('./tasks.ts', made.path(''))).rejects.toMatchObject({ code: 'module-not-found', message: expect.stringContaining(made.path('tasks.ts')) })
    await expect(bundler.load(new URL('https://example.net/a.js'))).rejects.toMatchObject({ code: 'module-not-found', hint: expect.stringContaining('import.meta.url') })
  })

  test('a file that was corrected loads', async () => {
    const made = open({ 'a.ts': 'export const run = () => = 1' })
    await expect(bundler.load(made.path('a.ts'))).rejects.toMatchObject({ code: 'module-failed' })
    await made.write('a.ts', 'export const run = () => 1')
    expect(exported(await bundler.load(made.path('a.ts')), 'run')()).toBe(1)
  })

  test('more code than the limit is refused with both figures', async () => {
    const made = open({ 'a.ts': `export const x = ${JSON.stringify('x'.repeat(2000))}` })
    const small = new Bundler({ limit: 1000 })
    await expect(small.load(made.path('a.ts'))).rejects.toMatchObject({ code: 'module-failed', message: expect.stringMatching(/2\d\d\d bytes in 1 files, the limit is 1000/) })
    await small.close()
  })

  test('deny patterns can be given, and installed packages may be called what they like', async () => {
    const made = open({ 'src/a.ts': 'import "client-secrets"; import "./b.ts"', 'src/b.ts': '', 'node_modules/client-secrets/package.json': '{}', 'node_modules/client-secrets/index.js': 'require("./secret-box")', 'node_modules/client-secrets/secret-box.js': '' })
    expect(names(await bundler.load(made.path('src/a.ts')))).toContain('node_modules/client-secrets/secret-box.js')
    const strict = new Bundler({ deny: ['src/b.*'] })
    expect((await strict.load(made.path('src/a.ts'))).modules.size).toBe(4)
    await strict.close()
    const other = new Bundler({ deny: ['**/src/b.*'] })
    await expect(other.load(made.path('src/a.ts'))).rejects.toMatchObject({ code: 'module-denied', message: expect.stringContaining('**/src/b.*') })
    await other.close()
  })
})

describe('keys', () => {
  const files = {
    'src/one.ts': 'import { s } from "./shared.ts"; import { o } from "./only.ts"; export const run = () => [s, o]',
    'src/two.ts': 'import { s } from "./shared.ts"; import { c } from "./c1.ts"; export const run = () => [s, c()]',
    'src/shared.ts': 'import { deep } from "./deep.ts"; export const s = deep',
    'src/deep.ts': 'export const deep = { n: 1 }',
    'src/only.ts': 'export const o = 1',
    'src/c1.ts': 'import { d } from "./c2.ts"; export const c = (): unknown => d',
    'src/c2.ts': 'import { c } from "./c1.ts"; export const d = typeof c',
  }

  test('two entries that share modules agree on their keys', async () => {
    const made = open(files)
    const one = byName(await bundler.load(made.path('src/one.ts')))
    const two = byName(await bundler.load(made.path('src/two.ts')))
    expect(one.get('src/shared.ts')?.key).toBe(two.get('src/shared.ts')?.key)
    expect(one.get('src/deep.ts')?.key).toBe(two.get('src/deep.ts')?.key)
  })

  test('a cycle has the same keys whichever of its modules is the entry', async () => {
    const made = open(files)
    const first = byName(await bundler.load(made.path('src/c1.ts')))
    const second = byName(await bundler.load(made.path('src/c2.ts')))
    expect(first.get('src/c1.ts')?.key).toBe(second.get('src/c1.ts')?.key)
    expect(first.get('src/c2.ts')?.key).toBe(second.get('src/c2.ts')?.key)
    expect(first.get('src/c1.ts')?.key).not.toBe(first.get('src/c2.ts')?.key)
  })

  test.each<[edited: string, entry: string, changed: string[]]>([
    ['src/deep.ts', 'src/one.ts', ['src/deep.ts', 'src/one.ts', 'src/shared.ts']],
    ['src/only.ts', 'src/one.ts', ['src/one.ts', 'src/only.ts']],
    ['src/one.ts', 'src/one.ts', ['src/one.ts']],
    ['src/c2.ts', 'src/two.ts', ['src/c1.ts', 'src/c2.ts', 'src/two.ts']],
  ])('an edit of %s changes its key and those of its importers, and no other', async (edited, entry, changed) => {
    const made = open(files)
    const before = await bundler.load(made.path(entry))
    await made.write(edited, `${files[edited as keyof typeof files]};export const added = 1`)
    const after = await bundler.load(made.path(entry))
    expect(changedKeys(before, after)).toEqual(changed)
  })

  test('two checkouts of the same files have equal keys and texts', async () => {
    const [a, b] = [open(files), open(files)]
    const one = await bundler.load(a.path('src/two.ts'))
    const two = await bundler.load(b.path('src/two.ts'))
    expect([...two.modules.keys()]).toEqual([...one.modules.keys()])
  })

  test('two files of equal text are two modules, as in Node', async () => {
    const made = open({ 'src/a.ts': 'import { s } from "./x.ts"; import { s as t } from "./y.ts"; export const run = () => s === t', 'src/x.ts': 'export const s = {}', 'src/y.ts': 'export const s = {}' })
    expect(exported(await bundler.load(made.path('src/a.ts')), 'run')()).toBe(false)
  })

  test('dependencies come before what imports them', async () => {
    const graph = await bundler.load(open(files).path('src/one.ts'))
    const seen = new Set<string>()
    for (const { key, imports } of graph.modules.values()) {
      for (const [, imported] of imports) expect(seen).toContain(imported)
      seen.add(key)
    }
    expect([...graph.modules.keys()].at(-1)).toBe(graph.entry)
  })

  test('the files that would be sent are listed with the bytes of their text', async () => {
    const made = open(files)
    const graph = await bundler.load(made.path('src/one.ts'))
    const sent = sentFiles(graph)
    expect(sent.map(({ file }) => file).sort()).toEqual(['src/deep.ts', 'src/one.ts', 'src/only.ts', 'src/shared.ts'].map((name) => made.path(name)).sort())
    for (const { file, bytes, hash } of sent) {
      const module = [...graph.modules.values()].find((found) => found.file === file)
      expect({ bytes, hash }).toEqual({ bytes: Buffer.byteLength(module?.text ?? ''), hash: module?.hash })
    }
  })
})

describe('loading again', () => {
  test('the same graph comes back until a file of it changes, and an edit is noticed at the next load', async () => {
    const made = open({ 'a.ts': 'import { b } from "./b.ts"; export const run = () => b', 'b.ts': 'export const b = 1' })
    const far = Date.now() + 60_000
    const later = new Bundler({ wallClock: () => far })
    const first = await later.load(made.path('a.ts'))
    await turn()
    expect(await later.load(made.path('a.ts'))).toBe(first)
    await made.write('b.ts', 'export const b = 2')
    const second = await later.load(made.path('a.ts'))
    expect(exported(second, 'run')()).toBe(2)
    expect(exported(first, 'run')()).toBe(1)
    await later.close()
  })

  test('a file whose times do not tell two edits apart is read again', async () => {
    const made = open({ 'a.ts': 'export const run = () => 1' })
    const time = new Date(Date.now() + 1000)
    utimesSync(made.path('a.ts'), time, time)
    expect(exported(await bundler.load(made.path('a.ts')), 'run')()).toBe(1)
    await made.write('a.ts', 'export const run = () => 2')
    utimesSync(made.path('a.ts'), time, time)
    expect(exported(await bundler.load(made.path('a.ts')), 'run')()).toBe(2)
  })

  test('loads of one turn share their check', async () => {
    const made = open({ 'a.ts': 'export const run = () => 1' })
    const graphs = await Promise.all([bundler.load(made.path('a.ts')), bundler.load(pathToFileURL(made.path('a.ts'))), bundler.load('./a.ts', pathToFileURL(made.path('main.ts')))])
    expect(graphs[1]).toBe(graphs[0])
    expect(graphs[2]).toBe(graphs[0])
  })

  test('a load during a build sees an edit made after the build began', async () => {
    const made = open({ 'a.ts': 'export const run = () => 1' })
    const first = bundler.load(made.path('a.ts'))
    await turn()
    await made.write('a.ts', 'export const run = () => 2')
    const second = bundler.load(made.path('a.ts'))
    await first
    expect(exported(await second, 'run')()).toBe(2)
  })

  test('a change of tsconfig.json or package.json is noticed', async () => {
    const made = open({ 'package.json': '{}', 'a.ts': 'import c from "./c.cjs"; export const run = () => typeof c', 'c.cjs': 'Object.defineProperty(exports,"__esModule",{value:true});exports.default=()=>1' })
    expect(exported(await bundler.load(made.path('a.ts')), 'run')()).toBe('function')
    await made.write('package.json', '{"type":"module"}')
    expect(exported(await bundler.load(made.path('a.ts')), 'run')()).toBe('object')
  })

  test('a .js entry means the .ts file where only that exists, and the other way round', async () => {
    const made = open({ 'a.ts': 'export const run = () => "ts"', 'b.js': 'export const run = () => "js"' })
    expect(exported(await bundler.load(made.path('a.js')), 'run')()).toBe('ts')
    expect(exported(await bundler.load(made.path('b.ts')), 'run')()).toBe('js')
  })
})

describe('closing', () => {
  test('twice is harmless, and a load afterwards says that it is closed', async () => {
    const own = new Bundler()
    const made = open({ 'a.ts': 'export const run = () => 1' })
    await own.load(made.path('a.ts'))
    await own.close()
    await own.close()
    expect(own.state).toBe('closed')
    await expect(own.load(made.path('a.ts'))).rejects.toMatchObject({ code: 'closed', outcome: 'not-sent' })
  })

  test('the last one ends what it is loading as closed, though esbuild is stopped and says nothing any more', async () => {
    // A module of its own: for this one the other bundlers of this file keep esbuild running.
    vi.resetModules()
    const { Bundler: Alone } = await import('../../src/controller/bundler.ts')
    const own = new Alone()
    const made = open({ 'a.ts': 'export const run = () => 1', 'b.ts': 'export const run = () => 2' })
    await own.load(made.path('a.ts'))
    const loading = own.load(made.path('b.ts')).then(() => 'loaded', (error: unknown) => (error as { code?: string }).code)
    const behind = turn().then(() => own.load(made.path('b.ts'))).then(() => 'loaded', (error: unknown) => (error as { code?: string }).code)
    await turn()
    await own.close()
    expect(await Promise.all([loading, behind])).toEqual(['closed', 'closed'])
  })

  test('while a load is under way ends it as closed', async () => {
    const own = new Bundler()
    const pending = own.load(open({ 'a.ts': 'export const run = () => 1' }).path('a.ts'))
    const outcome = pending.then(() => 'loaded', (error: unknown) => (error as { code?: string }).code)
    await own.close()
    expect(await outcome).toBe('closed')
    expect(() => own.inline('() => 1', 'call')).toThrow(expect.objectContaining({ code: 'closed' }))
  })

  test('one bundler that closes leaves another one working', async () => {
    const [one, two] = [new Bundler(), new Bundler()]
    const made = open({ 'a.ts': 'export const run = () => 1' })
    await one.load(made.path('a.ts'))
    const pending = two.load(made.path('a.ts'))
    await one.close()
    expect(evaluate(await pending)).toHaveProperty('run')
    await two.close()
  })
})
