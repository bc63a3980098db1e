import { runInThisContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { lazyImports, moduleName, printable, starExports, withInterop } from '../../src/controller/module-text.ts'

describe('the short name of a file', () => {
  const packages = new Set(['/home/me/app', '/home/me/app/packages/ui'])
  test.each<[file: string, name: string]>([
    ['/home/me/app/src/tasks.ts', 'src/tasks.ts'], ['/home/me/app/packages/ui/src/a.ts', 'src/a.ts'], ['/home/me/app/node_modules/yaml/dist/index.js', 'node_modules/yaml/dist/index.js'],
    ['/home/me/app/node_modules/.pnpm/yaml@2.9.1/node_modules/yaml/index.js', 'node_modules/yaml/index.js'], ['/tmp/x/y/tasks.ts', 'y/tasks.ts'], ['/tasks.ts', 'tasks.ts'],
  ])('of %s is %s', (file, name) => {
    expect(moduleName(file, (directory) => packages.has(directory))).toBe(name)
  })

  test('holds nothing that a terminal or a stack trace would take for something else', () => {
    expect(printable('a\u001b[31m\n\u2028b.ts')).toBe('a_[31m__b.ts')
    expect(printable('x'.repeat(5000)).length).toBe(200)
  })
})

describe('defaults of imports', () => {
  test('are told per import, without moving a character', () => {
    const before = 'var a = __toESM(require("./a.js"), 1);\nvar b = __toESM2(require(\'./b"b.js\'), 1);\nvar c = __toESM(require("./c.js"));'
    const after = withInterop(before, (specifier) => specifier === './a.js')
    expect(after).toBe('var a = __toESM(require("./a.js"), 0);\nvar b = __toESM2(require(\'./b"b.js\'), 1);\nvar c = __toESM(require("./c.js"));')
  })

  test('an import() fails with its own code for what is missing, and what it loads with that one\'s', () => {
    const before = '"use strict";\nconst f = () => Promise.resolve().then(() => __toESM(require("nope"), 1)); const g = () => require("x") // the end'
    const after = lazyImports(before)
    expect(after.slice(0, before.length)).toBe(before.replace('require("nope")', '__ramet("nope")'))
    const failing = (missing: string) => {
      const require = (): never => { throw Object.assign(new Error(`Cannot find module '${missing}', which a.js requires`), { code: 'MODULE_NOT_FOUND' }) }
      return (runInThisContext(`(require) => {${after}\nreturn () => __ramet("nope")}`) as (require: unknown) => () => never)(require)
    }
    expect(failing('nope')).toThrow(expect.objectContaining({ code: 'ERR_MODULE_NOT_FOUND' }))
    expect(failing('other')).toThrow(expect.objectContaining({ code: 'MODULE_NOT_FOUND' }))
    expect(lazyImports('require("x")')).toBe('require("x")')
  })

  test('modules whose exports are all passed on are found', () => {
    expect(starExports('__reExport(x_exports, require("./a"), module.exports);\n__reExport2(x_exports, __toESM(require("b"), 1), module.exports);')).toEqual(['./a', 'b'])
  })
})
