import { describe, expect, test } from 'vitest'
import { readTree } from '../helpers/source-tree.ts'
import { MAX_LINES, violations } from './rules.ts'
import { scan } from './scan.ts'

test('the source tree keeps the layers, has no import cycle, no file that nothing uses and none that is too long', () => {
  const tree = readTree('src', /\.ts$/)
  expect(tree.size).toBeGreaterThan(20)
  expect(violations(tree)).toEqual([])
})

/** A small tree that breaks no rule, with the given files on top. */
function treeWith(files: Record<string, string>): Map<string, string> {
  const imports = Object.keys(files).filter(file => file.startsWith('controller/') && file !== 'controller/index.ts')
  return new Map(Object.entries({
    'controller/index.ts': ["export { start } from '../connect/spawn.ts'", ...imports.map(file => `import './${file.slice(11)}'`)].join('\n'),
    'remote-stub/main.ts': "import { frame } from '../router/frame.ts'\nprocess.exit(frame)",
    'connect/spawn.ts': "import type { Frame } from '../router/frame.ts'\nexport const start = (f: Frame): Frame => f",
    'router/frame.ts': "import { queue } from '../base/queue.ts'\nexport type Frame = number\nexport const frame = queue",
    'base/queue.ts': 'export const queue = 1',
    ...files,
  }))
}

describe('the checker', () => {
  test('has nothing to say about a tree that is well', () => {
    expect(violations(treeWith({}))).toEqual([])
  })

  test.each<[string, Record<string, string>, RegExp]>([
    ['an import upwards', { 'router/frame.ts': "import { start } from '../connect/spawn.ts'\nexport type Frame = typeof start\nexport const frame = 1" }, /router\/frame\.ts imports connect\/spawn\.ts: router must not know connect/],
    ['an import upwards of a type alone', { 'router/frame.ts': "import type { start } from '../connect/spawn.ts'\nexport type Frame = typeof start\nexport const frame = 1" }, /router must not know connect/],
    ['a re-export upwards', { 'base/queue.ts': "export * from '../router/frame.ts'" }, /base must not know router/],
    ['a dynamic import upwards', { 'base/queue.ts': "export const queue = () => import('../router/frame.ts')" }, /base must not know router/],
    ['the controller importing the stub', { 'controller/index.ts': "import '../remote-stub/main.ts'\nimport '../connect/spawn.ts'" }, /controller must not know remote-stub/],
    ['the stub importing the controller', { 'remote-stub/main.ts': "import '../controller/index.ts'\nimport '../router/frame.ts'" }, /remote-stub must not know controller/],
    ['a value taken from modules', { 'modules/exec.ts': 'export const exec = 1', 'controller/lane.ts': "import { exec } from '../modules/exec.ts'\nexport const lane = exec" }, /modules gives types only/],
    ['modules importing the engine', { 'modules/exec.ts': "import { frame } from '../router/frame.ts'\nexport const exec = frame" }, /modules must not know router/],
    ['a folder that is no layer', { 'utils/misc.ts': "import '../base/queue.ts'" }, /utils\/misc\.ts is in no layer/],
    ['a process started by the engine', { 'router/frame.ts': "import { spawn } from 'node:child_process'\nimport '../base/queue.ts'\nexport type Frame = 1\nexport const frame = spawn" }, /the engine opens no process/],
    ['base importing anything', { 'base/queue.ts': "import { inspect } from 'node:util'\nexport const queue = inspect" }, /base imports nothing at all/],
    ['ssh2 in another file', { 'connect/spawn.ts': "import { Client } from 'ssh2'\nimport '../router/frame.ts'\nexport const start = Client" }, /only connect\/ssh2\*\.ts knows ssh2/],
    ['esbuild in another file', { 'controller/pool.ts': "export const pool = () => import('esbuild')" }, /only controller\/bundler\.ts knows esbuild/],
    ['a cycle of three', {
      'controller/a.ts': "import './b.ts'", 'controller/b.ts': "import { x } from './c.ts'\nexport const y = x", 'controller/c.ts': "import type { y } from './b.ts'\nimport './a.ts'\nexport const x = 1",
    }, /import cycle: controller\/a\.ts -> controller\/b\.ts -> controller\/c\.ts -> controller\/a\.ts/],
    ['a file that imports itself', { 'controller/a.ts': "import './a.ts'" }, /import cycle: controller\/a\.ts -> controller\/a\.ts/],
    ['a file that nothing uses', { 'connect/forgotten.ts': 'export {}' }, /connect\/forgotten\.ts is used by nothing/],
    ['an import of a file that is not there', { 'controller/a.ts': "import './gone.ts'" }, /imports controller\/gone\.ts, which does not exist/],
    ['an import out of src', { 'controller/a.ts': "import '../../build/paths.mjs'" }, /outside src/],
    ['process.exit outside of main', { 'controller/a.ts': 'process.exit(1)' }, /controller\/a\.ts:1 touches process/],
    ['process.stdout outside of main', { 'remote-stub/main.ts': "import './log.ts'\nimport '../router/frame.ts'", 'remote-stub/log.ts': "\nprocess.stdout.write('x')" }, /remote-stub\/log\.ts:2 touches process/],
    ['any as a type', { 'controller/a.ts': 'export const f = (x: any) => x' }, /controller\/a\.ts:1 says any/],
    ['any behind as', { 'controller/a.ts': 'export const f = 1 as any' }, /says any/],
    ['any as an argument', { 'controller/a.ts': 'export const f: Promise<any> | undefined = undefined' }, /says any/],
    ['an error told by its class', { 'router/frame.ts': "import { queue } from '../base/queue.ts'\nexport type Frame = 1\nexport const frame = (e: unknown) => (e instanceof\n  RametError ? queue : 0)" }, /router\/frame\.ts:3 asks for the class RametError/],
    ['an enum', { 'controller/a.ts': 'export enum Kind { A }' }, /declares an enum/],
    ['a letter that is not ASCII in a string', { 'controller/a.ts': "// \u00e9 is well here\nexport const word = 'caf\u00e9'" }, /controller\/a\.ts:2 has a character/],
    ['a file that is too long', { 'controller/a.ts': 'export {}\n'.repeat(MAX_LINES + 1) }, /has 321 lines, more than 320/],
  ])('finds %s', (_name, files, sentence) => {
    expect(violations(treeWith(files)).join('\n')).toMatch(sentence)
  })

  test('lets types of modules be imported, the word import in strings, comments and regular expressions, and a file of the greatest length', () => {
    const long = `import type { Service } from '../modules/service.ts'\nexport type S = Service // any enum import 'x'\n`
    expect(violations(treeWith({
      'modules/service.ts': 'export type Service = number',
      'controller/a.ts': long + '\n'.repeat(MAX_LINES - 2),
      'controller/b.ts': [
        "/* import '../remote-stub/main.ts' */",
        "export const text = `import '../remote-stub/main.ts' ${'any'} as any`",
        "export const pattern = /import '[^']*' from \"/",
        "export const half = text.length / 2 // '",
        "export const other = 'enum Kind'",
      ].join('\n'),
    }))).toEqual([])
  })
})

test('imports are read in every form', () => {
  const { imports } = scan([
    "import a from 'a'", "import * as b from 'b'", "import { c, type C } from 'c'", "import type { D } from 'd'", "import { type E, type F } from 'e'", "import 'f'",
    "export { g } from 'g'", "export type { H } from 'h'", "export * from 'i'", "import {\n  j,\n  k,\n} from 'j'", "const l = await import('l')", "type M = typeof import('m')", "let n: import('n').N",
    'export function from() { return 1 }', "export const o = 'from'", "import p, { type P } from 'p'",
  ].join('\n'))
  expect(imports.filter(entry => !entry.typeOnly).map(entry => entry.specifier).sort()).toEqual(['a', 'b', 'c', 'f', 'g', 'i', 'j', 'l', 'p'])
  expect(imports.filter(entry => entry.typeOnly).map(entry => entry.specifier).sort()).toEqual(['d', 'e', 'h', 'm', 'n'])
})
