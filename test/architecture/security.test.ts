import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { root } from '../helpers/source-tree.ts'

/** `file`: "words of a test's name", "of another" */
const REFERENCE = /`(test\/[^`]+\.test\.ts)`:((?:\s*"[^"]+",?)+)/g

const page = readFileSync(root + 'SECURITY.md', 'utf8')
const references = [...page.matchAll(REFERENCE)].map(([, file = '', names = '']) => ({ file, names: [...names.matchAll(/"([^"]+)"/g)].map(([, name = '']) => name) }))

test('every test that SECURITY.md names is there', () => {
  expect(references.length).toBeGreaterThan(30)
  for (const { file, names } of references) {
    const titles = [...readFileSync(root + file, 'utf8').matchAll(/^\s*(?:describe|it|test)\b.*$|^\]?.*\)\('.*$/gm)].map(([line]) => line.replaceAll("\\'", "'")).join('\n')
    for (const name of names) expect(titles, `${file} has a test named "${name}"`).toContain(name)
  }
})

test('every test file that SECURITY.md mentions is mentioned with a name', () => {
  expect(page.match(/`test\/[^`]+`/g)).toHaveLength(references.length)
})

test('every line of SECURITY.md on what somebody cannot do, and on what is promised, names a test', () => {
  const promises = page.slice(page.indexOf('## What a compromised target'), page.indexOf('## What it does not promise'))
  const items = promises.split(/\n(?=- |\n)/).filter((text) => text.trimStart().startsWith('- '))
  expect(items.length).toBeGreaterThan(20)
  for (const item of items) expect(item).toMatch(/`test\//)
})
