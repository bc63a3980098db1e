import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { endOfString, isCertificate, keyType } from './key-blob.ts'

/** The largest RSA keys and certificates stay far below. Larger files are no keys and are not read. */
const MAX_KEY_FILE = 256 * 1024
/** OpenSSH's own limit. */
const MAX_FILES = 100

export interface FileCertificate {
  readonly path: string
  readonly blob: Uint8Array
  readonly type: string
}

/** What lies at one IdentityFile, and beside it. Nothing is decrypted. */
export interface FileIdentity {
  /** The private key's path, also when only `path.pub` is there. */
  readonly path: string
  /** The user named it; otherwise it is one of OpenSSH's default names. */
  readonly given: boolean
  /** The private key file; undefined when it is missing, unusable or a public key. */
  readonly text: string | undefined
  readonly encrypted: boolean
  /** From the private key file itself, else from `path.pub`. Undefined for old formats with neither. */
  readonly publicBlob: Uint8Array | undefined
  readonly type: string | undefined
  /** `path-cert.pub`, looked for where no CertificateFile is configured. */
  readonly certificate: FileCertificate | undefined
  /** Why a private key that is there cannot be used, for messages. */
  readonly problem: string | undefined
}

/**
 * Reads identity files, in order; names at which there is nothing at all are left out, unless `given`: those are kept, with
 * `problem`, so that an error can name them. Never rejects.
 */
export async function loadIdentityFiles(paths: readonly string[], given: boolean, withCertificates: boolean): Promise<FileIdentity[]> {
  const found = await Promise.all([...new Set(paths)].slice(0, MAX_FILES).map((path) => loadIdentity(path, given, withCertificates)))
  return found.filter((file) => file !== undefined)
}

/** Certificates named by CertificateFile; what cannot be read or is no user certificate is left out, as OpenSSH does. */
export async function loadCertificates(paths: readonly string[]): Promise<FileCertificate[]> {
  const found = await Promise.all(paths.slice(0, MAX_FILES).map((path) => loadCertificate(path)))
  return found.filter((certificate) => certificate !== undefined)
}

async function loadIdentity(path: string, given: boolean, withCertificates: boolean): Promise<FileIdentity | undefined> {
  const own = await readKeyFile(path)
  // IdentityFile may name a public key whose other half an agent holds.
  const bare = own.text === undefined ? undefined : parsePublic(own.text)
  const beside = bare === undefined && own.text === undefined ? await readKeyFile(`${path}.pub`) : undefined
  if (own.missing && beside?.missing !== false) {
    if (!given) return undefined
    const nothing = { text: undefined, encrypted: false, publicBlob: undefined, type: undefined, certificate: undefined }
    return { path, given, ...nothing, problem: 'there is no such file' }
  }
  let text = bare === undefined ? own.text : undefined
  let problem = own.missing ? undefined : own.problem
  if (text !== undefined && !/-----BEGIN [A-Z ]*PRIVATE KEY-----|^PuTTY-User-Key-File-/.test(text)) {
    text = undefined
    problem = 'it holds no private key'
  } else if (text !== undefined && own.exposed) {
    text = undefined
    problem = 'others may read it (chmod go-rwx)'
  }
  const inside = own.text === undefined ? undefined : publicPart(own.text)
  const publicBlob = bare ?? inside ?? await publicBeside(path, beside?.text)
  const usable = publicBlob !== undefined || text !== undefined
  const certificate = withCertificates && usable ? await loadCertificate(`${path}-cert.pub`) : undefined
  return {
    path, given, text, encrypted: text !== undefined && isEncrypted(text), publicBlob,
    type: publicBlob === undefined ? undefined : keyType(publicBlob), certificate, problem,
  }
}

async function publicBeside(path: string, text: string | undefined): Promise<Uint8Array | undefined> {
  const found = text ?? (await readKeyFile(`${path}.pub`)).text
  return found === undefined ? undefined : parsePublic(found)
}

async function loadCertificate(path: string): Promise<FileCertificate | undefined> {
  const { text } = await readKeyFile(path)
  const blob = text === undefined ? undefined : parsePublic(text)
  const type = blob === undefined ? undefined : keyType(blob)
  return blob !== undefined && type !== undefined && isCertificate(type) ? { path, blob, type } : undefined
}

interface KeyFile {
  missing: boolean
  text: string | undefined
  /** Readable by others while it is ours: OpenSSH uses no such private key. */
  exposed: boolean
  problem: string | undefined
}

const reading = new Map<string, Promise<KeyFile>>()

/** Many connections that start at once ask for the same few files: they share one reading, and nothing is kept after it. */
function readKeyFile(path: string): Promise<KeyFile> {
  let result = reading.get(path)
  if (result === undefined) {
    result = readNow(path).finally(() => reading.delete(path))
    reading.set(path, result)
  }
  return result
}

async function readNow(path: string): Promise<KeyFile> {
  try {
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const info = await handle.stat()
      if (!info.isFile()) throw new Error('it is no regular file')
      if (info.size > MAX_KEY_FILE) throw new Error(`it is larger than ${MAX_KEY_FILE / 1024} KiB`)
      const bytes = Buffer.alloc(info.size)
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0)
      const exposed = info.uid === process.getuid?.() && (info.mode & 0o077) !== 0
      return { missing: false, text: bytes.toString('latin1', 0, bytesRead), exposed, problem: undefined }
    } finally {
      await handle.close()
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    return { missing: code === 'ENOENT' || code === 'ENOTDIR', text: undefined, exposed: false, problem: message }
  }
}

/** The blob of the first public key line of a file: 'ssh-ed25519 AAAA… comment'. */
function parsePublic(text: string): Uint8Array | undefined {
  for (const line of text.split('\n')) {
    const match = /^\s*([a-z0-9@.-]+)[ \t]+([A-Za-z0-9+/]+=*)(?:\s|$)/.exec(line)
    if (match === null) continue
    const blob = Buffer.from(match[2] as string, 'base64')
    if (keyType(blob) === match[1]) return blob
  }
  return undefined
}

/** OpenSSH's own format holds the public key in the clear, and so does PuTTY's. */
function publicPart(text: string): Uint8Array | undefined {
  const bytes = opensshBytes(text)
  if (bytes !== undefined) {
    const options = endOfString(bytes, endOfString(bytes, endOfString(bytes, MAGIC.length)))
    if (options === -1) return undefined
    const end = endOfString(bytes, options + 4)
    const blob = end === -1 ? undefined : Buffer.from(bytes.subarray(options + 8, end))
    return blob !== undefined && keyType(blob) !== undefined ? blob : undefined
  }
  const putty = /^PuTTY-User-Key-File-[\s\S]*?\r?\nPublic-Lines: \d+\r?\n((?:[A-Za-z0-9+/=]+\r?\n)+)/.exec(text)
  const blob = putty === null ? undefined : Buffer.from(putty[1] as string, 'base64')
  return blob !== undefined && keyType(blob) !== undefined ? blob : undefined
}

const MAGIC = 'openssh-key-v1\0'

function opensshBytes(text: string): Buffer | undefined {
  const body = /-----BEGIN OPENSSH PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END/.exec(text)?.[1]
  const bytes = body === undefined ? undefined : Buffer.from(body, 'base64')
  return bytes?.toString('latin1', 0, MAGIC.length) === MAGIC ? bytes : undefined
}

/** Does the private key need a passphrase? */
function isEncrypted(text: string): boolean {
  const bytes = opensshBytes(text)
  if (bytes !== undefined) {
    const end = endOfString(bytes, MAGIC.length)
    return end !== -1 && bytes.toString('latin1', MAGIC.length + 4, end) !== 'none'
  }
  return /-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED|^Encryption: (?!none)/m.test(text)
}
