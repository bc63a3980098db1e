import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { root } from '../helpers/source-tree.ts'

/** Files that git knows or would add. */
const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
  .split('\0').filter(name => name !== '' && !name.includes('node_modules/'))

function linesThatMatch(pattern: RegExp, names: string[]): string[] {
  return names.flatMap(name => readFileSync(root + name, 'utf8').split('\n')
    .flatMap((line, index) => (pattern.test(line) ? [`${name}:${index + 1}: ${line.trim().slice(0, 120)}`] : [])))
}

test('no file names a path of the machine on which it was written', () => {
  // Put together here, so that this file does not match itself.
  const folder = ['', 'work', ''].join('/')
  const workshop = new RegExp(String.raw`(?<![\w.])${folder}`)
  expect(workshop.test(`see ${folder}main/src`)).toBe(true)
  expect(workshop.test(`see art${folder}x`)).toBe(false)
  expect(linesThatMatch(workshop, files)).toEqual([])
  // Tests and results may speak of home directories; what ships and what explains may not.
  const home = /(?<![\w.*/~$}:])\/(?:root|home\/[a-z]+)\/[a-z]/
  expect(linesThatMatch(home, files.filter(name => !/^(test|bench)\//.test(name)))).toEqual([])
})

test('the lock file names no registry host', () => {
  expect(linesThatMatch(/"resolved"|https?:\/\/[^"]*registry/, ['package-lock.json'])).toEqual([])
})

test('every dependency is pinned to one version, in the manifest and in the lock file alike', () => {
  type Lists = Record<'dependencies' | 'devDependencies', Record<string, string>>
  const manifest = JSON.parse(readFileSync(root + 'package.json', 'utf8')) as Lists
  const lock = (JSON.parse(readFileSync(root + 'package-lock.json', 'utf8')) as { packages: Record<string, Lists> }).packages['']!
  for (const list of ['dependencies', 'devDependencies'] as const) {
    for (const version of Object.values(manifest[list])) expect(version).toMatch(/^\d+\.\d+\.\d+$/)
    expect(lock[list]).toEqual(manifest[list])
  }
})

test('the README fits into 200 lines and gives the two set-up commands', () => {
  const readme = readFileSync(root + 'README.md', 'utf8')
  expect(readme.split('\n').length).toBeLessThanOrEqual(200)
  expect(readme).toMatch(/^\s*npm ci && npm start$/m)
  expect(readme).toMatch(/^\s*npm ci && npm test$/m)
})
