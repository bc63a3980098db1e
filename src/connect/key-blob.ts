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

/** Names of the host key algorithms that a key of this type serves, best first. SHA-1 is left out. */
export function hostKeyAlgorithms(type: string): string[] {
  return type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [type]
}

/** Fields of the public key inside a certificate, behind its nonce. */
const CERTIFIED_FIELDS: Record<string, number> = {
  'ssh-ed25519': 1, 'ssh-rsa': 2, 'ssh-dss': 4, 'ecdsa-sha2-nistp256': 2, 'ecdsa-sha2-nistp384': 2, 'ecdsa-sha2-nistp521': 2,
  'sk-ssh-ed25519@openssh.com': 2, 'sk-ecdsa-sha2-nistp256@openssh.com': 3,
}

/** The key that a certificate is about, as its own blob; any other key blob is returned as it is. Undefined for junk. */
export function plainKey(blob: Uint8Array): Uint8Array | undefined {
  const type = keyType(blob)
  if (type === undefined) return undefined
  if (!isCertificate(type)) return blob
  const plain = plainType(type)
  const fields = CERTIFIED_FIELDS[plain]
  const bytes = Buffer.from(blob.buffer, blob.byteOffset, blob.length)
  const nonce = endOfString(bytes, endOfString(bytes, 0))
  let end = nonce
  for (let i = 0; i < (fields ?? 0); i++) end = endOfString(bytes, end)
  if (fields === undefined || end === -1) return undefined
  return Buffer.concat([sshString(plain), bytes.subarray(nonce, end)])
}

/** Where the string that begins at `at` ends; -1 when it is cut short, or `at` is -1 already. */
export function endOfString(bytes: Buffer, at: number): number {
  if (at === -1 || at + 4 > bytes.length) return -1
  const end = at + 4 + bytes.readUInt32BE(at)
  return end > bytes.length ? -1 : end
}

/** SSH's `string`: four bytes of length, then the bytes. */
export function sshString(value: Uint8Array | string): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  const out = Buffer.allocUnsafe(4 + bytes.length)
  out.writeUInt32BE(bytes.length, 0)
  out.set(bytes, 4)
  return out
}
