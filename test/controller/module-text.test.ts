import { describe, expect, test } from 'vitest'
import { moduleName, printable, starExports, withInterop } from '../../src/controller/module-text.ts'

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

  test('modules whose exports are all passed on are found', () => {
    expect(starExports('__reExport(x_exports, require("./a"), module.exports);\n__reExport2(x_exports, __toESM(require("b"), 1), module.exports);')).toEqual(['./a', 'b'])
  })
})
