import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname } from 'node:path'
import { expect, test } from 'vitest'
import { BenchFiles } from '../../../src/cli/bench/bench-files.ts'

test('equal texts share a file, all go at the end, and one that can not be written is named by its folder alone', () => {
  const files = new BenchFiles()
  const path = files.write('Host *\n')
  expect([files.write('Host *\n'), files.write('Host a\n') === path, existsSync(path)]).toEqual([path, false, true])
  files.close()
  expect(existsSync(dirname(path))).toBe(false)
  expect(() => files.write('Host b\n')).toThrow(`no file can be written in ${tmpdir()} (ENOENT: no such file or directory)`)
})
