import { constants } from 'node:fs'
import type { BigIntStats } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { isRametError, RametError } from '../router/errors.ts'
import { keyType } from './key-blob.ts'
import { HashedNames } from './known-hosts-hash.ts'
import { matchPatternList } from './patterns.ts'

/** A larger file is refused, not cut: what stands behind the cut might be the line that revokes a key. */
const MAX_KNOWN_HOSTS = 64 * 1024 * 1024
const MAX_CACHED_FILES = 64

export type Marker = 'none' | 'revoked' | 'cert-authority'

/** One usable line. The key is decoded only when somebody asks for it. */
export interface HostLine {
  readonly file: string
  /** From 1, as editors count. */
  readonly line: number
  readonly marker: Marker
  readonly names: string
  /** The rest of the line: type, base64 and comment. */
  readonly rest: string
}

/**
 * One known_hosts file, indexed once: plain names by a map, patterns tried one by one, hashed names by HMAC only on need.
 * Lines that OpenSSH would skip (malformed, legacy RSA1, unknown markers) are skipped.
 */
export class HostFile {
  readonly path: string
  private readonly lines: HostLine[] = []
  private readonly plain = new Map<string, number[]>()
  private readonly patterns: number[] = []
  private readonly hashed = new HashedNames()
  private readonly revoked: number[] = []
  /** Lines with hashed names by the base64 text of their key; made when first wanted. */
  private hashedByKey: Map<string, number[]> | undefined

  constructor(path: string, text: string) {
    this.path = path
    let number = 0
    for (let start = 0; start < text.length;) {
      let end = text.indexOf('\n', start)
      if (end === -1) end = text.length
      number++
      this.addLine(text.slice(start, end), number)
      start = end + 1
    }
  }

  /** Every line for a name (lower case, '[host]:port' where the port is not 22), in the file's order. */
  find(name: string): HostLine[] {
    const found = new Set(this.plain.get(name))
    for (const index of this.patterns) if (this.matches(index, name)) found.add(index)
    if (this.hashed.length > 0) for (const index of this.hashed.find(name)) found.add(index)
    return [...found].sort((a, b) => a - b).map((index) => this.lines[index] as HostLine)
  }

  /** Lines for a name that hold just this key in its usual base64: hashed names are tried on those few lines only. */
  findWithKey(name: string, base64: string): HostLine[] {
    const found = new Set([...(this.plain.get(name) ?? []), ...this.patterns.filter((index) => this.matches(index, name))])
    if (this.hashed.length > 0) {
      this.hashedByKey ??= this.indexKeys()
      for (const index of this.hashedByKey.get(base64) ?? []) if (this.hashed.test(index, name)) found.add(index)
    }
    return [...found].sort((a, b) => a - b).map((index) => this.lines[index] as HostLine).filter((line) => keyText(line) === base64)
  }

  /** Lines that hold just this key in its usual base64, whatever name they are for. */
  withKey(base64: string): HostLine[] {
    return this.lines.filter((line) => line.marker === 'none' && keyText(line) === base64)
  }

  /** Lines marked @revoked for a name. */
  findRevoked(name: string): HostLine[] {
    return this.revoked.filter((index) => this.matches(index, name)).map((index) => this.lines[index] as HostLine)
  }

  private addLine(raw: string, number: number): void {
    const text = raw.trim()
    if (text === '' || text.startsWith('#')) return
    let marker: Marker = 'none'
    let at = 0
    if (text.startsWith('@')) {
      const word = /^@(revoked|cert-authority)[ \t]+/.exec(text)
      if (word === null) return
      marker = word[1] as Marker
      at = word[0].length
    }
    let end = at
    while (end < text.length && text[end] !== ' ' && text[end] !== '\t') end++
    if (end === text.length) return
    const names = text.slice(at, end)
    const index = this.lines.length
    if (names.startsWith('|')) {
      if (!this.hashed.add(names, index)) return
    } else if (/[*?!]/.test(names)) {
      this.patterns.push(index)
    } else {
      for (const name of names.toLowerCase().split(',')) {
        const known = this.plain.get(name)
        if (known === undefined) this.plain.set(name, [index])
        else known.push(index)
      }
    }
    if (marker === 'revoked') this.revoked.push(index)
    this.lines.push({ file: this.path, line: number, marker, names, rest: text.slice(end + 1) })
  }

  private matches(index: number, name: string): boolean {
    const { names } = this.lines[index] as HostLine
    return names.startsWith('|') ? this.hashed.test(index, name) : matchPatternList(name, names.toLowerCase().split(','))
  }

  private indexKeys(): Map<string, number[]> {
    const byKey = new Map<string, number[]>()
    this.lines.forEach((line, index) => {
      if (!line.names.startsWith('|')) return
      const key = keyText(line)
      const known = byKey.get(key)
      if (known === undefined) byKey.set(key, [index])
      else known.push(index)
    })
    return byKey
  }
}

function keyText(line: HostLine): string {
  return /^[ \t]*\S+[ \t]+(\S+)/.exec(line.rest)?.[1] ?? ''
}

/** The line's public key blob, or undefined where the line names another type than the key has, or is cut short. */
export function lineKey(line: HostLine): Uint8Array | undefined {
  const match = /^[ \t]*(\S+)[ \t]+([A-Za-z0-9+/]+=*)(?:\s|$)/.exec(line.rest)
  if (match === null) return undefined
  const blob = Buffer.from(match[2] as string, 'base64')
  return keyType(blob) === match[1] ? blob : undefined
}

interface Cached {
  signature: string
  file: Promise<HostFile>
}

const cache = new Map<string, Cached>()

/**
 * The file as it is now. It is read again only when its inode, size or times have changed; a missing file is an empty one.
 * Throws 'config-invalid' for a file that exists and cannot be read, or is larger than MAX_KNOWN_HOSTS.
 */
export async function loadHostFile(path: string): Promise<HostFile> {
  try {
    const now = signatureOf(await stat(path, { bigint: true }))
    let cached = cache.get(path)
    if (cached === undefined || cached.signature !== now) {
      cache.delete(path)
      cached = { signature: now, file: read(path) }
      cache.set(path, cached)
      if (cache.size > MAX_CACHED_FILES) cache.delete(cache.keys().next().value as string)
    }
    try {
      return await cached.file
    } catch (error) {
      if (cache.get(path) === cached) cache.delete(path)
      throw error
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') return new HostFile(path, '')
    if (isRametError(error)) throw error
    throw new RametError('config-invalid', `cannot read the known hosts file ${path}: ${(error as Error).message}`, {
      stage: 'host-key', outcome: 'not-sent', cause: error,
      hint: 'Make the file readable, or name another one with the knownHosts option; it may hold revoked keys, so it is not passed over.',
    })
  }
}

async function read(path: string): Promise<HostFile> {
  // NONBLOCK: opening a pipe that nobody writes to must not take a thread for ever.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const info = await handle.stat()
    if (info.isCharacterDevice()) return new HostFile(path, '')
    if (!info.isFile()) throw new Error('it is no regular file')
    if (info.size > MAX_KNOWN_HOSTS) throw new Error(`it is larger than ${MAX_KNOWN_HOSTS / 1024 / 1024} MiB`)
    // Not readFile: it would follow a file that grows without end.
    const bytes = Buffer.allocUnsafe(info.size)
    let length = 0
    while (length < bytes.length) {
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length, length)
      if (bytesRead === 0) break
      length += bytesRead
    }
    return new HostFile(path, bytes.toString('utf8', 0, length))
  } finally {
    await handle.close()
  }
}

function signatureOf(info: BigIntStats): string {
  return `${info.dev}:${info.ino}:${info.size}:${info.mtimeNs}:${info.ctimeNs}`
}
