import { existsSync, mkdtempSync, readdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { removeDirectory } from '../../src/connect/ram-directory.ts'

vi.mock(import('node:fs'), async (original) => {
  const fs = await original()
  return { ...fs, readdirSync: vi.fn(fs.readdirSync) as unknown as typeof fs.readdirSync }
})

test('a file that goes while its directory is removed does not keep the directory', () => {
  const path = mkdtempSync(join(tmpdir(), 'ramet-test-'))
  try {
    for (const name of ['log1', 'log2', 's']) writeFileSync(join(path, name), '')
    vi.mocked(readdirSync).mockImplementationOnce(() => {
      unlinkSync(join(path, 'log1'))
      return ['log1', 'log2', 's'] as unknown as ReturnType<typeof readdirSync>
    })
    removeDirectory(path)
    expect(existsSync(path)).toBe(false)
  } finally {
    rmSync(path, { recursive: true, force: true })
  }
})

test('a directory that is gone is no error', () => {
  const path = mkdtempSync(join(tmpdir(), 'ramet-test-'))
  removeDirectory(path)
  expect(existsSync(path)).toBe(false)
  expect(() => removeDirectory(path)).not.toThrow()
})
