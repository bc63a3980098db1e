import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { HostProof } from '../../src/connect/hop.ts'
import { proofProblem } from '../../src/connect/host-proof.ts'
import { sshString } from '../../src/connect/key-blob.ts'
import { HOST_KEY_TYPES, TestHostKey, blobOf } from '../helpers/host-key.ts'

const SESSION = randomBytes(32)

describe.each(HOST_KEY_TYPES)('the proof of a host key of type %s', (type) => {
  const key = new TestHostKey(type)
  const proof = key.prove(SESSION)

  it('holds for sessions of every hash that key exchanges use', () => {
    for (const size of [32, 48, 64]) expect(proofProblem(key.prove(randomBytes(size)))).toBeUndefined()
  })

  it('holds every time, whatever leading zeros the signature happens to have', () => {
    for (let i = 0; i < (type.startsWith('rsa') ? 30 : 300); i++) expect(proofProblem(key.prove(randomBytes(32)))).toBeUndefined()
  })

  it('does not hold for another session, another key, or a signature that was touched', () => {
    const touched = Buffer.from(proof.signature)
    touched[touched.length - 1] = (touched[touched.length - 1] ?? 0) ^ 1
    expect(proofProblem({ ...proof, sessionId: randomBytes(32) })).toMatch(/not of this host key/)
    expect(proofProblem({ ...proof, blob: new TestHostKey(type).blob })).toMatch(/not of this host key/)
    expect(proofProblem({ ...proof, signature: touched })).toMatch(/not of this host key/)
  })

  it('does not hold when anything stands behind the key or the signature, or is cut off', () => {
    const cut = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, bytes.length - 1)
    const more = (bytes: Uint8Array): Uint8Array => Buffer.concat([bytes, sshString('')])
    for (const change of [cut, more]) {
      expect(proofProblem({ ...proof, blob: change(proof.blob) })).toBeDefined()
      expect(proofProblem({ ...proof, signature: change(proof.signature) })).toBeDefined()
    }
  })

  it('bears any other bytes in the place of any field', () => {
    fc.assert(fc.property(fc.constantFrom('blob', 'signature', 'sessionId'), fc.uint8Array({ maxLength: 600 }), (field, bytes) => {
      expect(typeof proofProblem({ ...proof, [field]: bytes })).toBe('string')
    }), { numRuns: 300 })
  })

  it('bears one changed byte anywhere', () => {
    fc.assert(fc.property(fc.constantFrom('blob', 'signature', 'sessionId'), fc.nat(), fc.integer({ min: 1, max: 255 }), (field, at, bits) => {
      const bytes = Buffer.from(proof[field as keyof HostProof])
      bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ bits
      expect(typeof proofProblem({ ...proof, [field]: bytes })).toBe('string')
    }), { numRuns: type.startsWith('rsa') ? 100 : 200 })
  })
})

describe('what proves nothing', () => {
  const rsa = new TestHostKey('rsa-sha2-256')
  const ed = new TestHostKey('ssh-ed25519')

  it('is a signature with SHA-1', () => {
    expect(proofProblem({ ...rsa.prove(SESSION), signature: rsa.sign(SESSION, 'ssh-rsa') })).toMatch(/type ssh-rsa .* is not taken/)
  })

  it('is a signature under another name than its key has', () => {
    expect(proofProblem({ ...ed.prove(SESSION), signature: blobOf('ssh-dss', randomBytes(40)) })).toMatch(/not taken/)
    expect(proofProblem({ ...rsa.prove(SESSION), signature: ed.sign(SESSION) })).toMatch(/not taken/)
    expect(proofProblem({ ...rsa.prove(SESSION), signature: blobOf('rsa-sha2-512', rsa.sign(SESSION).subarray(20)) })).toMatch(/not of this/)
  })

  it.each(['ssh-dss', 'sk-ssh-ed25519@openssh.com', 'ssh-ed25519-cert-v01@openssh.com', 'constructor', '__proto__'])('is a key of type %s', (type) => {
    const blob = Buffer.concat([sshString(type), ed.blob.subarray(15)])
    for (const name of [type, 'ssh-ed25519']) {
      expect(proofProblem({ blob, sessionId: SESSION, signature: blobOf(name, ed.sign(SESSION).subarray(19)) })).toMatch(/not taken/)
    }
  })

  it('is what a server signs besides: the proof of a host key update holds more than a session id', () => {
    const update = Buffer.concat([sshString('hostkeys-prove-00@openssh.com'), sshString(SESSION), sshString(ed.blob)])
    expect(proofProblem(ed.prove(update))).toMatch(/session id of \d+ bytes is none/)
    for (const size of [0, 1, 20, 31, 33]) expect(proofProblem(ed.prove(randomBytes(size)))).toMatch(/is none/)
  })

  it('is an RSA key that anybody could factor', () => {
    expect(proofProblem(new TestHostKey('rsa-sha2-256', 768).prove(SESSION))).toMatch(/RSA with 768 bits/)
  })

  it('is one key written in two ways: a zero more before its numbers makes another blob of it', () => {
    const proof = rsa.prove(SESSION)
    const e = proof.blob.subarray(11 + 4, 11 + 4 + 3)
    const n = proof.blob.subarray(11 + 4 + 3 + 4)
    const write = (exponent: Uint8Array, modulus: Uint8Array): Buffer => Buffer.concat([sshString('ssh-rsa'), sshString(exponent), sshString(modulus)])
    expect(write(e, n)).toEqual(proof.blob)
    for (const blob of [write(Buffer.concat([Buffer.of(0), e]), n), write(e, Buffer.concat([Buffer.of(0), n])), write(e, n.subarray(1))]) {
      expect(proofProblem({ ...proof, blob })).toBeDefined()
    }
  })
})
