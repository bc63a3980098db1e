import { setTimeout as after } from 'node:timers/promises'
import type { BenchFiles } from './bench-files.ts'
import type { Contender, Kind } from './contender.ts'
import type { Children, SshProcess } from './ssh-process.ts'
import { inQuotes } from './ssh-way.ts'
import type { SshWay } from './ssh-way.ts'
import { check } from './work.ts'
import type { Work } from './work.ts'

/** ms for a master to leave by itself, and once it was told to. */
const LEAVE = 1500

export interface SshOptions {
  program: string
  way: SshWay
  work: Work
  children: Children
}

/** A process, a connection and a login for each call. */
export class FreshSsh implements Contender {
  readonly #options: SshOptions

  constructor(options: SshOptions) {
    this.#options = options
  }

  async open(): Promise<void> {}

  async call(kind: Kind, signal: AbortSignal): Promise<void> {
    // A shared connection of the person's own configuration would be no fresh one.
    await callBySsh(this.#options, ['-o', 'ControlMaster=no', '-o', 'ControlPath=none'], kind, signal)
  }

  async close(): Promise<void> {}
}

/** One connection that `ssh` keeps, and a process and a channel for each call. */
export class MasterSsh implements Contender {
  readonly #options: SshOptions
  readonly #files: BenchFiles
  #socket = ''
  #master: SshProcess | undefined

  constructor(options: SshOptions, files: BenchFiles) {
    this.#options = options
    this.#files = files
  }

  async open(): Promise<void> {
    const { program, way, children } = this.#options
    this.#socket = inQuotes(this.#files.socket())
    // Its own session reads from us: should we be killed, it ends, and with it the master.
    const master = children.start([program, '-o', 'ControlMaster=yes', '-o', 'ControlPersist=no', '-o', `ControlPath=${this.#socket}`, ...way.args, '--', way.host, 'cat'], true)
    this.#master = master
    const ready = `ramet-${process.pid}-ready`
    const said = master.says(ready)
    master.write(`${ready}\n`, false)
    await said
  }

  async call(kind: Kind, signal: AbortSignal): Promise<void> {
    // Where the master does not let it in ssh would quietly connect by itself: it gets a way that leads nowhere.
    const only = ['-o', 'ControlMaster=no', '-o', `ControlPath=${this.#socket}`, '-o', 'ProxyCommand=false']
    await callBySsh({ ...this.#options, way: withoutJumps(this.#options.way) }, only, kind, signal, whyNotShared)
  }

  async close(): Promise<void> {
    const master = this.#master
    if (master === undefined || master.state === 'ended') return
    master.write(undefined, true)
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const waiting = new AbortController()
      await Promise.race([master.ended, after(LEAVE, undefined, { signal: waiting.signal }).catch(() => {})])
      waiting.abort()
      if (hasEnded(master)) return
      master.kill(signal)
    }
    await master.ended
  }
}

function hasEnded({ state }: SshProcess): boolean {
  return state === 'ended'
}

/** `why`: makes more of what ssh said when it failed. */
async function callBySsh(
  { program, way, work, children }: SshOptions, first: readonly string[], kind: Kind, signal: AbortSignal, why?: (said: string) => string | undefined,
): Promise<void> {
  const task = work.next(kind)
  const ssh = children.start([program, ...first, ...way.args, '--', way.host, task.line], task.stdin !== undefined)
  if (task.stdin !== undefined) ssh.write(task.stdin, true)
  try {
    check(task, await ssh.output(signal))
  } catch (error) {
    const more = why?.(ssh.stderr)
    throw more === undefined ? error : new Error(more, { cause: error })
  }
}

function whyNotShared(said: string): string | undefined {
  const refused = /^mux_client_\w+: (.*)$/m.exec(said)?.[1]
  if (refused !== undefined) return `the shared connection does not serve it: ${refused.trim()}`
  return /UNKNOWN port 65535/.test(said) ? 'the shared connection is gone' : undefined
}

/** ssh takes -J and a ProxyCommand together for a mistake. */
function withoutJumps({ host, args }: SshWay): SshWay {
  const at = args.indexOf('-J')
  return at < 0 ? { host, args } : { host, args: [...args.slice(0, at), ...args.slice(at + 2)] }
}
