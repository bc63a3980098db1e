import { createPrivateKey, type KeyObject, randomBytes } from 'node:crypto'
import { sshString } from './key-blob.ts'

/** Whether the text is a private key in PKCS#8 form ('BEGIN PRIVATE KEY'), which ssh2 cannot read; openssl and clouds write it. */
export function isPkcs8(text: string): boolean {
  return /-----BEGIN (ENCRYPTED )?PRIVATE KEY-----/.test(text)
}

export function isEncryptedPkcs8(text: string): boolean {
  return text.includes('-----BEGIN ENCRYPTED PRIVATE KEY-----')
}

/** The same key, not encrypted, in a form that ssh2 reads. Throws Error where the passphrase is wrong or SSH has no such keys. */
export function fromPkcs8(text: string, passphrase: string | undefined): string {
  if (isEncryptedPkcs8(text) && !passphrase) throw new Error('it needs a passphrase')
  let key: KeyObject
  try {
    key = createPrivateKey({ key: text, ...(passphrase === undefined ? {} : { passphrase }) })
  } catch (error) {
    throw new Error(isEncryptedPkcs8(text) ? 'it cannot be decrypted -- bad passphrase?' : 'the key in it is broken', { cause: error })
  }
  const { asymmetricKeyType: type } = key
  if (type === 'rsa') return key.export({ type: 'pkcs1', format: 'pem' }).toString()
  if (type === 'ec') return key.export({ type: 'sec1', format: 'pem' }).toString()
  if (type === 'ed25519') return opensshForm(key)
  throw new Error(`SSH has no keys of type ${type}`)
}

/** OpenSSH's own form of an Ed25519 key: no older one holds such keys. */
function opensshForm(key: KeyObject): string {
  const { x = '', d = '' } = key.export({ format: 'jwk' })
  const open = Buffer.from(x, 'base64url')
  const check = randomBytes(4)
  const name = sshString('ssh-ed25519')
  const blob = Buffer.concat([name, sshString(open)])
  const secret = Buffer.concat([check, check, name, sshString(open), sshString(Buffer.concat([Buffer.from(d, 'base64url'), open])), sshString('')])
  const padding = Buffer.from([1, 2, 3, 4, 5, 6, 7]).subarray(0, -secret.length & 7)
  const none = sshString('none')
  const bytes = Buffer.concat([Buffer.from('openssh-key-v1\0'), none, none, sshString(''), Buffer.from([0, 0, 0, 1]), sshString(blob), sshString(Buffer.concat([secret, padding]))])
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${bytes.toString('base64').replace(/.{1,70}/g, '$&\n')}-----END OPENSSH PRIVATE KEY-----\n`
}
