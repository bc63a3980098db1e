import { createHmac, randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { RametError } from '../router/errors.ts'
import { fingerprint, hostKeyAlgorithms, isCertificate, keyType, plainType, sameBytes } from './key-blob.ts'
import { lineKey, loadHostFile } from './known-hosts-file.ts'
import type { HostFile, HostLine } from './known-hosts-file.ts'

export interface LookupOptions {
  /** OpenSSH's HostKeyAlias: looked up in place of host and port. */
  alias?: string | undefined
}

/**
 * known: a line holds this very key. unknown: no line speaks of this host. changed: lines speak of it and none holds this key,
 * whatever type they have (as OpenSSH: a machine that is known by another type only gets the same refusal; ask for the types
 * in algorithms() first, so that an honest one never comes to that). revoked: a line forbids the key; that outweighs all else.
 */
export interface Verdict {
  status: 'known' | 'unknown' | 'changed' | 'revoked'
  /** What was looked up: 'web1', '[web1]:2222' or an alias. */
  name: string
  offeredType: string
  offeredFingerprint: string
  /** The line that decided; none when unknown. Of several that differ, the first with a key of the offered type. */
  file?: string
  line?: number
  knownType?: string
  knownFingerprint?: string
  /** A matching @cert-authority line when the host is unknown: only OpenSSH's own client can use it (transport 'openssh'). */
  certAuthority?: { file: string; line: number }
}

/** The known_hosts files of one connection, user's files first, as they were when loaded. */
export class KnownHosts {
  private readonly files: readonly HostFile[]

  private constructor(files: readonly HostFile[]) {
    this.files = files
  }

  /**
   * Missing files are empty. Files are kept parsed for the whole process until they change, so this costs a stat each.
   * Throws 'config-invalid' for a file that cannot be read or has more than 64 MiB.
   */
  static async load(files: readonly string[]): Promise<KnownHosts> {
    return new KnownHosts(await Promise.all([...new Set(files)].map((path) => loadHostFile(path))))
  }

  /** `key` is the host's public key blob as it came in the key exchange. */
  check(host: string, port: number, key: Uint8Array, options: LookupOptions = {}): Verdict {
    const name = lookupName(host, port, options.alias)
    const plain = options.alias === undefined && port !== 22 ? lookupName(host, 22) : undefined
    const offered = { name, offeredType: keyType(key) ?? '', offeredFingerprint: fingerprint(key) }

    for (const each of [name, plain]) {
      if (each === undefined) continue
      const line = this.files.flatMap((file) => file.findRevoked(each)).find((candidate) => holds(candidate, key))
      if (line !== undefined) return { ...offered, name: each, status: 'revoked', ...place(line) }
    }

    const own = this.look(name, key)
    if (own.status === 'changed') return { ...offered, ...own }
    // A key recorded without port counts for every port, but only in favour: OpenSSH does the same.
    const result = own.status === 'unknown' && plain !== undefined ? this.look(plain, key) : own
    return { ...offered, ...(result.status === 'known' ? result : own) }
  }

  /**
   * Host key algorithms for which a key of this host is on file, best first per line; offer them before others. Empty: the host
   * is unknown. Certificate algorithms are never among them.
   */
  algorithms(host: string, port: number, options: { alias?: string | undefined } = {}): string[] {
    let lines = this.plainLines(lookupName(host, port, options.alias))
    if (lines.length === 0 && options.alias === undefined && port !== 22) lines = this.plainLines(lookupName(host, 22))
    const types = new Set<string>()
    for (const line of lines) {
      const blob = lineKey(line)
      const type = blob === undefined ? undefined : keyType(blob)
      if (type !== undefined && !isCertificate(type)) types.add(plainType(type))
    }
    return [...types].flatMap((type) => hostKeyAlgorithms(type))
  }

  /** A line that holds this key, for whatever host. */
  holder(key: Uint8Array): { file: string; line: number } | undefined {
    const base64 = Buffer.from(key).toString('base64')
    return this.files.flatMap((file) => file.withKey(base64))[0]
  }

  private plainLines(name: string): HostLine[] {
    return this.files.flatMap((file) => file.find(name)).filter((line) => line.marker === 'none')
  }

  private look(name: string, key: Uint8Array): Pick<Verdict, 'status'> & Partial<Verdict> {
    const base64 = Buffer.from(key).toString('base64')
    for (const file of this.files) {
      const line = file.findWithKey(name, base64).find((candidate) => candidate.marker === 'none' && holds(candidate, key))
      if (line !== undefined) return { status: 'known', ...place(line) }
    }
    // The quick way knows only keys in their usual base64; only the whole list may say that the host is unknown or changed.
    const lines = this.files.flatMap((file) => file.find(name))
    const usable = lines.filter((line) => line.marker === 'none' && lineKey(line) !== undefined)
    const same = usable.find((line) => holds(line, key))
    if (same !== undefined) return { status: 'known', ...place(same) }
    const type = keyType(key)
    const differing = usable.find((line) => keyType(lineKey(line) as Uint8Array) === type) ?? usable[0]
    if (differing !== undefined) return { status: 'changed', ...place(differing) }
    const authority = lines.find((line) => line.marker === 'cert-authority')
    return { status: 'unknown', ...(authority === undefined ? {} : { certAuthority: { file: authority.file, line: authority.line } }) }
  }
}

/** The name under which known_hosts holds a host: lower case, with the port in brackets where it is not 22. */
export function lookupName(host: string, port: number, alias?: string): string {
  if (alias !== undefined) return alias.toLowerCase()
  const name = host.toLowerCase()
  return port === 22 ? name : `[${name}]:${port}`
}

export interface AppendOptions {
  /** Store the name as HMAC (HashKnownHosts). Default false. */
  hash?: boolean
  alias?: string | undefined
}

const appending = new Map<string, Promise<unknown>>()

/**
 * Adds a line for a host seen for the first time: one write at the end of the file, which is created with mode 0600 (its folder
 * with 0700). Resolves false when the key is there already. Rejects with 'host-key-changed' or 'host-key-revoked' when another
 * connection has meanwhile saved something else, 'target-invalid' for a name that would read as a pattern, 'config-invalid' when
 * the file cannot be written.
 */
export function appendKnownHost(
  file: string, host: string, port: number, key: Uint8Array, options: AppendOptions = {},
): Promise<boolean> {
  // One at a time per file: two connections to one new host must not save two keys.
  const before = appending.get(file) ?? Promise.resolve()
  const mine = before.then(() => append(file, host, port, key, options))
  const settled = mine.then(() => undefined, () => undefined)
  appending.set(file, settled)
  void settled.then(() => {
    if (appending.get(file) === settled) appending.delete(file)
  })
  return mine
}

async function append(file: string, host: string, port: number, key: Uint8Array, options: AppendOptions): Promise<boolean> {
  const name = lookupName(host, port, options.alias)
  const type = keyType(key)
  // The characters that OpenSSH refuses to record, and those that would end the field.
  if (!/^[^@?*#|'"\\,!\s\p{C}[\]]+$/u.test(options.alias ?? host) || type === undefined) {
    throw new RametError('target-invalid', `the key of ${JSON.stringify(name)} cannot be saved in ${file}`, {
      stage: 'host-key', hint: 'Its name holds characters that mean something else in known_hosts; connect under another name.',
    })
  }
  const verdict = (await KnownHosts.load([file])).check(host, port, key, { alias: options.alias })
  if (verdict.status === 'known') return false
  if (verdict.status === 'changed' || verdict.status === 'revoked') {
    throw new RametError(`host-key-${verdict.status}`, `${file}:${verdict.line} meanwhile holds another word on the key of ${name}`, {
      stage: 'host-key', hint: 'Two machines answered under this name. Find out which is the right one before connecting again.',
    })
  }
  const names = options.hash === true ? hashName(name) : name
  const line = `${names} ${type} ${Buffer.from(key).toString('base64')}\n`
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 })
    const handle = await open(file, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT, 0o600)
    try {
      const { size } = await handle.stat()
      const last = Buffer.alloc(1)
      if (size > 0) await handle.read(last, 0, 1, size - 1)
      const bytes = Buffer.from(size > 0 && last[0] !== 0x0a ? `\n${line}` : line)
      const { bytesWritten } = await handle.write(bytes)
      if (bytesWritten !== bytes.length) throw new Error(`only ${bytesWritten} of ${bytes.length} bytes were written`)
    } finally {
      await handle.close()
    }
  } catch (cause) {
    throw new RametError('config-invalid', `cannot save the key of ${name} in ${file}: ${(cause as Error).message}`, {
      stage: 'host-key', cause,
      hint: 'Make the file writable, name another one with the knownHosts option, or add the key with ssh-keyscan yourself.',
    })
  }
  return true
}

function hashName(name: string): string {
  const salt = randomBytes(20)
  return `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(name).digest('base64')}`
}

function holds(line: HostLine, key: Uint8Array): boolean {
  const blob = lineKey(line)
  return blob !== undefined && sameBytes(blob, key)
}

function place(line: HostLine): Partial<Verdict> {
  const blob = lineKey(line)
  const known = blob === undefined ? {} : { knownType: keyType(blob) ?? '', knownFingerprint: fingerprint(blob) }
  return { file: line.file, line: line.line, ...known }
}
