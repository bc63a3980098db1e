import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { startEmbedded } from '../../../src/cli/bench/embedded.ts'

let place: string
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'ramet-test-'))
})
afterEach(() => {
  vi.unstubAllEnvs()
  rmSync(place, { recursive: true, force: true })
})

test('a server that hears nothing any more and then ends is named, and its folder is removed all the same', async () => {
  const program = join(place, 'deaf.cjs')
  const deaf = join(place, 'deaf')
  writeFileSync(program, `process.once('message', () => {
    process.once('disconnect', () => require('node:fs').writeFileSync(${JSON.stringify(deaf)}, ''))
    process.send({ kind: 'listening', targets: [], privateKey: '' }, () => process.disconnect())
    setTimeout(() => {}, 500)
  })`)
  vi.stubEnv('TMPDIR', place)
  const server = await startEmbedded(1, pathToFileURL(program))
  expect(readdirSync(place).some((name) => name.startsWith('ramet-start-'))).toBe(true)
  await expect.poll(() => existsSync(deaf), { timeout: 10_000 }).toBe(true)
  await expect(server.counts()).rejects.toThrow('the embedded SSH server ended by itself')
  await server.close()
  expect(readdirSync(place).sort()).toEqual(['deaf', 'deaf.cjs'])
})

test('where there is no room for its keys that is said, with what helps, and its folder is removed', async () => {
  const program = join(place, 'hasty.cjs')
  // The folder that it was told of is gone when its keys are to be kept there.
  writeFileSync(program, `process.once('message', ({ folder }) => {
    require('node:fs').rmSync(folder, { recursive: true })
    process.send({ kind: 'listening', targets: [], privateKey: '' })
    process.once('disconnect', () => {})
  })`)
  vi.stubEnv('TMPDIR', place)
  await expect(startEmbedded(1, pathToFileURL(program))).rejects.toMatchObject({
    code: 'usage', message: `a server of its own needs files for its keys, and no file can be written in ${place} (ENOENT: no such file or directory)`, hint: 'set TMPDIR to a folder with room',
  })
  expect(readdirSync(place).filter((name) => name.startsWith('ramet-start-'))).toEqual([])
})
