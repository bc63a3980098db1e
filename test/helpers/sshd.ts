import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'

/** Real SSH servers for tests: on a free loopback port, with keys and configuration of their own in a temporary directory. */
export interface TestServer extends AsyncDisposable {
  readonly host: '127.0.0.1'
  readonly port: number
  readonly user: string
  readonly pid: number
  /** Directory for anything that a test wants to put beside it; removed at the end. */
  readonly dir: string
  /** Path of a private key that logs in, and its text. */
  readonly keyFile: string
  readonly key: string
  /** Lines of public keys as in known_hosts, without the host: 'ssh-ed25519 AAAA…'. */
  readonly hostKeys: string[]
  /** A known_hosts file that names this server. */
  readonly knownHosts: string
  /** What the server has logged so far. */
  log(): string
  stop(): Promise<void>
}

export interface SshdOptions {
  /** Default: the account that runs the tests. */
  user?: string
  hostKeyTypes?: ('ed25519' | 'rsa' | 'ecdsa')[]
  /** Type of the key that logs in. */
  keyType?: 'ed25519' | 'rsa' | 'ecdsa'
  /** Further lines of sshd_config; they stand first, and the first value wins. */
  config?: string[]
  /** Lines for the start-up file of the login shell, printed before the command runs ("login noise"). */
  bashrc?: string
  /** True: commands run with the account's own home and start-up files. Default: an empty home of their own. */
  realHome?: boolean
  /** Fixed port, for a server that is started again. */
  port?: number
  /** Host key files to use instead of new ones. */
  hostKeyFiles?: string[]
}

const SSHD = '/usr/sbin/sshd'
const DROPBEAR = '/usr/sbin/dropbear'

/** A test run that is killed takes its servers with it. */
const withUs = existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', '--pdeathsig', 'KILL'] : []

export const haveSshd = existsSync(SSHD)
/** dropbear reads the keys of the account's real home only; a mount namespace gives it another, which takes root. */
export const haveDropbear = existsSync(DROPBEAR) && process.getuid?.() === 0 && canUnshare()

function canUnshare(): boolean {
  try {
    execFileSync('unshare', ['-m', 'true'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

export async function startSshd(options: SshdOptions = {}): Promise<TestServer> {
  if (!existsSync('/run/sshd') && process.getuid?.() === 0) mkdirSync('/run/sshd', { mode: 0o755 })
  const dir = mkdtempSync(join(tmpdir(), 'ramet-sshd-'))
  const user = options.user ?? userInfo().username
  const files = options.hostKeyFiles ?? (options.hostKeyTypes ?? ['ed25519']).map((type) => makeKey(dir, `host_${type}`, type))
  const keyFile = makeKey(dir, 'id', options.keyType ?? 'ed25519')
  writeFileSync(join(dir, 'authorized_keys'), readFileSync(`${keyFile}.pub`), { mode: 0o644 })
  const home = join(dir, 'home')
  mkdirSync(home)
  if (options.bashrc !== undefined) writeFileSync(join(home, '.bashrc'), options.bashrc)
  if (process.getuid?.() === 0) execFileSync('chmod', ['755', dir])
  return launch(dir, options.port, user, keyFile, files, (port) => {
    const conf = join(dir, 'sshd_config')
    writeFileSync(conf, [
      ...(options.config ?? []),
      `Port ${port}`, 'ListenAddress 127.0.0.1', ...files.map((file) => `HostKey ${file}`),
      `AuthorizedKeysFile ${join(dir, 'authorized_keys')}`, 'StrictModes no', 'UsePAM no', 'PidFile none', 'LogLevel VERBOSE',
      'PermitRootLogin yes', 'PasswordAuthentication no', 'KbdInteractiveAuthentication no',
      // Of this one the last value wins.
      ...(options.config?.some((line) => /^MaxStartups /i.test(line)) === true ? [] : ['MaxStartups 200:30:300']),
      'PrintMotd no', 'UseDNS no', ...(options.realHome ? [] : [`SetEnv HOME=${home}`]), '',
    ].join('\n'))
    return [...withUs, SSHD, '-D', '-e', '-f', conf]
  }, /Server listening on/)
}

export interface DropbearOptions {
  keyType?: 'ed25519' | 'rsa' | 'ecdsa'
  args?: string[]
}

export async function startDropbear(options: DropbearOptions = {}): Promise<TestServer> {
  const dir = mkdtempSync(join(tmpdir(), 'ramet-dropbear-'))
  const keyFile = makeKey(dir, 'id', options.keyType ?? 'ed25519')
  const hostKey = join(dir, 'host')
  execFileSync('dropbearkey', ['-t', 'ed25519', '-f', hostKey], { stdio: 'ignore' })
  const shown = execFileSync('dropbearkey', ['-y', '-f', hostKey], { encoding: 'utf8' })
  writeFileSync(`${hostKey}.pub`, `${/^ssh-ed25519 \S+/m.exec(shown)?.[0] ?? ''}\n`)
  const home = join(dir, 'home')
  mkdirSync(join(home, '.ssh'), { recursive: true, mode: 0o700 })
  writeFileSync(join(home, '.ssh', 'authorized_keys'), readFileSync(`${keyFile}.pub`), { mode: 0o600 })
  return launch(dir, undefined, userInfo().username, keyFile, [hostKey], (port) => ['unshare', '-m', 'sh', '-c',
    'mount --bind "$1" "$2" && shift 2 && exec "$@"', 'sh', home, userInfo().homedir,
    ...withUs, DROPBEAR, '-F', '-E', '-p', `127.0.0.1:${port}`, '-r', hostKey, '-P', join(dir, 'pid'), ...(options.args ?? [])],
  /Not backgrounding/)
}

async function launch(dir: string, fixedPort: number | undefined, user: string, keyFile: string, hostKeyFiles: string[],
  command: (port: number) => string[], ready: RegExp): Promise<TestServer> {
  for (let attempt = 1; ; attempt++) {
    const port = fixedPort ?? await freePort()
    const [program = '', ...args] = command(port)
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    let log = ''
    const started = await new Promise<boolean>((resolve) => {
      child.stderr.setEncoding('utf8')
      child.stderr.on('data', (text: string) => {
        log += text
        if (ready.test(log)) resolve(true)
      })
      child.on('exit', () => resolve(false))
      child.on('error', (error) => {
        log += String(error)
        resolve(false)
      })
    })
    // The port may have been taken between the look and the bind.
    if (!started && attempt < 5 && /in use/.test(log)) continue
    if (!started) {
      rmSync(dir, { recursive: true, force: true })
      throw new Error(`${program} did not start: ${log}`)
    }
    const hostKeys = hostKeyFiles.map((file) => readFileSync(`${file}.pub`, 'utf8').trim().split(' ').slice(0, 2).join(' '))
    const knownHosts = join(dir, 'known_hosts')
    writeFileSync(knownHosts, hostKeys.map((key) => `[127.0.0.1]:${port} ${key}\n`).join(''))
    let stopped: Promise<void> | undefined
    const stop = (): Promise<void> => (stopped ??= end(child).then(() => rmSync(dir, { recursive: true, force: true })))
    return {
      host: '127.0.0.1', port, user, pid: child.pid ?? 0, dir, keyFile, key: readFileSync(keyFile, 'utf8'), hostKeys, knownHosts,
      log: () => log, stop, [Symbol.asyncDispose]: stop,
    }
  }
}

/** Makes a key without passphrase; returns the private file's path. */
export function makeKey(dir: string, name: string, type: 'ed25519' | 'rsa' | 'ecdsa' = 'ed25519', passphrase = ''): string {
  const file = join(dir, name)
  execFileSync('ssh-keygen', ['-q', '-t', type, '-N', passphrase, '-f', file, '-C', name])
  return file
}

async function end(child: ChildProcess): Promise<void> {
  const pids = child.pid === undefined ? [] : descendants(child.pid)
  const exited = child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve() : new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill('SIGKILL')
  // Sessions outlive their server.
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended by itself.
    }
  }
  await exited
  child.stderr?.destroy()
}

/** Process ids below one, from /proc. */
export function descendants(root: number): number[] {
  const parents = parentsOfAll()
  const found = [root]
  for (const pid of found) for (const [child, parent] of parents) if (parent === pid) found.push(child)
  return found.slice(1)
}

/** Process ids of the children of this process. */
export function ownChildren(): number[] {
  return [...parentsOfAll()].filter(([, parent]) => parent === process.pid).map(([pid]) => pid)
}

function parentsOfAll(): Map<number, number> {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]))
    } catch {
      // It ended while we looked.
    }
  }
  return parents
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
