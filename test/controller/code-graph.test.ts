import { describe, expect, test } from 'vitest'
import { codeGraph, inlineGraph, sentFiles, sha256 } from '../../src/controller/code-graph.ts'
import type { ModuleParts } from '../../src/controller/code-graph.ts'

/** Modules named by letters: { a: 'bc' } is a, which imports b and c. */
function parts(edges: Record<string, string>, texts: Record<string, string> = {}): Map<string, ModuleParts> {
  return new Map(Object.entries(edges).map(([id, imports]) => [id, {
    text: texts[id] ?? `text of ${id}`, name: `${id}.js`, file: `/${id}.js`, map: undefined, imports: [...imports].map((to) => [`./${to}`, to] as const),
  }]))
}

function keysByName(entry: string, from: Map<string, ModuleParts>): Record<string, string> {
  return Object.fromEntries([...codeGraph(entry, undefined, from).modules.values()].map(({ name, key }) => [name[0] as string, key]))
}

describe('a graph of modules', () => {
  test('names each module by a key and its text by a hash, both SHA-256', () => {
    const graph = codeGraph('a', ['x'], parts({ a: 'b', b: '' }))
    const entry = graph.modules.get(graph.entry)
    expect(entry).toMatchObject({ key: graph.entry, hash: sha256('text of a'), name: 'a.js', file: '/a.js' })
    expect(graph.entry).toMatch(/^[0-9a-f]{64}$/)
    expect(entry?.imports).toEqual([['./b', [...graph.modules.keys()][0]]])
    expect(graph.exports).toEqual(['x'])
  })

  test('holds only what the entry reaches', () => {
    expect(Object.keys(keysByName('a', parts({ a: 'b', b: '', c: 'a' })))).toEqual(['b', 'a'])
  })

  test.each<[edges: Record<string, string>, edited: string, changed: string]>([
    [{ a: 'bc', b: 'd', c: '', d: '' }, 'd', 'abd'], [{ a: 'bc', b: 'd', c: '', d: '' }, 'c', 'ac'], [{ a: 'b', b: 'c', c: 'bd', d: '' }, 'c', 'abc'],
    [{ a: 'b', b: 'a' }, 'b', 'ab'], [{ a: 'a' }, 'a', 'a'], [{ a: 'b', b: 'cd', c: 'b', d: 'e', e: 'd' }, 'b', 'abc'], [{ a: 'b', b: 'cd', c: 'b', d: 'e', e: 'd' }, 'e', 'abcde'],
  ])('%j: an edit of %s changes the keys of %s', (edges, edited, changed) => {
    const before = keysByName('a', parts(edges))
    const after = keysByName('a', parts(edges, { [edited]: 'edited' }))
    expect(Object.keys(before).filter((id) => before[id] !== after[id]).sort().join('')).toBe(changed)
  })

  test('a change of what a specifier means changes the key, the text being the same', () => {
    const before = keysByName('a', parts({ a: 'b', b: '', c: '' }))
    const swapped = parts({ a: 'b', b: '', c: '' })
    swapped.set('a', { ...(swapped.get('a') as ModuleParts), imports: [['./b', 'c']] })
    expect(keysByName('a', swapped)['a']).not.toBe(before['a'])
  })

  test('keys in a cycle do not depend on the entry, nor on the order of files', () => {
    const edges = { a: 'b', b: 'c', c: 'ad', d: '' }
    const from = Object.fromEntries(Object.entries(edges).reverse()) as typeof edges
    expect(keysByName('c', parts(from))).toEqual(keysByName('a', parts(edges)))
  })

  test('of 20,000 modules in a row and of as many in a cycle is walked without recursion', () => {
    const row = new Map<string, ModuleParts>()
    for (let index = 0; index < 20_000; index++) row.set(String(index), { text: String(index), name: `${index}`, file: undefined, map: undefined, imports: index === 19_999 ? [] : [['next', String(index + 1)]] })
    expect(codeGraph('0', undefined, row).modules.size).toBe(20_000)
    row.set('19999', { text: 'last', name: 'last', file: undefined, map: undefined, imports: [['next', '0']] })
    expect(codeGraph('0', undefined, row).modules.size).toBe(20_000)
  })

  test('of a function has no file to list', () => {
    const graph = inlineGraph('module.exports={default:1}', 'call(x)')
    expect(sentFiles(graph)).toEqual([])
    expect(graph.modules.get(graph.entry)).toMatchObject({ name: 'call(x)', file: undefined })
  })
})
