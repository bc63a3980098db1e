import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, unlink, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Clock, systemClock } from '../base/clock.ts'
import { deferred } from '../base/deferred.ts'
import { withinTime } from '../base/within-time.ts'
import { RametError, type Stage } from '../router/errors.ts'
import { failedProcess } from './failed-process.ts'
import { type Said, failureOf } from './openssh-failure.ts'
import { ProcessSet } from './process-set.ts'
import { keepDirectory, ramDirectory, removeDirectory } from './ram-directory.ts'
import { SpawnedProcess } from './spawn.ts'
import type { Connection, RemoteProcess } from './transport.ts'

export interface OpensshOptions {
  /** Host name or an alias of the SSH configuration. */
  host: string
  port?: number | undefined
  user?: string | undefined
  /** Jump hosts as for -J, or 'none'. Default: what the configuration says. */
  jump?: string | undefined
  /** How messages name the target. Default [user@]host[:port]. */
  name?: string | undefined
  /** Further arguments of ssh; they stand first, so their -o values win. */
  args?: readonly string[] | undefined
  /** An OpenSSH configuration file, or false for none. Default: what ssh reads by itself. */
  configFile?: string | false | undefined
  identityFile?: string | readonly string[] | undefined
  knownHosts?: string | readonly string[] | undefined
  /** Default 'enforce'. */
  hostKeys?: 'enforce' | 'accept' | 'ignore' | undefined
  /** True: ssh may ask at the terminal. Default: it asks nobody (BatchMode). */
  interactive?: boolean | undefined
  /** True: there is a password, a passphrase or a prompt, which ssh is not given. For the words of an error. */
  withheld?: boolean | undefined
  /** True: short processes will follow one another, so the shared connection has to outlive the one that made it. */
  commands?: boolean | undefined
  /** Milliseconds until the first process must be known to run. Default 30,000; 0: none. */
  timeout?: number | undefined
  signal?: AbortSignal | undefined
  clock?: Clock | undefined
  /** The client program. Default 'ssh'. */
  program?: string | undefined
  env?: NodeJS.ProcessEnv | undefined
  /** True: what it keeps beside ssh stands in RAM, or is done without. Default: a temporary directory will do. */
  inRam?: boolean | undefined
  /** Called once it is closed and nothing of it runs any more. */
  gone?: (() => void) | undefined
}

/**
 * Seconds for which ssh keeps a shared connection that no process uses. Asked to, it leaves at once; this is for when we are
 * killed. A command that comes later connects again.
 */
const PERSIST = 8
/** Milliseconds for ssh to leave when asked to. */
const LEAVE = 2000
/** Milliseconds for ssh to end once the process has closed its output. */
const ENDING = 500

/** Length of a unix socket's path on the strictest system, less what ssh appends while it makes the socket. */
const MAX_CONTROL_PATH = 104 - 18

/**
 * Connects by the system's ssh, one client process for each process that is opened. The first one shares its connection
 * with those that follow, as long as it runs; a later one that finds no connection makes its own.
 *
 * `ready` resolves when the first process is known to run: with its first byte on stdout, or when it has ended with a code
 * that is not ssh's own (255). ssh tells nothing earlier. The bytes written before that wait in ssh's stdin.
 */
export function connectOpenssh(options: OpensshOptions): Connection {
  return new OpensshConnection(options)
}

/** Those with a directory, and so perhaps with an ssh in the background. */
const sharing = new Set<OpensshConnection>()

/** Ends the shared connections of all that were not closed: for an end of this process that leaves no time. */
export function abandonShared(): void {
  for (const connection of sharing) connection.abandon()
}

class OpensshConnection implements Connection {
  state: 'new' | 'connecting' | 'open' | 'closed' = 'new'
  readonly name: string
  readonly transport = 'openssh'
  stage: Stage = 'ssh'
  readonly ready: Promise<void>
  private readonly options: OpensshOptions
  private readonly became = deferred<void>()
  private readonly processes = new ProcessSet<SpawnedProcess>()
  private readonly gone = deferred<void>()
  /** The process whose ssh holds the shared connection. */
  private master: SpawnedProcess | undefined
  /** For the shared connection's socket and ssh's messages; only we can look into it. */
  private dir: string | undefined
  private opened = 0
  private stopTimer: (() => void) | undefined
  private failed: RametError | undefined
  private readonly onAbort = (): void => this.giveUp(new RametError('cancelled', `${this.name}: connecting was cancelled`, {
    stage: 'ssh', path: [this.name], outcome: 'not-sent', cause: this.options.signal?.reason, hint: 'The caller aborted it.' }))

  constructor(options: OpensshOptions) {
    this.options = options
    const port = options.port === undefined ? '' : `:${options.port}`
    this.name = options.name ?? `${options.user === undefined ? '' : `${options.user}@`}${options.host}${port}`
    this.ready = this.became.promise
    this.ready.catch(() => {})
    const bad = badWord(options.host) ? 'host' : options.user !== undefined && badWord(options.user) ? 'user' : undefined
    if (bad !== undefined) {
      this.giveUp(new RametError('target-invalid', `${this.name}: this ${bad} name is not usable`, {
        stage: 'resolve', path: [this.name], outcome: 'not-sent', hint: 'Names must not begin with "-" or hold control characters.' }))
    }
    // ssh logs in for a process only: where none is wanted at once, one that does nothing shows that others may follow.
    if (options.commands === true) setImmediate(() => this.state === 'new' && this.tryLogin())
  }

  private tryLogin(): void {
    const nothing = this.open('true')
    nothing.pipe.start({ data() {}, drain() {}, closed() {} })
    nothing.stderr(() => {})
    nothing.pipe.end()
  }

  open(command: string): RemoteProcess {
    if (this.state === 'closed') {
      return failedProcess(this.failed ?? new RametError('closed', `${this.name}: the connection was closed here`, {
        path: [this.name], outcome: 'not-sent', hint: 'Open it again.' }))
    }
    const first = this.state === 'new'
    const own = this.privateArgs()
    const started = new SpawnedProcess([this.options.program ?? 'ssh', ...this.args(), ...own, '--', this.options.host, command], {
      name: this.name, env: this.options.env, failure: (end, stderr) => this.failed ?? failureOf(this.name, end, this.said(own, stderr), this.options.withheld),
    })
    if (own.includes('ControlMaster=yes')) this.master = started
    this.processes.add(started, started.exited)
    void started.exited.then(() => {
      if (this.master === started) this.master = undefined
      // Whoever wants to know what ssh said reads it now; a connection may outlast thousands of commands.
      if (own[0] === '-E') setImmediate(() => unlink(own[1] as string, () => {}))
    })
    if (first) this.awaitFirst(started, () => this.said(own, started.tail))
    return started
  }

  close(): Promise<void> {
    if (this.state !== 'closed') {
      this.state = 'closed'
      this.stopWaiting()
      this.became.reject(new RametError('closed', `${this.name}: the connection was closed here`, {
        path: [this.name], outcome: 'unknown', hint: 'Open it again.' }))
      void this.processes.destroy((item) => this.end(item)).then(() => this.leave()).then(() => {
        if (this.dir !== undefined) removeDirectory(this.dir)
        sharing.delete(this)
        this.options.gone?.()
        this.gone.resolve()
      })
    }
    return this.gone.promise
  }

  /** ssh ends by itself once it has heard how the process ended; until then that may not be gone. */
  private async end(started: SpawnedProcess): Promise<void> {
    if (started.ending) await withinTime(started.exited, this.options.clock ?? systemClock, ENDING)
    await started.destroy()
  }

  /** Ends the shared connection that ssh keeps in the background, if there is one. */
  private async leave(): Promise<void> {
    if (this.dir === undefined || !existsSync(join(this.dir, 's'))) return
    const exit = new SpawnedProcess(this.exitArgv(this.dir), { name: this.name, env: this.options.env })
    exit.stderr(() => {})
    const stop = (this.options.clock ?? systemClock).after(LEAVE, () => exit.kill())
    await exit.exited
    stop()
    await exit.destroy()
  }

  /** The same where no time is left to wait for it: by a process that outlives us, and takes the directory with it. */
  abandon(): void {
    const { dir } = this
    if (dir === undefined || !existsSync(join(dir, 's'))) return
    this.dir = undefined
    keepDirectory(dir)
    // A session of the shared connection may have begun that nobody hears of any more: by itself it would stay with it.
    const argv = ['-c', 'dir=$0; "$@" </dev/null >/dev/null 2>&1; rm -rf "$dir"', dir, ...this.exitArgv(dir)]
    spawn('/bin/sh', argv, { detached: true, stdio: 'ignore', env: this.options.env ?? process.env }).on('error', () => {}).unref()
  }

  private exitArgv(dir: string): string[] {
    return [this.options.program ?? 'ssh', ...this.args(), '-O', 'exit', '-o', this.controlPath(dir), '--', this.options.host]
  }

  onClose(listener: () => void): void {
    void this.gone.promise.then(listener)
  }

  stats(): { bytesIn: number; bytesOut: number } {
    return this.processes.stats()
  }

  private awaitFirst(first: SpawnedProcess, said: () => Said): void {
    this.state = 'connecting'
    const { signal, timeout = 30_000 } = this.options
    if (signal?.aborted) return void process.nextTick(this.onAbort)
    signal?.addEventListener('abort', this.onAbort, { once: true })
    if (timeout > 0) {
      this.stopTimer = (this.options.clock ?? systemClock).after(timeout, () => this.giveUp(
        new RametError('connect-timeout', `${this.name}: ssh has not started the process in ${timeout} ms`, {
          stage: 'ssh', path: [this.name], outcome: 'unknown',
          hint: 'Check the address and firewalls on the way, or give it more time (timeout).' })))
    }
    void first.spoke.promise.then(async () => {
      if (this.state !== 'connecting') return
      const ended = first.state === 'running' ? undefined : await first.exited
      const error = ended === undefined || first.bytesIn > 0 ? undefined : first.failed ?? failureOf(this.name, ended, said(), this.options.withheld)
      if (error !== undefined) return this.giveUp(error)
      this.stopWaiting()
      this.state = 'open'
      this.stage = 'launch'
      this.became.resolve()
    })
  }

  private giveUp(error: RametError): void {
    if (this.state === 'closed') return
    this.failed = error
    this.became.reject(error)
    void this.close()
  }

  private stopWaiting(): void {
    this.stopTimer?.()
    this.options.signal?.removeEventListener('abort', this.onAbort)
  }

  private args(): string[] {
    const { options } = this
    const list: string[] = [...(options.args ?? []), '-T']
    const set = (name: string, value: string): void => void list.push('-o', `${name}=${value}`)
    if (options.configFile !== undefined) list.push('-F', options.configFile === false ? 'none' : options.configFile)
    if (options.port !== undefined) list.push('-p', String(options.port))
    if (options.user !== undefined) list.push('-l', options.user)
    if (options.jump !== undefined) list.push('-J', options.jump)
    for (const file of strings(options.identityFile)) list.push('-i', file)
    if (options.identityFile !== undefined) set('IdentitiesOnly', 'yes')
    const known = options.hostKeys === 'ignore' ? ['/dev/null'] : strings(options.knownHosts)
    if (known.length > 0) set('UserKnownHostsFile', known.map((file) => `"${file}"`).join(' '))
    // Not given, it is what the configuration says, whose own default refuses unknown hosts where nobody can be asked.
    const { hostKeys = options.interactive === true ? 'enforce' : undefined } = options
    if (hostKeys !== undefined) set('StrictHostKeyChecking', { enforce: 'yes', accept: 'accept-new', ignore: 'no' }[hostKeys])
    if (options.interactive !== true) set('BatchMode', 'yes')
    const { timeout = 30_000 } = options
    if (timeout > 0) set('ConnectTimeout', String(Math.ceil(timeout / 1000)))
    // What a person's configuration may ask of an interactive ssh must not happen to a pipe.
    set('RemoteCommand', 'none')
    set('PermitLocalCommand', 'no')
    set('ClearAllForwardings', 'yes')
    // Below INFO ssh would not say why it gave up.
    set('LogLevel', 'INFO')
    return list
  }

  /** Shares one connection, and keeps what ssh itself says apart from the stderr of the command. */
  private privateArgs(): string[] {
    const alone = ['-o', 'ControlPath=none', '-o', 'ControlMaster=no']
    try {
      this.dir ??= this.options.inRam === true ? ramDirectory() : mkdtempSync(join(process.env['XDG_RUNTIME_DIR'] ?? tmpdir(), 'ramet-'))
      sharing.add(this)
    } catch {
      // Below.
    }
    if (this.dir === undefined) return alone
    const log = logArgs(join(this.dir, `log${++this.opened}`))
    const control = join(this.dir, 's')
    // A path that is too long would make ssh refuse to start; without sharing each process connects by itself.
    if (control.length > MAX_CONTROL_PATH) return [...log, ...alone]
    // A process that made the connection takes it along when it ends, though others are just being let in: only one that
    // stays, a stub, may be trusted with it.
    const keep = this.options.commands === true || (this.opened > 1 && this.master === undefined)
    return [...log, '-o', this.controlPath(this.dir), '-o', `ControlMaster=${keep ? 'auto' : this.master === undefined ? 'yes' : 'no'}`,
      '-o', `ControlPersist=${keep ? PERSIST : 'no'}`]
  }

  private controlPath(dir: string): string {
    return `ControlPath=${join(dir, 's').replace(/%/g, '%%')}`
  }

  /** What ssh said while it made the connection for a process, or else what came on stderr. */
  private said(args: readonly string[], stderr: string): Said {
    const file = args[0] === '-E' ? args[1] : undefined
    try {
      const text = file === undefined ? '' : readFileSync(file, 'latin1').slice(-4096).trimStart()
      // What led to the machine ended before that had said who it is: on stderr stands why, and nothing of a shell's.
      if (/^kex_exchange_identification: /m.test(text)) return { text: `${stderr}\n${text}`, byShell: false }
      // Where ssh has a file for its own words and it is empty, what came on stderr was the machine's.
      return text === '' ? { text: stderr, byShell: file !== undefined } : { text, byShell: false }
    } catch {
      return { text: stderr, byShell: false }
    }
  }
}

/** A file for what ssh itself says, with room for some lines; none where that is not to be had, and ssh says it on stderr. */
function logArgs(file: string): string[] {
  try {
    writeFileSync(file, '\n', { mode: 0o600 })
    return ['-E', file]
  } catch {
    return []
  }
}

const strings = (value: string | readonly string[] | undefined): readonly string[] =>
  value === undefined ? [] : typeof value === 'string' ? [value] : value

const badWord = (word: string): boolean => word === '' || word.startsWith('-') || /[\x00-\x20\x7f]/.test(word)
