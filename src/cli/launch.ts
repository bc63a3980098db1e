import { createHash } from 'node:crypto'
import { closeSync, constants as file, existsSync, fstatSync, lstatSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire, wrap } from 'node:module'
import { homedir } from 'node:os'
import { basename, dirname, isAbsolute, join } from 'node:path'
import { Script } from 'node:vm'

/**
 * The program behind the name `ramet`: starts the command, in the form that V8 made of it in an earlier run. Compiling is a third
 * of the processor time of a short run; Python keeps its .pyc files for the same reason. Node has such a cache of its own from 22.1.
 *
 * It is kept in `$XDG_CACHE_HOME/ramet` (default `~/.cache/ramet`), written once per build and Node, and taken only from a file
 * that is ours and that nobody else can write: what stands in it is executed. NODE_DISABLE_COMPILE_CACHE turns it off.
 */

/** Of the command's text; the build puts it here. V8 itself compares no more than the length. */
declare const RAMET_BUILD: string

/** Files kept, one per build and Node: whoever has two of each alternates without writing. */
const KEPT = 4
const KEPT_NAME = /^[0-9a-f]{16}-v\d+\.[\w.-]+$/
/** Bytes of a file that is read. The real one has half a million. */
const SIZE_MAX = 16 * 1024 * 1024
/** Bytes of SHA-256 before V8's own: it takes a damaged file for whole, and the process crashes in each run from then on. */
const DIGEST = 32

const command = join(import.meta.dirname, 'command.cjs')
const requireHere = createRequire(command)

if (process.env['NODE_DISABLE_COMPILE_CACHE']) requireHere(command)
else start()

function start(): void {
  const path = keptAt()
  const cachedData = path === undefined ? undefined : read(path)
  // Its text is ASCII.
  const script = new Script(wrap(readFileSync(command, 'latin1')), { filename: command, cachedData })
  if (path !== undefined && (cachedData === undefined || script.cachedDataRejected)) {
    process.once('exit', (code) => code === 0 && worked(process.argv.slice(2)) && write(path, script))
  }
  const main = script.runInThisContext() as (...scope: unknown[]) => void
  const module = { exports: {} }
  main(module.exports, requireHere, module, command, import.meta.dirname)
}

/** Of a run that only printed its help, or what was wrong with its options, it would hold next to nothing. */
function worked([word = '', ...options]: string[]): boolean {
  return /^[a-z]/.test(word) && !options.some((option) => option === '--help' || option === '-h')
}

function keptAt(): string | undefined {
  const given = process.env['XDG_CACHE_HOME']
  const caches = given !== undefined && isAbsolute(given) ? given : join(home(), '.cache')
  // A home that is relative, or none: nothing is kept in whatever folder we are in.
  return isAbsolute(caches) ? join(caches, 'ramet', `${RAMET_BUILD}-${process.version}-${process.arch}`) : undefined
}

function home(): string {
  try {
    const path = homedir()
    // A system account's may be a folder that is not to be.
    return existsSync(path) ? path : ''
  } catch {
    // An account that nobody has entered: containers run as any number.
    return ''
  }
}

function read(path: string): Buffer | undefined {
  try {
    const fd = openSync(path, file.O_RDONLY | file.O_NOFOLLOW)
    try {
      const { uid, mode, size } = fstatSync(fd)
      // Under sudo the home may be somebody else's.
      const safe = process.geteuid === undefined || (uid === process.geteuid() && (mode & 0o022) === 0)
      if (!safe || size > SIZE_MAX) return undefined
      const whole = readFileSync(fd)
      const data = whole.subarray(DIGEST)
      return whole.subarray(0, DIGEST).equals(digest(path, data)) ? data : undefined
    } finally {
      closeSync(fd)
    }
  } catch {
    return undefined
  }
}

/** Of the file's name too: what was compiled of another build is not run for this one. */
function digest(path: string, data: Buffer): Buffer {
  return createHash('sha256').update(basename(path)).update(data).digest()
}

/** Whatever keeps it from being written: the next run compiles again. */
function write(path: string, script: Script): void {
  const unfinished = `${path}.${process.pid}`
  try {
    const folder = dirname(path)
    if (!ours(folder)) return
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    try {
      const data = script.createCachedData()
      writeFileSync(unfinished, Buffer.concat([digest(path, data), data]), { flag: 'wx', mode: 0o600 })
      renameSync(unfinished, path)
    } finally {
      rmSync(unfinished, { force: true })
    }
    // Of files that only we name so: the folder may hold others, who knows what XDG_CACHE_HOME says.
    const files = readdirSync(folder).filter((name) => KEPT_NAME.test(name)).map((name) => join(folder, name))
      .map((name) => ({ name, time: statSync(name).mtimeMs }))
    for (const { name } of files.sort((a, b) => b.time - a.time).slice(KEPT)) rmSync(name, { force: true })
  } catch {
    // As above.
  }
}

/** Root in somebody else's home, as sudo may have it, leaves nothing there: neither a ~/.cache that its owner cannot use, nor what a link of theirs leads to. */
function ours(folder: string): boolean {
  if (process.geteuid === undefined) return true
  for (let place = folder; ; place = dirname(place)) {
    const { uid } = lstatSync(place, { throwIfNoEntry: false }) ?? {}
    if (uid !== undefined) return uid === process.geteuid() || uid === 0
  }
}
