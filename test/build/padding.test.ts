import { createRequire } from 'node:module'
import { compileFunction } from 'node:vm'
import { build, type Plugin } from 'esbuild'
import { expect, test } from 'vitest'

interface Ciphers {
  /** What SSH speaks before its first key exchange: padding can be seen. */
  NullCipher: new (sequence: number, write: () => void) => { allocPacket(length: number): Buffer }
}

/** ssh2's own ciphers, bundled as they are in dist/ and for hops. */
async function bundledCiphers(): Promise<Ciphers> {
  const { noDirectory, pooledPadding, withoutAddons } = await import(new URL('../../build/ssh2.mjs', import.meta.url).href) as
    { noDirectory: Record<string, string>; pooledPadding: Plugin; withoutAddons: Plugin }
  const { outputFiles } = await build({
    stdin: { contents: `module.exports = require('ssh2/lib/protocol/crypto.js')`, resolveDir: import.meta.dirname },
    bundle: true, write: false, format: 'cjs', platform: 'node', plugins: [withoutAddons, pooledPadding], define: noDirectory,
  })
  const module = { exports: {} as never }
  compileFunction(outputFiles[0]!.text, ['module', 'require'])(module, createRequire(import.meta.url))
  return module.exports
}

test('padding comes from a pool: as long as it has to be, where it has to be, and never the same bytes', async () => {
  const { NullCipher } = await bundledCiphers()
  const cipher = new NullCipher(0, () => undefined)
  const seen = new Set<string>()
  // More than the pool holds at once, several times over.
  for (let i = 0; i < 3000; i++) {
    const packet = cipher.allocPacket(20)
    const padding = packet[4]!
    expect(padding).toBe(packet.length - 25)
    seen.add(packet.subarray(-padding).toString('hex'))
  }
  expect(seen.size).toBe(3000)
})

test('each byte of a pool is as random as the next', async () => {
  const { NullCipher } = await bundledCiphers()
  const cipher = new NullCipher(0, () => undefined)
  const counts = new Uint32Array(256)
  let total = 0
  for (let i = 0; i < 20_000; i++) {
    for (const byte of cipher.allocPacket(20).subarray(25)) {
      counts[byte]!++
      total++
    }
  }
  // Nine standard deviations: a generator that is one passes always.
  const expected = total / 256
  for (const count of counts) expect(Math.abs(count - expected)).toBeLessThan(9 * Math.sqrt(expected))
})
