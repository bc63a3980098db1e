import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { Bundler } from '../../src/controller/bundler.ts'
import { exported } from './project.ts'
import { functionModule } from '../../src/controller/free-variables.ts'

// What the functions read as in plain Node: vitest rewrites imports in those of its own files.
const texts = JSON.parse(execFileSync(process.execPath, [fileURLToPath(new URL('../fixtures/modules/functions.mjs', import.meta.url))], { encoding: 'utf8' })) as Record<string, string>
const bundler = new Bundler()

function text(name: string): string {
  const found = texts[name]
  if (found === undefined) throw new Error(`no fixture ${name}`)
  return found
}

/** Ships the function's text as call() would, and runs it. */
function run(source: string, ...args: unknown[]): unknown {
  return exported(bundler.inline(source, 'call'), 'default')(...args)
}

function refusal(source: string): unknown {
  try {
    functionModule(source, 'deploy')
  } catch (error) {
    return error
  }
  return undefined
}

async function collect(items: unknown): Promise<unknown[]> {
  const all: unknown[] = []
  for await (const item of items as AsyncIterable<unknown>) all.push(item)
  return all
}

describe('a closed function runs elsewhere', () => {
  test.each<[name: string, args: unknown[], value: unknown]>([
    ['arrow', [1, 2], 3], ['arrowObject', [1], { a: 1 }], ['arrowComment', [1], 1], ['plain', [10], 55], ['async', [1], 1],
    ['patterns', [{ a: 1, b: [undefined, 3], z: 4 }], [1, 1, [3], { z: 4 }, 1]], ['hoisted', [], 'f'], ['shadowed', [1], 3], ['labels', [2], 2],
    ['classes', [], 4], ['nested', [1], [2, 1, 1]], ['requires', ['/a/b'], 'b'], ['imports', ['/a/b'], 'b'], ['remote', [], 'here'],
    ['newer', [{}], [1, undefined, 1000]], ['globals', [], ['function', 'string', 'function', 'undefined']],
    ['method', [1, 2], 3], ['asyncMethod', [1], 1], ['quotedMethod', [1], 1], ['symbolMethod', [1], 1], ['methodNamedLikeAGlobal', [], 'function'],
    ['staticMethod', [2], 4], ['getter', [], 5], ['classGetter', [], 7],
  ])('%s', async (name, args, value) => {
    expect(await run(text(name), ...args)).toEqual(value)
  })

  test.each(['generator', 'asyncGenerator', 'generatorMethod', 'asyncGeneratorMethod'])('%s', async (name) => {
    expect(await collect(run(text(name), 3))).toEqual([0, 1, 2])
  })

  test('what esbuild and vite write into functions is brought along', async () => {
    expect(run('(a) => { const f = /* @__PURE__ */ __name((x) => x + 1, "f"); return f(a) }', 1)).toBe(2)
    expect(await run('async () => (await __vite_ssr_dynamic_import__("node:path")).sep')).toBe('/')
  })

  test('an imported namespace has the names and the default that Node gives it', async () => {
    expect(await run('async () => { const os = await import("os"); return [typeof os.cpus, os.default.EOL, Object.keys(os).includes("default")] }')).toEqual(['function', '\n', true])
  })

  test('equal texts give the same graph', () => {
    expect(bundler.inline(text('arrow'), 'call')).toBe(bundler.inline(text('arrow'), 'call'))
  })
})

describe('a captured variable is named before anything is sent', () => {
  test.each<[name: string, message: string]>([
    ['captures', 'deploy uses what exists only here: captured'],
    ['capturesImport', 'deploy uses what exists only here: readFileSync'],
    ['capturesInDefault', 'deploy uses what exists only here: captured'],
    ['capturesInShorthand', 'deploy uses what exists only here: captured'],
    ['capturesByAssignment', 'deploy uses what exists only here: captures'],
    ['capturesOuterVar', 'deploy uses what exists only here: captured'],
    ['capturesThroughInner', 'deploy uses what exists only here: captured, object'],
    ['capturesInTemplate', 'deploy uses what exists only here: captured'],
    ['capturesClass', 'deploy uses what exists only here: Holder'],
    ['capturesComputedKey', 'deploy uses what exists only here: captured'],
    ['capturesUnderTypeof', 'deploy uses what exists only here: captured'],
    ['capturesThis', 'deploy uses what exists only here: this'],
    ['capturesThisOfObject', 'deploy uses what exists only here: this'],
    ['capturesSuper', 'deploy uses what exists only here: super'],
    ['capturesMeta', 'deploy uses what exists only here: import.meta'],
    ['capturesInnerVar', 'deploy uses what exists only here: inner'],
  ])('%s', (name, message) => {
    expect(refusal(text(name))).toMatchObject({ code: 'captured-variables', outcome: 'not-sent', message, hint: expect.stringContaining('use()') })
  })

  test.each<[title: string, source: string, message: RegExp, hint: RegExp]>([
    ['an import as esbuild writes it', '() => (0, import_node_fs.readFileSync)("x")', /here: import_node_fs\.readFileSync$/, /it may import/],
    ['an import as tsc writes it', '() => (0, node_fs_1.readFileSync)("x")', /here: node_fs_1\.readFileSync$/, /it may import/],
    ['an import as vite writes it', '() => __vite_ssr_import_3__.default.x', /here: an import \(default\)$/, /it may import/],
    ['a counter of istanbul', '() => { cov_1a2b3c().f[0]++; return 1 }', /a coverage counter/, /exclude the file/],
    ['a helper of the compiler', '(a) => __async(this, null, function* () {})', /__async, this/, /ES2022/],
    ['names that every object has', '() => constructor + toString', /here: constructor, toString$/, /arguments/],
    ['exports of a CommonJS file', '() => exports.helper()', /here: exports$/, /arguments/],
    ['the directory of this machine', '() => __dirname', /here: __dirname$/, /arguments/],
    ['hundreds of names', `() => [${Array.from({ length: 100 }, (_, i) => `v${i}x`).join(',')}]`, /v19x and 80 more$/, /arguments/],
  ])('%s', (_title, source, message, hint) => {
    expect(refusal(source)).toMatchObject({ code: 'captured-variables', message: expect.stringMatching(message), hint: expect.stringMatching(hint) })
  })

  test('an import that vitest rewrote in this very file is told by its name', () => {
    expect(refusal(((path: string) => readFileSync(path)).toString())).toMatchObject({ code: 'captured-variables', message: expect.stringContaining('an import (readFileSync)') })
  })
})

describe('what is no function of its own is refused', () => {
  test.each<[name: string, message: RegExp, hint: RegExp]>([
    ['native', /native or bound/, /function that calls it/], ['bound', /native or bound/, /function that calls it/], ['class', /is a class/, /creates the object/],
    ['importsFile', /imports "\.\/run-graph\.cjs"/, /use\(\)/], ['requiresPackage', /imports "yaml"/, /use\(\)/], ['private', /cannot be read/, /#x/],
  ])('%s', (name, message, hint) => {
    expect(refusal(text(name))).toMatchObject({ code: 'function-unsupported', outcome: 'not-sent', message: expect.stringMatching(message), hint: expect.stringMatching(hint) })
  })

  test.each(['', 'a) => 1', '1', '() => 1) ; (() => 2', '(x => x)(1)', '{ a() {}, b() {} }', 'a() {}, b() {}', 'a: () => 1', '() => { with (x) {} }'])('the text %j', (source) => {
    expect(refusal(source)).toMatchObject({ code: 'function-unsupported' })
  })
})
