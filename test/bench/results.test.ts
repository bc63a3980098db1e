import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { whyNotWritable } from '../../bench/results.ts'

const folder = mkdtempSync(join(tmpdir(), 'ramet-test-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('where results can be written is known beforehand, and nothing is made to find out', () => {
  writeFileSync(join(folder, 'old.json'), '{}')
  expect(whyNotWritable(join(folder, 'new.json'))).toBeUndefined()
  expect(whyNotWritable(join(folder, 'old.json'))).toBeUndefined()
  expect(readdirSync(folder)).toEqual(['old.json'])
})

test('a folder, a path in no folder, a path below a file and a path under /proc are refused with a reason', () => {
  expect(whyNotWritable(folder)).toBe('it is a folder')
  expect(whyNotWritable(join(folder, 'none', 'x.json'))).toBe(`${join(folder, 'none')} is no folder`)
  expect(whyNotWritable(join(folder, 'old.json', 'x.json'))).toBe(`${join(folder, 'old.json')} is no folder`)
  expect(whyNotWritable('/proc/none/x.json')).toBe('/proc/none is no folder')
})
