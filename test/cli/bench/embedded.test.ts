import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, expect, test, vi } from 'vitest'
import { startEmbedded } from '../../../src/cli/bench/embedded.ts'

const place = mkdtempSync(join(tmpdir(), 'ramet-test-'))
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
