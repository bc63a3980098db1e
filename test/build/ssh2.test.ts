import { createRequire } from 'node:module'
import { compileFunction } from 'node:vm'
import { build, type Plugin } from 'esbuild'
import ownConstants from 'ssh2/lib/protocol/constants.js'
import ownCiphers from 'ssh2/lib/protocol/crypto.js'
import { describe, expect, test, vi } from 'vitest'

interface Ciphers {
  CIPHER_INFO: Record<string, object>
  /** What SSH speaks before its first key exchange: padding can be seen. */
  NullCipher: new (sequence: number, write: () => void) => { allocPacket(length: number): Buffer }
  createCipher(config: { outbound: object }): { allocPacket(length: number): Buffer; encrypt(packet: Buffer): void }
  createDecipher(config: { inbound: object }): { decrypt(data: Buffer, from: number, to: number): unknown }
  init: Promise<void>
}

/** A part of ssh2's protocol layer, bundled as it is in dist/ and for hops. */
async function bundled<T>(part: 'crypto' | 'constants'): Promise<T> {
  const { noDirectory, ssh2Plugins } = await import(new URL('../../build/ssh2.mjs', import.meta.url).href) as
    { noDirectory: Record<string, string>; ssh2Plugins: () => Plugin[] }
  const { outputFiles } = await build({
    stdin: { contents: `module.exports = require('ssh2/lib/protocol/${part}.js')`, resolveDir: import.meta.dirname },
    bundle: true, write: false, format: 'cjs', platform: 'node', plugins: ssh2Plugins(), define: noDirectory,
  })
  const module = { exports: {} as T }
  compileFunction(outputFiles[0]?.text ?? '', ['module', 'require'])(module, createRequire(import.meta.url))
  return module.exports
}

const name = 'chacha20-poly1305@openssh.com'
const key = Buffer.alloc(64, 'two keys, of 32 bytes each, as key exchange would give them')

/** Packets of the given payloads as they are on the wire. */
function encrypted({ CIPHER_INFO, createCipher }: Ciphers, payloads: readonly string[]): Buffer {
  const parts: Buffer[] = []
  const cipher = createCipher({ outbound: { seqno: 3, onWrite: (bytes: Buffer) => parts.push(Buffer.from(bytes)), cipherInfo: CIPHER_INFO[name], cipherKey: key, forceNative: true } })
  for (const payload of payloads) {
    const packet = cipher.allocPacket(payload.length)
    packet.write(payload, 5, 'latin1')
    cipher.encrypt(packet)
  }
  return Buffer.concat(parts)
}

function decrypted({ CIPHER_INFO, createDecipher }: Ciphers, wire: Buffer): string[] {
  const payloads: string[] = []
  const onPayload = (bytes: Buffer): void => void payloads.push(bytes.toString('latin1'))
  const decipher = createDecipher({ inbound: { seqno: 3, onPayload, decipherInfo: CIPHER_INFO[name], decipherKey: key, forceNative: true } })
  decipher.decrypt(wire, 0, wire.length)
  return payloads
}

const { WebAssembly: wasm } = globalThis as unknown as { WebAssembly: { Module: new (bytes: Uint8Array) => object } }

describe('ssh2 as it is bundled', () => {
  test('takes padding from a pool: as long as it has to be, where it has to be, and never the same bytes', async () => {
    const { NullCipher } = await bundled<Ciphers>('crypto')
    const cipher = new NullCipher(0, () => undefined)
    const seen = new Set<string>()
    const counts = new Uint32Array(256)
    // More than the pool holds at once, many times over.
    for (let i = 0; i < 20_000; i++) {
      const packet = cipher.allocPacket(20)
      const padding = packet.subarray(25)
      expect(packet[4]).toBe(padding.length)
      seen.add(padding.toString('hex'))
      for (const byte of padding) counts[byte]!++
    }
    expect(seen.size).toBe(20_000)
    // Nine standard deviations: a generator that is one passes always.
    const expected = counts.reduce((sum, count) => sum + count, 0) / 256
    for (const count of counts) expect(Math.abs(count - expected)).toBeLessThan(9 * Math.sqrt(expected))
  })

  test('offers what ssh2 itself offers', async () => {
    // Their order depends on whether a native addon tells what the processor can.
    const lists = (constants: unknown): object => Object.fromEntries(Object.entries(constants as object)
      .map(([name, value]) => [name, Array.isArray(value) && /^(DEFAULT|SUPPORTED)_/.test(name) ? new Set(value) : JSON.stringify(value)]))
    expect(lists(await bundled('constants'))).toEqual(lists(ownConstants))
  })

  test('compiles poly1305 for the first packet that needs it, and understands ssh2 itself both ways', async () => {
    const compiled = vi.spyOn(wasm, 'Module')
    const late = await bundled<Ciphers>('crypto')
    const own = ownCiphers as Ciphers
    await Promise.all([late.init, own.init])
    expect(compiled).not.toHaveBeenCalled()

    const payloads = ['first', '', 'third '.repeat(5000)]
    expect(decrypted(own, encrypted(late, payloads))).toEqual(payloads)
    expect(decrypted(late, encrypted(own, payloads))).toEqual(payloads)
    expect(compiled).toHaveBeenCalledTimes(1)
    compiled.mockRestore()

    const forged = encrypted(own, payloads)
    forged[forged.length - 1]! ^= 1
    expect(() => decrypted(late, forged)).toThrow(/MAC/)
  })
})
