import { spawn } from 'node:child_process'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { shellText } from '../connect/command.ts'

/**
 * Shells started ahead of time, each for one command: a fork of Node costs more than most commands. A waiting shell leads a
 * process group and owns pipes like any command; it reads one line from its stdin and replaces itself by what the line says,
 * so nothing of an earlier command can be seen by a later one, and what follows the line is the command's own stdin
 * (POSIX has `read` take no byte beyond the newline).
 */

/** Waiting shells at most. Commands that come back to back soon find none, and start the usual way: a fork beside theirs would cost them more. */
const READY = 2
/** Milliseconds without a command before the next shell is started: not in front of a command that comes back to back. */
const PAUSE = 3
/** Milliseconds without a command after which waiting shells are ended. */
const IDLE = 30_000
/** Characters of a command line at most: shells read it byte by byte. */
const LINE_MAX = 1024

/** Run by every waiting shell. The variable has a long name because an equal one of the account's would be changed by it. */
const WAIT = 'IFS= read -r ramet_command_line&&eval "$ramet_command_line"'

/** The line that makes a waiting shell become the command, or undefined when the command must be started the usual way. */
export function warmLine(command: string): string | undefined {
  if (command.length > LINE_MAX || command.includes('\n')) return undefined
  return `${shellText(command).text}\n`
}

export interface WarmShellOptions {
  cwd: string
  env: Record<string, string | undefined>
  processes: { add(groupLeader: number): void; delete(groupLeader: number): void }
}

export class WarmShells {
  private state: 'unused' | 'warm' | 'closed' = 'unused'
  private readonly ready: ChildProcessWithoutNullStreams[] = []
  private running = 0
  private refill: ReturnType<typeof setTimeout> | undefined
  private idle: ReturnType<typeof setTimeout> | undefined
  private readonly options: WarmShellOptions

  constructor(options: WarmShellOptions) {
    this.options = options
  }

  /** A shell that waits for its line, registered as a group leader; the caller owns it from here on. */
  take(): ChildProcessWithoutNullStreams | undefined {
    const shell = this.ready.shift()
    if (shell === undefined) return undefined
    shell.removeAllListeners('exit')
    shell.removeAllListeners('error')
    shell.ref()
    for (const stream of [shell.stdin, shell.stdout, shell.stderr]) (stream as unknown as { ref(): void }).ref()
    return shell
  }

  /** To be called behind the start of every shell command. */
  started(): void {
    this.running += 1
    this.stopTimers()
    if (this.state === 'unused') this.state = 'warm'
  }

  ended(): void {
    this.running -= 1
    if (this.running > 0 || this.state !== 'warm') return
    this.stopTimers()
    this.refill = setTimeout(() => this.fill(), PAUSE)
    this.idle = setTimeout(() => this.empty(), IDLE)
    this.refill.unref()
    this.idle.unref()
  }

  close(): void {
    this.state = 'closed'
    this.stopTimers()
    this.empty()
  }

  private stopTimers(): void {
    if (this.refill !== undefined) clearTimeout(this.refill)
    if (this.idle !== undefined) clearTimeout(this.idle)
  }

  private fill(): void {
    this.add()
    // One fork per pause: two in a row would hold the loop for 2 ms.
    if (this.ready.length < READY && this.state === 'warm') {
      this.refill = setTimeout(() => this.fill(), PAUSE)
      this.refill.unref()
    }
  }

  private add(): void {
    if (this.state !== 'warm' || this.ready.length >= READY) return
    const { cwd, env, processes } = this.options
    let shell: ChildProcessWithoutNullStreams
    try {
      shell = spawn('/bin/sh', ['-c', WAIT], { cwd, env: env as NodeJS.ProcessEnv, detached: true, stdio: ['pipe', 'pipe', 'pipe'] })
    } catch {
      this.state = 'closed'
      return
    }
    // Without processes, memory or the home directory commands still start the usual way, and say what is wrong.
    shell.on('error', () => { this.state = 'closed' })
    const pid = shell.pid
    if (pid === undefined) return
    processes.add(pid)
    shell.on('exit', () => {
      processes.delete(pid)
      const at = this.ready.indexOf(shell)
      if (at >= 0) this.ready.splice(at, 1)
    })
    shell.stdin.on('error', () => {})
    shell.unref()
    for (const stream of [shell.stdin, shell.stdout, shell.stderr]) (stream as unknown as { unref(): void }).unref()
    this.ready.push(shell)
  }

  /** End of file is what ends a waiting shell. */
  private empty(): void {
    for (const shell of this.ready.splice(0)) {
      shell.stdin.end()
      shell.stdout.resume()
      shell.stderr.resume()
    }
  }
}
