import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Length of a unix socket's path on the strictest system, less what ssh appends while it makes the socket. */
const MAX_SOCKET = 104 - 18

/** Waits until nobody holds the other end of its input, which is when we are gone, and removes the directory; again, should one of ssh's sockets have come in between. */
const AFTER_US = 'while read -r _; do :; done; rm -rf -- "$0" || { sleep 1; rm -rf -- "$0"; }'

/** The temporary files of a run, in a directory that only we can look into. It is gone with us, also when we are killed. */
export class BenchFiles {
  state: 'open' | 'closed' = 'open'
  /** Why there can be none. */
  readonly none: string | undefined
  readonly #dir: string = ''
  readonly #heir: ChildProcess | undefined
  readonly #written = new Map<string, string>()
  #sockets = 0

  constructor() {
    try {
      this.#dir = mkdtempSync(join(tmpdir(), 'ramet-b-'))
    } catch (error) {
      this.none = noFolder(error)
      return
    }
    // A session of its own: what a terminal sends to all of us does not end it.
    this.#heir = spawn('/bin/sh', ['-c', AFTER_US, this.#dir], { stdio: ['pipe', 'ignore', 'ignore'], detached: true, cwd: '/', env: { PATH: `${process.env.PATH ?? ''}:/usr/bin:/bin` } })
    this.#heir.on('error', () => {}).unref()
    const { stdin } = this.#heir
    stdin?.on('error', () => {})
    ;(stdin as Socket | null)?.unref()
  }

  /** A path for a control socket. Throws where the directory's name leaves no room for one. */
  socket(): string {
    const path = join(this.#dir, `s${++this.#sockets}`)
    if (path.length > MAX_SOCKET) throw new Error(`the path of its socket would be too long: ${path}`)
    return path
  }

  /** The path of a file with this text; one for all who need the same. Throws where there is no room for it. */
  write(text: string): string {
    const known = this.#written.get(text)
    if (known !== undefined) return known
    const path = join(this.#dir, `c${this.#written.size + 1}`)
    try {
      writeFileSync(path, text, { mode: 0o600 })
    } catch (error) {
      throw new Error(noFile(error), { cause: error })
    }
    this.#written.set(text, path)
    return path
  }

  close(): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.#heir?.kill('SIGKILL')
    if (this.none === undefined) rmSync(this.#dir, { recursive: true, force: true })
  }
}

/** In place of what Node says of a folder that it could not make, which names a path that nobody knows. */
export function noFolder(error: unknown): string {
  return `no folder can be made in ${tmpdir()} (${reasonOf(error)})`
}

/** The same of a file. */
export function noFile(error: unknown): string {
  return `no file can be written in ${tmpdir()} (${reasonOf(error)})`
}

/** 'ENOSPC: no space left on device'; behind it Node names the call and the path. */
function reasonOf(error: unknown): string {
  return (error as Error).message.split(',')[0] ?? ''
}
