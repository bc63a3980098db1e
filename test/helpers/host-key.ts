import { type KeyObject, generateKeyPairSync, sign } from 'node:crypto'
import { sshString } from '../../src/connect/key-blob.ts'
import type { HostProof } from '../../src/connect/hop.ts'

export const HOST_KEY_TYPES = ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521', 'rsa-sha2-256', 'rsa-sha2-512'] as const
export type HostKeyAlgorithm = (typeof HOST_KEY_TYPES)[number]

const CURVES = { 'ecdsa-sha2-nistp256': ['P-256', 32, 'sha256'], 'ecdsa-sha2-nistp384': ['P-384', 48, 'sha384'], 'ecdsa-sha2-nistp521': ['P-521', 66, 'sha512'] } as const

/** A host key made without ssh2 or OpenSSH, and what it signs: the blobs are put together here. */
export class TestHostKey {
  readonly blob: Buffer
  readonly algorithm: string
  private readonly privateKey: KeyObject

  constructor(algorithm: HostKeyAlgorithm, bits = 2048) {
    this.algorithm = algorithm
    if (algorithm === 'ssh-ed25519') {
      const pair = generateKeyPairSync('ed25519')
      this.privateKey = pair.privateKey
      this.blob = Buffer.concat([sshString(algorithm), sshString(base64(pair.publicKey.export({ format: 'jwk' }).x))])
    } else if (algorithm in CURVES) {
      const [crv] = CURVES[algorithm as keyof typeof CURVES]
      const pair = generateKeyPairSync('ec', { namedCurve: crv })
      const { x, y } = pair.publicKey.export({ format: 'jwk' })
      this.privateKey = pair.privateKey
      this.blob = Buffer.concat([sshString(algorithm), sshString(algorithm.slice(11)), sshString(Buffer.concat([Buffer.of(4), base64(x), base64(y)]))])
    } else {
      const pair = generateKeyPairSync('rsa', { modulusLength: bits })
      const { n, e } = pair.publicKey.export({ format: 'jwk' })
      this.privateKey = pair.privateKey
      this.blob = Buffer.concat([sshString('ssh-rsa'), sshString(mpint(base64(e))), sshString(mpint(base64(n)))])
    }
  }

  /** SSH's signature blob. */
  sign(data: Uint8Array, algorithm = this.algorithm): Buffer {
    if (algorithm === 'ssh-ed25519') return blobOf(algorithm, sign(null, data, this.privateKey))
    if (algorithm in CURVES) {
      const [, size, hash] = CURVES[algorithm as keyof typeof CURVES]
      const raw = sign(hash, data, { key: this.privateKey, dsaEncoding: 'ieee-p1363' })
      return blobOf(algorithm, Buffer.concat([sshString(mpint(raw.subarray(0, size))), sshString(mpint(raw.subarray(size)))]))
    }
    return blobOf(algorithm, sign({ 'rsa-sha2-256': 'sha256', 'rsa-sha2-512': 'sha512' }[algorithm] ?? 'sha1', data, this.privateKey))
  }

  /** What a server shows that owns this key and names the session so. */
  prove(sessionId: Uint8Array): HostProof {
    return { blob: this.blob, sessionId, signature: this.sign(sessionId) }
  }
}

/** An unsigned number as SSH writes it. */
export function mpint(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0)
  const digits = Buffer.from(bytes.subarray(first === -1 ? bytes.length : first))
  return (digits[0] ?? 0) > 127 ? Buffer.concat([Buffer.of(0), digits]) : digits
}

export function blobOf(algorithm: string, signature: Uint8Array): Buffer {
  return Buffer.concat([sshString(algorithm), sshString(signature)])
}

function base64(text: string | undefined): Buffer {
  return Buffer.from(text ?? '', 'base64url')
}
