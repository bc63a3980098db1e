import { createHash } from 'node:crypto'

/** Longest public key that is looked at: RSA with 16384 bits and certificates with many principals fit. */
export const MAX_KEY_BLOB = 64 * 1024

/** The SSH name inside a public key blob ('ssh-ed25519'), or undefined when the bytes are no key blob. */
export function keyType(blob: Uint8Array): string | undefined {
  if (blob.length < 5 || blob.length > MAX_KEY_BLOB) return undefined
  const length = ((blob[0] as number) << 24) | ((blob[1] as number) << 16) | ((blob[2] as number) << 8) | (blob[3] as number)
  if (length < 1 || length > 128 || 4 + length >= blob.length) return undefined
  const name = Buffer.from(blob.buffer, blob.byteOffset + 4, length).toString('latin1')
  return /^[\x21-\x7e]+$/.test(name) ? name : undefined
}

/** 'SHA256:…' as OpenSSH prints it. */
export function fingerprint(blob: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0
}

/** The type of a certificate's key, or the type itself: 'ssh-ed25519-cert-v01@openssh.com' is of type 'ssh-ed25519'. */
export function plainType(type: string): string {
  const match = /^(.+)-cert-v0[01]@openssh\.com$/.exec(type)
  if (match === null) return type
  const plain = match[1] as string
  return plain.startsWith('sk-') ? `${plain}@openssh.com` : plain.replace(/^rsa-sha2-(256|512)$/, 'ssh-rsa')
}

export function isCertificate(type: string): boolean {
  return type.includes('-cert-v0')
}

/** The signature algorithms that a key of this type can be used with, best first. SHA-1 is left out. */
export function signatureAlgorithms(type: string): string[] {
  return type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [type]
}
