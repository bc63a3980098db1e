import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's root, from wherever the compiled bench stands in it. */
export const root: string = findRoot(dirname(fileURLToPath(import.meta.url)))

function findRoot(from: string): string {
  if (existsSync(join(from, 'package.json')) && existsSync(join(from, 'bench'))) return from
  const up = dirname(from)
  if (up === from) throw new Error('the bench must run from inside its repository')
  return findRoot(up)
}

/** Loopback addresses that stand for so many hosts: 127.0.0.1 is the first. */
export const addresses: readonly string[] = Array.from({ length: 224 }, (_, i) => `127.0.0.${i + 1}`)

/** A server that can be reached, however far behind relays it stands. */
export interface Endpoint {
  host: string
  port: number
}

/**
 * Everything the bench writes while it runs, in one temporary directory: throw-away keys, known_hosts, an empty home for
 * the servers' sessions (a slow ~/.bashrc would be measured with every login otherwise).
 */
export class Workspace {
  readonly dir: string = realpathSync(mkdtempSync(join(tmpdir(), 'ramet-bench-')))
  readonly user: string = userInfo().username
  readonly key: string = join(this.dir, 'user_key')
  readonly hostKey: string = join(this.dir, 'host_key')
  readonly home: string = join(this.dir, 'home')
  readonly knownHosts: string = join(this.dir, 'known_hosts')
  #state: 'open' | 'closed' = 'open'

  constructor() {
    for (const file of [this.key, this.hostKey]) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'ramet-bench', '-f', file])
    mkdirSync(join(this.home, '.ssh'), { recursive: true, mode: 0o700 })
    writeFileSync(join(this.home, '.ssh', 'authorized_keys'), readFileSync(`${this.key}.pub`), { mode: 0o600 })
    writeFileSync(this.knownHosts, '')
  }

  get authorizedKeys(): string {
    return join(this.home, '.ssh', 'authorized_keys')
  }

  /** Every peer checks host keys; a port that serves the bench's key is made known to all of them. */
  trust(port: number, hosts: readonly string[]): void {
    const [type, blob] = readFileSync(`${this.hostKey}.pub`, 'utf8').split(' ')
    const lines = hosts.map((host) => `[${host}]:${port} ${type} ${blob}\n`)
    writeFileSync(this.knownHosts, lines.join(''), { flag: 'a' })
  }

  file(name: string, text: string): string {
    const path = join(this.dir, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
    return path
  }

  close(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    rmSync(this.dir, { recursive: true, force: true })
  }
}
