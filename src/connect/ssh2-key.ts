import keyParser from 'ssh2/lib/protocol/keyParser.js'
import utils from 'ssh2/lib/protocol/utils.js'
import { RametError } from '../router/errors.ts'
import type { SshKey } from './ssh-key.ts'

interface ParsedKey {
  type: string
  comment: string
  sign(data: Uint8Array, hash?: string): Buffer | Error
  isPrivateKey(): boolean
  getPublicSSH(): Buffer
}
const { parseKey } = keyParser as { parseKey(text: string, passphrase?: string): ParsedKey | ParsedKey[] | Error }
const { convertSignature } = utils as { convertSignature(signature: Buffer, type: string): Buffer | false | undefined }

const HASHES: Record<string, string> = { 'rsa-sha2-256': 'sha256', 'rsa-sha2-512': 'sha512', 'ssh-rsa': 'sha1' }

export interface PrivateKeyOptions {
  /** For messages: usually the file's path. */
  comment: string
  passphrase?: string | undefined
}

/** True when the text is a private key that needs a passphrase. */
export function isEncryptedKey(text: string): boolean {
  const parsed = parseKey(text)
  return parsed instanceof Error && /no passphrase given/i.test(parsed.message)
}

/** A key from the text of a private key file (OpenSSH, PEM or PuTTY form). Throws key-unreadable. */
export function privateKey(text: string, options: PrivateKeyOptions): SshKey {
  const result = parseKey(text, options.passphrase)
  const parsed = Array.isArray(result) ? result[0] : result
  if (parsed === undefined || parsed instanceof Error) {
    const wrong = parsed !== undefined && /passphrase/i.test(parsed.message)
    throw new RametError('key-unreadable', `${options.comment}: ${parsed?.message ?? 'holds no key'}`, {
      stage: 'auth', outcome: 'not-sent', cause: parsed,
      hint: wrong ? 'Give the right passphrase, or add the key to an agent.' : 'Check that the file is a private key.',
    })
  }
  if (!parsed.isPrivateKey()) {
    throw new RametError('key-unreadable', `${options.comment} holds a public key only`, {
      stage: 'auth', outcome: 'not-sent', hint: 'Name the private key file (the one without .pub).',
    })
  }
  return {
    publicBlob: parsed.getPublicSSH(), type: parsed.type, comment: options.comment, local: true,
    sign: (data, algorithm) => signatureBlob(parsed, data, algorithm),
  }
}

/**
 * A key whose passphrase is asked for only when the server has said that it would accept the key. `text` must be in
 * OpenSSH's own format, whose public part is readable; undefined when it is not.
 */
export function lockedKey(text: string, comment: string, ask: () => Promise<string>): SshKey | undefined {
  const blob = publicPartOf(text)
  if (blob === undefined) return undefined
  let opened: Promise<SshKey> | undefined
  return {
    publicBlob: blob, type: blob.toString('latin1', 4, 4 + blob.readUInt32BE(0)), comment, local: false,
    async sign(data, algorithm) {
      opened ??= ask().then((passphrase) => privateKey(text, { comment, passphrase }))
      return (await opened).sign(data, algorithm)
    },
  }
}

function publicPartOf(text: string): Buffer | undefined {
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
  if (next() === undefined || next() === undefined || next() === undefined) return undefined
  at += 4
  const blob = next()
  if (blob === undefined || blob.length < 4 || blob.readUInt32BE(0) > Math.min(64, blob.length - 4)) return undefined
  return blob
}

function signatureBlob(key: ParsedKey, data: Uint8Array, algorithm: string): Uint8Array {
  const raw = key.sign(data, key.type === 'ssh-rsa' ? HASHES[algorithm] : undefined)
  if (raw instanceof Error) throw raw
  const signature = convertSignature(raw, key.type)
  if (!signature) throw new Error(`cannot sign with a ${key.type} key`)
  const name = Buffer.from(algorithm)
  const out = Buffer.alloc(8 + name.length + signature.length)
  out.writeUInt32BE(name.length, 0)
  out.set(name, 4)
  out.writeUInt32BE(signature.length, 4 + name.length)
  out.set(signature, 8 + name.length)
  return out
}
