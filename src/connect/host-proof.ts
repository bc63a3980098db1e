import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { printableLine } from '../base/printable.ts'
import type { HostProof } from './hop.ts'
import { endOfString, keyType } from './key-blob.ts'

/** Longest host key and signature that are looked at: RSA with 16384 bits. */
const MAX_HOST_KEY = 4096
const MAX_SIGNATURE = 4096
/** OpenSSH's RequiredRSASize. */
const MIN_RSA_BITS = 1024
const MAX_RSA_BITS = 16_384

/** Bytes of the hashes that key exchanges use: SHA-256, 384, 512. SHA-1 is left out, and so is whatever else a server signs. */
const SESSION_ID_SIZES = [32, 48, 64]

interface Curve {
  name: string
  crv: string
  /** Of a coordinate, in bytes. */
  size: number
  hash: string
}

const CURVES = new Map<string, Curve>([
  ['ecdsa-sha2-nistp256', { name: 'nistp256', crv: 'P-256', size: 32, hash: 'sha256' }],
  ['ecdsa-sha2-nistp384', { name: 'nistp384', crv: 'P-384', size: 48, hash: 'sha384' }],
  ['ecdsa-sha2-nistp521', { name: 'nistp521', crv: 'P-521', size: 66, hash: 'sha512' }],
])
const RSA_HASHES = new Map([['rsa-sha2-256', 'sha256'], ['rsa-sha2-512', 'sha512']])

/**
 * Whether the owner of this host key has signed this session's id. Undefined: so it is; else why not, for a message. Plain
 * ed25519, ECDSA and RSA keys with SHA-2; nothing else, nothing cut short and nothing behind. Never throws.
 */
export function proofProblem({ blob, signature, sessionId }: HostProof): string | undefined {
  if (!SESSION_ID_SIZES.includes(sessionId.length)) return `a session id of ${sessionId.length} bytes is none`
  if (blob.length > MAX_HOST_KEY || signature.length > MAX_SIGNATURE) return 'the host key or its signature is too long'
  const type = keyType(blob)
  const fields = stringsOf(blob)
  const parts = stringsOf(signature)
  if (type === undefined || fields === undefined || parts === undefined || parts.length !== 2) return 'the host key or its signature is malformed'
  const [algorithm, raw] = [(parts[0] as Buffer).toString('latin1'), parts[1] as Buffer]
  let good: boolean
  try {
    const curve = CURVES.get(type)
    const rsaHash = type === 'ssh-rsa' ? RSA_HASHES.get(algorithm) : undefined
    if (type === 'ssh-ed25519' && algorithm === type) good = verifyEd25519(fields, raw, sessionId)
    else if (curve !== undefined && algorithm === type) good = verifyEcdsa(curve, fields, raw, sessionId)
    else if (rsaHash !== undefined) good = verifyRsa(rsaHash, fields, raw, sessionId)
    else return `a host key of type ${type} with a signature of type ${printableLine(algorithm, 64)} is not taken`
  } catch (error) {
    return `the host key cannot be used (${(error as Error).message.split('\n')[0]})`
  }
  return good ? undefined : 'the signature is not of this host key over this session'
}

function verifyEd25519(fields: Buffer[], signature: Buffer, data: Uint8Array): boolean {
  const [, point] = fields
  if (fields.length !== 2 || point?.length !== 32 || signature.length !== 64) return false
  return verify(null, data, jwk({ kty: 'OKP', crv: 'Ed25519', x: point.toString('base64url') }), signature)
}

function verifyEcdsa({ name: curve, crv, size, hash }: Curve, fields: Buffer[], signature: Buffer, data: Uint8Array): boolean {
  const [, name, point] = fields
  const numbers = stringsOf(signature)
  if (fields.length !== 3 || name?.toString('latin1') !== curve || point?.length !== 1 + 2 * size || point[0] !== 4) return false
  const [r, s] = (numbers?.length === 2 ? numbers : []).map((number) => fixed(number, size))
  if (r === undefined || s === undefined) return false
  const key = jwk({ kty: 'EC', crv, x: point.toString('base64url', 1, 1 + size), y: point.toString('base64url', 1 + size) })
  return verify(hash, data, { key, dsaEncoding: 'ieee-p1363' }, Buffer.concat([r, s]))
}

function verifyRsa(hash: string, fields: Buffer[], signature: Buffer, data: Uint8Array): boolean {
  const [e, n] = fields.slice(1).map(positive)
  if (fields.length !== 3 || e === undefined || n === undefined || e.length > 8) return false
  const bits = n.length * 8 - Math.clz32(n[0] ?? 0) + 24
  if (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS) throw new Error(`RSA with ${bits} bits`)
  const padded = fixed(signature, n.length)
  return padded !== undefined && verify(hash, data, jwk({ kty: 'RSA', n: n.toString('base64url'), e: e.toString('base64url') }), padded)
}

function jwk(key: Record<string, string>): KeyObject {
  return createPublicKey({ key, format: 'jwk' })
}

/** The strings that bytes consist of, at most four; undefined where something is cut short or left over. */
function stringsOf(bytes: Uint8Array): Buffer[] | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const found: Buffer[] = []
  for (let at = 0; at < buffer.length;) {
    const end = endOfString(buffer, at)
    if (end === -1 || found.length === 4) return undefined
    found.push(buffer.subarray(at + 4, end))
    at = end
  }
  return found
}

/**
 * An SSH mpint above nought, without the zero before a high bit. Undefined where it is not written the one way it should be: one
 * key must not pass for two by a zero more.
 */
function positive(number: Buffer): Buffer | undefined {
  const [first = 0, second = 0] = number
  if (first > 127 || (first === 0 && second < 128)) return undefined
  return first === 0 ? number.subarray(1) : number
}

/** An unsigned number in just so many bytes. */
function fixed(number: Buffer, size: number): Buffer | undefined {
  const first = number.findIndex((byte) => byte !== 0)
  const digits = first === -1 ? Buffer.alloc(0) : number.subarray(first)
  return digits.length > size ? undefined : Buffer.concat([Buffer.alloc(size - digits.length), digits])
}
