import { readFileSync } from 'node:fs'
import { createPublicKey, verify } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { afterAll, describe, expect, it } from 'vitest'
import utils from 'ssh2/lib/protocol/utils.js'
import { heldKey, privateKey } from '../../src/connect/ssh2-key.ts'
import { hasProgram, temporaryDirectory } from './ssh-keys.ts'

const { sigSSHToASN1 } = utils as { sigSSHToASN1(signature: Buffer, type: string): Buffer }

describe.skipIf(!hasProgram('ssh-keygen'))('a private key', () => {
  const dir = temporaryDirectory()
  afterAll(() => dir.remove())
  let count = 0
  const make = (...args: string[]): { text: string; pem: string } => {
    const path = dir.file(`key${count++}`)
    execFileSync('ssh-keygen', ['-q', '-N', '', '-f', path, '-t', ...args])
    return { text: readFileSync(path, 'utf8'), pem: args[0] === 'ed25519' ? '' : execFileSync('ssh-keygen', ['-e', '-m', 'PKCS8', '-f', `${path}.pub`], { encoding: 'utf8' }) }
  }
  const data = Buffer.from('what is signed')

  it.each([
    ['rsa-sha2-256', 'sha256', ['rsa', '-b', '2048']], ['rsa-sha2-512', 'sha512', ['rsa', '-b', '2048']], ['ssh-rsa', 'sha1', ['rsa', '-b', '2048']],
    ['ecdsa-sha2-nistp256', 'sha256', ['ecdsa', '-b', '256']], ['ecdsa-sha2-nistp384', 'sha384', ['ecdsa', '-b', '384']],
    ['ecdsa-sha2-nistp521', 'sha512', ['ecdsa', '-b', '521']],
  ] as const)('signs by %s with %s', async (algorithm, hash, args) => {
    const { text, pem } = make(...args)
    const blob = Buffer.from(await privateKey(text, { comment: 'id' }).sign(data, algorithm))
    const nameEnd = 4 + blob.readUInt32BE(0)
    expect(blob.toString('latin1', 4, nameEnd)).toBe(algorithm)
    const signature = blob.subarray(nameEnd + 4)
    expect(signature.length).toBe(blob.readUInt32BE(nameEnd))
    const der = algorithm.startsWith('ecdsa') ? sigSSHToASN1(signature, algorithm) : signature
    expect(verify(hash, data, createPublicKey(pem), der)).toBe(true)
  })

  it('signs by ssh-ed25519', async () => {
    const key = privateKey(make('ed25519').text, { comment: 'id' })
    const blob = Buffer.from(await key.sign(data, 'ssh-ed25519'))
    const raw = Buffer.from(key.publicBlob).subarray(-32)
    const object = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') }, format: 'jwk' })
    expect(verify(null, data, object, blob.subarray(-64))).toBe(true)
  })

  it('is one for all who use it, for the same text and the same name of its file', () => {
    const [{ text }, { text: other }] = [make('ed25519'), make('ed25519')]
    expect(heldKey(text, { comment: 'id' })).toBeUndefined()
    const key = privateKey(text, { comment: 'id' })
    expect([heldKey(text, { comment: 'id' }), privateKey(text, { comment: 'id' })]).toEqual([key, key])
    expect(privateKey(text, { comment: 'id' })).toBe(key)
    expect(privateKey(text, { comment: 'another name' })).not.toBe(key)
    expect(privateKey(other, { comment: 'id' }).publicBlob).not.toEqual(key.publicBlob)
    expect(heldKey(text, { comment: 'id', passphrase: 'words' })).toBeUndefined()
  })
})
