import { createHash, createPrivateKey, type KeyObject, sign } from 'node:crypto'
import keyParser from 'ssh2/lib/protocol/keyParser.js'
import utils from 'ssh2/lib/protocol/utils.js'
import { RametError } from '../router/errors.ts'
import { fromPkcs8, isEncryptedPkcs8, isPkcs8 } from './pkcs8.ts'
import type { SshKey } from './ssh-key.ts'

interface ParsedKey {
  type: string
  comment: string
  isPrivateKey(): boolean
  getPublicSSH(): Buffer
  getPrivatePEM(): string
}
const { parseKey } = keyParser as { parseKey(text: string, passphrase?: string): ParsedKey | ParsedKey[] | Error }
const { convertSignature } = utils as { convertSignature(signature: Buffer, type: string): Buffer | false | undefined }

/** By signature algorithm; Ed25519 has none of its own to choose. */
const HASHES: Record<string, string> = {
  'rsa-sha2-256': 'sha256', 'rsa-sha2-512': 'sha512', 'ssh-rsa': 'sha1', 'ssh-dss': 'sha1',
  'ecdsa-sha2-nistp256': 'sha256', 'ecdsa-sha2-nistp384': 'sha384', 'ecdsa-sha2-nistp521': 'sha512',
}

/**
 * Keys in use, by what they were read from: most targets are logged in to with the same one, and reading a key takes ten times
 * as long as signing. Whoever uses one keeps it; nothing is kept here, least of all its text.
 */
const held = new Map<string, WeakRef<SshKey>>()
const HELD_MAX = 32

export interface PrivateKeyOptions {
  /** For messages: usually the file's path. */
  comment: string
  passphrase?: string | undefined
}

/** True when the text is a private key that needs a passphrase. */
export function isEncryptedKey(text: string): boolean {
  if (isEncryptedPkcs8(text)) return true
  const parsed = parseKey(text)
  return parsed instanceof Error && /no passphrase given/i.test(parsed.message)
}

/** The key from this text, if somebody uses it. */
export function heldKey(text: string, { comment, passphrase }: PrivateKeyOptions): SshKey | undefined {
  return held.get(nameOf(text, comment, passphrase))?.deref()
}

/** A key from the text of a private key file (OpenSSH, PEM, PKCS#8 or PuTTY form). Throws key-unreadable. */
export function privateKey(text: string, options: PrivateKeyOptions): SshKey {
  const before = heldKey(text, options)
  if (before !== undefined) return before
  refuseCipher(text, options.comment)
  const result = parsedKey(text, options.passphrase)
  const parsed = Array.isArray(result) ? result[0] : result
  if (parsed === undefined || parsed instanceof Error) {
    // A cipher that proves what it deciphers says no more than that it could not.
    const unproven = parsed !== undefined && /unable to authenticate data/i.test(parsed.message)
    const wrong = unproven || (parsed !== undefined && /passphrase/i.test(parsed.message))
    throw new RametError('key-unreadable', `${options.comment}: ${unproven ? 'the passphrase is wrong' : parsed?.message ?? 'holds no key'}`, {
      stage: 'auth', outcome: 'not-sent', cause: parsed,
      hint: wrong ? 'Give the right passphrase, or add the key to an agent.' : 'Check that the file is a private key.',
    })
  }
  if (!parsed.isPrivateKey()) {
    throw new RametError('key-unreadable', `${options.comment} holds a public key only`, {
      stage: 'auth', outcome: 'not-sent', hint: 'Name the private key file (the one without .pub).',
    })
  }
  let object: KeyObject | undefined
  const key: SshKey = {
    publicBlob: parsed.getPublicSSH(), type: parsed.type, comment: options.comment, local: true,
    sign(data, algorithm) {
      object ??= createPrivateKey(parsed.getPrivatePEM())
      return signatureBlob(object, parsed.type, data, algorithm)
    },
  }
  for (const [name, other] of held) if (held.size >= HELD_MAX && other.deref() === undefined) held.delete(name)
  held.set(nameOf(text, options.comment, options.passphrase), new WeakRef(key))
  return key
}

function parsedKey(text: string, passphrase: string | undefined): ParsedKey | ParsedKey[] | Error {
  try {
    return isPkcs8(text) ? parseKey(fromPkcs8(text, passphrase)) : parseKey(text, passphrase)
  } catch (error) {
    return error as Error
  }
}

function nameOf(text: string, comment: string, passphrase: string | undefined): string {
  return createHash('sha256').update(JSON.stringify([text, comment, passphrase])).digest('base64')
}

/**
 * A key whose passphrase is asked for only when the server has said that it would accept the key. `text` must be in
 * OpenSSH's own format, whose public part is readable; undefined when it is not.
 */
export function lockedKey(text: string, comment: string, ask: () => Promise<string>): SshKey | undefined {
  const blob = partsOf(text)?.blob
  if (blob === undefined) return undefined
  // Nobody shall type a passphrase that opens nothing.
  refuseCipher(text, comment)
  let opened: Promise<SshKey> | undefined
  return {
    publicBlob: blob, type: blob.toString('latin1', 4, 4 + blob.readUInt32BE(0)), comment, local: false,
    async sign(data, algorithm) {
      opened ??= ask().then((passphrase) => privateKey(text, { comment, passphrase }))
      return (await opened).sign(data, algorithm)
    },
  }
}

/** OpenSSH writes keys by this cipher, too (ssh-keygen -Z), and ssh2 cannot read them. */
const UNREAD_CIPHER = 'chacha20-poly1305@openssh.com'

function refuseCipher(text: string, comment: string): void {
  if (partsOf(text)?.cipher !== UNREAD_CIPHER) return
  throw new RametError('key-unreadable', `${comment}: it is encrypted with ${UNREAD_CIPHER}, which ramet cannot decipher`, {
    stage: 'auth', outcome: 'not-sent', hint: 'Encrypt it with another cipher (ssh-keygen -p -Z aes256-ctr -f FILE), add it to an agent, or use transport openssh.' })
}

/** What is readable in a file of OpenSSH's own format without its passphrase; undefined for anything else. */
function partsOf(text: string): { cipher: string; blob: Buffer } | undefined {
  const body = /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]+?)-----END/.exec(text)?.[1]
  if (body === undefined) return undefined
  const bytes = Buffer.from(body, 'base64')
  if (bytes.toString('latin1', 0, 15) !== 'openssh-key-v1\0') return undefined
  let at = 15
  const next = (): Buffer | undefined => {
    if (at + 4 > bytes.length) return undefined
    const length = bytes.readUInt32BE(at)
    if (length > bytes.length - at - 4) return undefined
    at += 4 + length
    return bytes.subarray(at - length, at)
  }
  // cipher, kdf, kdf options, number of keys, first public key
  const cipher = next()?.toString('latin1')
  if (cipher === undefined || next() === undefined || next() === undefined) return undefined
  at += 4
  const blob = next()
  if (blob === undefined || blob.length < 4 || blob.readUInt32BE(0) > Math.min(64, blob.length - 4)) return undefined
  return { cipher, blob }
}

function signatureBlob(key: KeyObject, type: string, data: Uint8Array, algorithm: string): Uint8Array {
  const raw = sign(type === 'ssh-ed25519' ? null : HASHES[type === 'ssh-rsa' ? algorithm : type], data, key)
  const signature = convertSignature(raw, type)
  if (!signature) throw new Error(`cannot sign with a ${type} key`)
  const name = Buffer.from(algorithm)
  const out = Buffer.alloc(8 + name.length + signature.length)
  out.writeUInt32BE(name.length, 0)
  out.set(name, 4)
  out.writeUInt32BE(signature.length, 4 + name.length)
  out.set(signature, 8 + name.length)
  return out
}
