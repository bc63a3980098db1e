import { readFileSync } from 'node:fs'
import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { afterAll, describe, expect, it } from 'vitest'
import utils from 'ssh2/lib/protocol/utils.js'
import { heldKey, isEncryptedKey, lockedKey, privateKey } from '../../src/connect/ssh2-key.ts'
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

describe('a private key in PKCS#8 form, as openssl writes it', () => {
  const data = Buffer.from('what is signed')
  it.each([
    ['ssh-ed25519', 'ssh-ed25519', null, generateKeyPairSync('ed25519')], ['ssh-rsa', 'rsa-sha2-256', 'sha256', generateKeyPairSync('rsa', { modulusLength: 2048 })],
    ['ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp256', 'sha256', generateKeyPairSync('ec', { namedCurve: 'P-256' })],
    ['ecdsa-sha2-nistp521', 'ecdsa-sha2-nistp521', 'sha512', generateKeyPairSync('ec', { namedCurve: 'P-521' })],
  ])('signs as %s by %s, encrypted or not', async (type, algorithm, hash, pair) => {
    const open = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    const locked = pair.privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'ö p' }).toString()
    expect([isEncryptedKey(open), isEncryptedKey(locked)]).toEqual([false, true])
    const [key, unlocked] = [privateKey(open, { comment: 'id' }), privateKey(locked, { comment: 'id', passphrase: 'ö p' })]
    expect([key.type, unlocked.type, unlocked.publicBlob]).toEqual([type, type, key.publicBlob])
    const blob = Buffer.from(await unlocked.sign(data, algorithm))
    const raw = blob.subarray(8 + blob.readUInt32BE(0))
    expect(verify(hash, data, pair.publicKey, type.startsWith('ecdsa') ? sigSSHToASN1(raw, algorithm) : raw)).toBe(true)
  })

  it.skipIf(!hasProgram('ssh-keygen'))('encrypted with a cipher that ssh2 does not know is refused before anybody is asked, with the cipher and a way out', () => {
    const dir = temporaryDirectory()
    const file = dir.file('chacha')
    const keygen = (...args: string[]): void => void execFileSync('ssh-keygen', ['-q', ...args, '-f', file])
    keygen('-t', 'ed25519', '-N', 'right', '-Z', 'chacha20-poly1305@openssh.com')
    const refused = expect.objectContaining({
      code: 'key-unreadable', stage: 'auth', outcome: 'not-sent', message: 'id: it is encrypted with chacha20-poly1305@openssh.com, which ramet cannot decipher',
      hint: expect.stringContaining('ssh-keygen -p -Z aes256-ctr') as string,
    }) as Error
    const text = readFileSync(file, 'utf8')
    expect(isEncryptedKey(text)).toBe(true)
    expect(() => privateKey(text, { comment: 'id', passphrase: 'right' })).toThrow(refused)
    expect(() => lockedKey(text, 'id', () => Promise.reject(new Error('asked')))).toThrow(refused)
    // The way out.
    keygen('-p', '-P', 'right', '-N', 'right', '-Z', 'aes256-ctr')
    expect(privateKey(readFileSync(file, 'utf8'), { comment: 'id', passphrase: 'right' }).type).toBe('ssh-ed25519')
    dir.remove()
  })

  it.skipIf(!hasProgram('ssh-keygen'))('is refused for its passphrase by a cipher that proves what it deciphers, too', () => {
    const dir = temporaryDirectory()
    const file = dir.file('gcm')
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', 'right', '-Z', 'aes256-gcm@openssh.com', '-f', file])
    expect(() => privateKey(readFileSync(file, 'utf8'), { comment: 'id', passphrase: 'wrong' })).toThrow(expect.objectContaining({
      code: 'key-unreadable', message: 'id: the passphrase is wrong', hint: expect.stringContaining('right passphrase') as string }) as Error)
    dir.remove()
  })

  it('is refused with words where the passphrase is wrong, or SSH knows no such key', () => {
    const { privateKey: rsa } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const locked = rsa.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'right' }).toString()
    const said = expect.stringMatching(/^id: .*passphrase/) as string
    expect(() => privateKey(locked, { comment: 'id', passphrase: 'other' })).toThrow(expect.objectContaining({ code: 'key-unreadable', message: said }))
    expect(() => privateKey(locked, { comment: 'id' })).toThrow(expect.objectContaining({ code: 'key-unreadable', message: said }))
    const { privateKey: x25519 } = generateKeyPairSync('x25519')
    const strange = x25519.export({ type: 'pkcs8', format: 'pem' }).toString()
    expect(() => privateKey(strange, { comment: 'id' })).toThrow(expect.objectContaining({ code: 'key-unreadable', message: 'id: SSH has no keys of type x25519' }))
    expect(() => privateKey('-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n', { comment: 'id' })).toThrow(expect.objectContaining({ code: 'key-unreadable' }))
  })
})
