import { readFileSync, readdirSync, statSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { RametError } from '../router/errors.ts'
import { matchPattern } from './patterns.ts'

/** OpenSSH's own depth; the other two are ours, far above any real configuration. */
const MAX_DEPTH = 16
const MAX_FILE = 4 * 1024 * 1024
const MAX_FILES = 1024

export interface Directive {
  /** Lower case. */
  keyword: string
  /** Words, quotes and escapes taken away. */
  args: string[]
  /** What follows the keyword as it is written: ProxyCommand is a line, not words. */
  text: string
  file: string
  line: number
  /** For Include: the files that its patterns named when they were read. */
  included?: Directive[][]
}

export interface ConfigSource {
  /** One list per file given, in order of precedence. */
  files: Directive[][]
  /** Every keyword used anywhere, Host and Match included. */
  keywords: ReadonlySet<string>
  /** The first file that OpenSSH would refuse for its owner or mode; undefined: none. */
  unsafe: string | undefined
  /** Equal signatures mean that nothing that was read, and no folder that was searched, has changed. */
  signature: string
}

export interface ConfigPath {
  path: string
  /** ~/.ssh/config: relative includes are below ~/.ssh, and others may not be able to write it. */
  user: boolean
  /** A missing file is an error when it was asked for by name. */
  required: boolean
}

interface Reader {
  home: string
  keywords: Set<string>
  watched: Map<string, string>
  unsafe: string | undefined
  count: number
}

/** Reads configuration files and all they include, without deciding anything. Throws 'config-invalid'. */
export function readConfig(paths: readonly ConfigPath[], home: string): ConfigSource {
  const reader: Reader = { home, keywords: new Set(), watched: new Map(), unsafe: undefined, count: 0 }
  const files = paths.map((each) => {
    const directives = readFile(each.path, each.user, each.user && !each.required, 0, reader)
    if (directives === undefined && each.required) {
      throw invalid(each.path, 0, 'cannot be opened', 'Name an existing file, or false for none, as sshConfig.')
    }
    return directives ?? []
  })
  return { files, keywords: reader.keywords, unsafe: reader.unsafe, signature: signatureOf(reader.watched) }
}

/** The signature that readConfig() would give now, from stats alone. */
export function currentSignature(signature: string): string {
  const watched = new Map<string, string>()
  for (const line of signature.split('\n')) {
    const path = line.slice(line.indexOf('\t') + 1)
    if (path !== '') watched.set(path, stamp(path))
  }
  return signatureOf(watched)
}

export function invalid(file: string, line: number, what: string, hint: string, cause?: unknown): RametError {
  const place = line === 0 ? file : `${file}:${line}`
  return new RametError('config-invalid', `OpenSSH configuration ${place}: ${what}`, { outcome: 'not-sent', hint, cause })
}

function readFile(path: string, user: boolean, checkMode: boolean, depth: number, reader: Reader): Directive[] | undefined {
  if (depth > MAX_DEPTH || ++reader.count > MAX_FILES) {
    throw invalid(path, 0, 'includes too many files', 'Look for a file that includes itself.')
  }
  reader.watched.set(path, stamp(path))
  let text: string
  try {
    const info = statSync(path)
    if (!info.isFile() && !info.isCharacterDevice()) throw new Error('it is no regular file')
    if (info.size > MAX_FILE) throw new Error(`it is larger than ${MAX_FILE / 1024 / 1024} MiB`)
    const mine = info.uid === 0 || info.uid === process.getuid?.()
    if (checkMode && (!mine || (info.mode & 0o022) !== 0)) reader.unsafe ??= path
    text = info.isFile() ? readFileSync(path, 'utf8') : ''
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    // ssh passes over files of its own that it may not read, and stops at any other.
    if (code === 'EACCES' && depth === 0) return undefined
    throw invalid(path, 0, `cannot be read: ${(cause as Error).message}`, 'Make the file readable, or leave it out with sshConfig.', cause)
  }
  const directives: Directive[] = []
  text.split('\n').forEach((raw, index) => {
    const directive = readLine(raw, path, index + 1)
    if (directive === undefined) return
    reader.keywords.add(directive.keyword)
    if (directive.keyword === 'include') {
      directive.included = directive.args.flatMap((pattern) => expandGlob(pattern, user, reader))
        .map((file) => readFile(file, user, true, depth + 1, reader) ?? [])
    }
    directives.push(directive)
  })
  return directives
}

function readLine(raw: string, file: string, line: number): Directive | undefined {
  const text = raw.replace(/[ \t\r\f]+$/, '')
  const match = /^[ \t]*("?)([^\s"=#][^\s"=]*)\1(?:[ \t]*=[ \t]*|[ \t]+|$)(.*)$/.exec(text)
  if (match === null) {
    if (/^[ \t]*(#.*)?$/.test(text)) return undefined
    throw invalid(file, line, 'this line has no keyword', 'Run "ssh -G host" to hear what OpenSSH says of it.')
  }
  const keyword = (match[2] as string).toLowerCase()
  const rest = match[3] as string
  if (rest === '') throw invalid(file, line, `no argument after keyword "${keyword}"`, 'Give the keyword a value or remove the line.')
  const args = splitWords(rest)
  if (args === undefined) throw invalid(file, line, 'invalid quotes', 'Close the quote.')
  return { keyword, args, text: rest, file, line }
}

/** Words as OpenSSH splits them: both quotes, backslash before quote, backslash or (unquoted) blank, # at a word's start ends. */
export function splitWords(text: string): string[] | undefined {
  const words: string[] = []
  let word: string | undefined
  let quote = ''
  for (let i = 0; i < text.length; i++) {
    const c = text[i] as string
    const next = text[i + 1]
    if (word === undefined) {
      if (c === ' ' || c === '\t') continue
      if (c === '#') break
      word = ''
    }
    if (c === '\\' && (next === '"' || next === "'" || next === '\\' || (quote === '' && next === ' '))) {
      word += next
      i++
    } else if (quote === '' && (c === ' ' || c === '\t')) {
      words.push(word)
      word = undefined
    } else if (quote === '' && (c === '"' || c === "'")) {
      quote = c
    } else if (c === quote) {
      quote = ''
    } else {
      word += c
    }
  }
  if (quote !== '') return undefined
  if (word !== undefined) words.push(word)
  return words
}

/** glob(3) for `*`, `?` and `[…]` in any part of a path. Folders that were searched are watched, so that a new file counts. */
function expandGlob(pattern: string, user: boolean, reader: Reader): string[] {
  let path = pattern
  if (path === '~' || path.startsWith('~/')) path = join(reader.home, path.slice(1))
  else if (!isAbsolute(path)) path = join(user ? join(reader.home, '.ssh') : '/etc/ssh', path)
  if (!/[*?[]/.test(path)) {
    reader.watched.set(path, stamp(path))
    return [path]
  }
  let found = ['/']
  for (const part of path.split('/').filter((each) => each !== '')) {
    if (!/[*?[]/.test(part)) {
      found = found.map((folder) => join(folder, part))
      continue
    }
    found = found.flatMap((folder) => {
      reader.watched.set(folder, stamp(folder))
      let names: string[]
      try {
        names = readdirSync(folder)
      } catch {
        return []
      }
      return names.filter((name) => (!name.startsWith('.') || part.startsWith('.')) && matchGlob(name, part))
        .sort().map((name) => join(folder, name))
    })
  }
  return found.filter((file) => {
    reader.watched.set(dirname(file), stamp(dirname(file)))
    return stamp(file) !== 'none'
  })
}

function matchGlob(name: string, pattern: string): boolean {
  if (!pattern.includes('[')) return matchPattern(name, pattern)
  const source = pattern.replace(/\[!?[^\]]+\]|[*?]|[^*?[]+|\[/g, (piece) => {
    if (piece === '*') return '.*'
    if (piece === '?') return '.'
    if (piece.startsWith('[') && piece.endsWith(']')) return piece.replace(/^\[!/, '[^').replace(/\\/g, '\\\\')
    return piece.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
  })
  return new RegExp(`^${source}$`, 's').test(name)
}

function stamp(path: string): string {
  try {
    const info = statSync(path, { bigint: true })
    return `${info.dev}:${info.ino}:${info.size}:${info.mtimeNs}:${info.ctimeNs}`
  } catch {
    return 'none'
  }
}

function signatureOf(watched: ReadonlyMap<string, string>): string {
  return [...watched].map(([path, value]) => `${value}\t${path}`).sort().join('\n')
}
