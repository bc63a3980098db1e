import { join } from 'node:path'
import { findProgram, linesOf, onOneCore, run } from '../processes.ts'
import { algorithms, type Suite } from '../sshd.ts'
import type { Endpoint, Workspace } from '../workspace.ts'

/** Options that make OpenSSH's client do no more than it must: no configuration file, no agent, one key, checked host key. */
export function sshOptions(workspace: Workspace, suite: Suite): string[] {
  const options: Record<string, string> = {
    BatchMode: 'yes',
    IdentitiesOnly: 'yes',
    IdentityFile: workspace.key,
    StrictHostKeyChecking: 'yes',
    UserKnownHostsFile: workspace.knownHosts,
    GlobalKnownHostsFile: '/dev/null',
    PreferredAuthentications: 'publickey',
    Compression: 'no',
    ...algorithms[suite],
  }
  return ['-F', '/dev/null', ...Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`])]
}

export interface OpenSshOptions {
  suite?: Suite
  oneCore?: boolean
}

/** OpenSSH's client, one process per command. */
export class OpenSsh {
  readonly #argv: string[]
  readonly #oneCore: boolean

  constructor(workspace: Workspace, options: OpenSshOptions = {}) {
    this.#argv = ['ssh', ...sshOptions(workspace, options.suite ?? 'pinned'), '-l', workspace.user]
    this.#oneCore = options.oneCore ?? false
  }

  static missing(): string | undefined {
    return findProgram('ssh') === undefined ? 'ssh is not installed' : undefined
  }

  /** Milliseconds of the whole process. */
  async command(target: Endpoint, command: string): Promise<number> {
    const argv = onOneCore([...this.#argv, '-p', String(target.port), '--', target.host, command], this.#oneCore)
    const done = await run(argv)
    if (done.code !== 0) throw new Error(`ssh ended with ${done.code}: ${done.stderr.trim()}`)
    return done.duration
  }

  /**
   * Milliseconds of so many commands, one after the other, that a shell starts; with `master` the first of them opens one for the
   * others, and it is ended outside of that time. They print `expected` lines in all, by default one each.
   */
  async repeated(workspace: Workspace, target: Endpoint, command: string, times: number, master: boolean, expected: number = times): Promise<number> {
    const socket = join(workspace.dir, `cr-${target.port}`)
    const argv = [...this.#argv, '-p', String(target.port), ...(master ? ['-o', `ControlPath=${socket}`, '-o', 'ControlMaster=auto', '-o', 'ControlPersist=60s'] : [])]
    const loop = 'i=0; while [ $i -lt "$0" ]; do "$@" || exit; i=$((i+1)); done'
    try {
      const done = await run(onOneCore(['sh', '-c', loop, String(times), ...argv, '--', target.host, command], this.#oneCore))
      const lines = linesOf(done.stdout)
      if (done.code !== 0 || lines !== expected) throw new Error(`ssh ended with ${done.code} after ${lines} of ${expected} lines: ${done.stderr.trim()}`)
      return done.duration
    } finally {
      if (master) await run([...argv, '-O', 'exit', '--', target.host])
    }
  }

  /** Opens a master connection; the session's `command` then runs over it. */
  async master(workspace: Workspace, target: Endpoint): Promise<Master> {
    const socket = join(workspace.dir, `cm-${target.port}`)
    const argv = [...this.#argv, '-p', String(target.port), '-o', `ControlPath=${socket}`]
    const opened = await run(onOneCore([...argv, '-o', 'ControlMaster=yes', '-o', 'ControlPersist=yes', '-f', '-N', '--', target.host], this.#oneCore))
    if (opened.code !== 0) throw new Error(`ssh did not open a master: ${opened.stderr.trim()}`)
    return new Master([...argv, '-o', 'ControlMaster=no'], target.host, this.#oneCore)
  }
}

/** A connection kept open by OpenSSH, over which each command is a new `ssh` process and a new channel. */
export class Master {
  readonly #argv: string[]
  readonly #host: string
  readonly #oneCore: boolean
  #state: 'open' | 'closed' = 'open'

  constructor(argv: string[], host: string, oneCore: boolean) {
    this.#argv = argv
    this.#host = host
    this.#oneCore = oneCore
  }

  /** Microseconds of each of `calls` commands in a row. */
  async exec(command: string, calls: number): Promise<number[]> {
    const times: number[] = []
    for (let i = 0; i < calls; i++) {
      const done = await run(onOneCore([...this.#argv, '--', this.#host, command], this.#oneCore))
      if (done.code !== 0 || done.stdout === '') throw new Error(`ssh over the master ended with ${done.code}: ${done.stderr.trim()}`)
      times.push(done.duration * 1000)
    }
    return times
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    await run([...this.#argv, '-O', 'exit', '--', this.#host])
  }
}
