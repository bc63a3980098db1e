import { afterAll, describe, expect, test } from 'vitest'
import { Bundler } from '../../src/controller/bundler.ts'
import { indexSources, lookupIn, remapStack } from '../../src/controller/stacks.ts'
import type { Source } from '../../src/controller/stacks.ts'
import { exported, project } from './project.ts'

const bundler = new Bundler()
const index = new Map<string, Source>()
const lookup = lookupIn(index)
afterAll(() => bundler.close())

function thrownBy(fn: () => unknown): Error {
  try {
    fn()
  } catch (error) {
    return error as Error
  }
  throw new Error('nothing was thrown')
}

describe('a remote stack', () => {
  test('names the original files at their exact line and character', async () => {
    const made = project({
      'src/tasks.ts': [
        'import type { Deep } from "./types.ts"', 'import { fail } from "./deep.ts"', '', 'interface Options { name: string }', '',
        'export function run(options: Options): never {', '  const name: Deep = options?.name ?? "x"; /* ö */ return fail(name)', '}',
        'export const outer = (): unknown => [1].map((n: number): unknown => run({ name: String(n) }))',
      ].join('\n'),
      'src/types.ts': 'export type Deep = string',
      'src/deep.ts': 'export enum E { A }\n\nexport class Deep {\n  #x = 1\n  fail(name: string): never {\n    if (this.#x) throw new TypeError(`no ${name}`)\n    throw 1\n  }\n}\nexport const fail = (name: string): never => new Deep().fail(name)',
      'src/old.cjs': '#!/usr/bin/env node\nexports.run = function run() { throw new Error("old") }',
    })
    try {
      const graph = await bundler.load(made.path('src/tasks.ts'))
      indexSources(index, graph)
      const raw = thrownBy(() => exported(graph, 'outer')()).stack as string
      expect(raw).toContain('ramet:/')
      expect(raw).not.toContain(made.path(''))
      const lines = remapStack(raw, lookup).split('\n').filter((line) => /^\s+at .*(tasks|deep)\.ts/.test(line)).map((line) => line.replace(made.path(''), '').replace(/^.*?(?=src\/)|\)$/g, ''))
      expect(lines).toEqual(['src/deep.ts:6:24', 'src/deep.ts:10:57', 'src/tasks.ts:7:59', 'src/tasks.ts:9:69', 'src/tasks.ts:9:41'])

      const old = await bundler.load(made.path('src/old.cjs'))
      indexSources(index, old)
      expect(remapStack(thrownBy(() => exported(old, 'run')()).stack as string, lookup)).toContain(`(${made.path('src/old.cjs')}:2:38)`)
    } finally {
      made.remove()
    }
  })

  test('of a function given to call() has the name it was called by, and the lines of its own text', () => {
    const source = '(a) => {\n  const text = a.toUpperCase()\n    throw new Error(text)\n}'
    const graph = bundler.inline(source, 'call(deploy)')
    indexSources(index, graph)
    expect(remapStack(thrownBy(() => exported(graph, 'default')('x')).stack as string, lookup)).toMatch(/[( ]call\(deploy\):3:11\)?\n/)
    const newer = bundler.inline('(a) => {\n  a ??= "y"\n  return a.b.c\n}', 'call(newer)')
    indexSources(index, newer)
    expect(remapStack(thrownBy(() => exported(newer, 'default')('x')).stack as string, lookup)).toMatch(/[( ]call\(newer\):3:14\)?\n/)
  })

  test('keeps frames that are not ours to explain', () => {
    const stack = 'Error: x\n    at f (ramet:/0123456789ab/src/gone.ts:1:2)\n    at node:internal/main:1:1\n    at g (/srv/app.js:3:4)'
    expect(remapStack(stack, lookup)).toBe(stack)
  })

  test('maps async, eval and constructor frames, and names with spaces and parentheses', () => {
    const known: Source = { file: '/here/src/(group)/my file.ts', map: undefined }
    const stack = ['    at async f (ramet:/0123456789ab/src/(group)/my file.ts:1:2)', '    at async ramet:/0123456789ab/src/(group)/my file.ts:3:4',
      '    at new A (ramet:/0123456789ab/src/(group)/my file.ts:5:6)', '    at eval (eval at f (ramet:/0123456789ab/src/(group)/my file.ts:7:8), <anonymous>:1:1)'].join('\n')
    expect(remapStack(stack, () => known)).toBe(stack.replaceAll('ramet:/0123456789ab/src/(group)/my file.ts', '/here/src/(group)/my file.ts'))
  })

  test('with a broken source map keeps its own lines under the right file', () => {
    const known: Source = { file: '/here/a.js', map: '{"version":3,' }
    expect(remapStack('at ramet:/0123456789ab/a.js:3:4', () => known)).toBe('at /here/a.js:3:4')
  })

  test('made to hurt costs no more than its length', () => {
    const started = process.cpuUsage().user
    remapStack('ramet:/0123456789ab/'.repeat(50_000), () => ({ file: '/a', map: undefined }))
    expect((process.cpuUsage().user - started) / 1e6).toBeLessThan(3)
  })
})
