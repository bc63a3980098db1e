import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import { shellText } from '../connect/command.ts'
import type { Pipes } from './pipes.ts'
import { Streams } from './streams.ts'
import type { Child } from './streams.ts'

/**
 * Shells started ahead of time, each for one command: a fork of Node costs more than most commands. A waiting shell leads a
 * process group and owns pipes like any command; it reads one line from its stdin and replaces itself by what the line says,
 * so nothing of an earlier command can be seen by a later one. They are for commands that read nothing: what waits for a line
 * has a socket for stdin, since a pipe could not be used again.
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
  return `exec </dev/null;${shellText(command).text}\n`
}

export interface WarmShellOptions {
  cwd: string
  env: Record<string, string | undefined>
  processes: { add(groupLeader: number): void; delete(groupLeader: number): void }
  pipes: Pipes
}

export class WarmShells {
  private state: 'unused' | 'warm' | 'closed' = 'unused'
  private readonly ready: Child[] = []
  private running = 0
  private refill: ReturnType<typeof setTimeout> | undefined
  private idle: ReturnType<typeof setTimeout> | undefined
  private readonly options: WarmShellOptions

  constructor(options: WarmShellOptions) {
    this.options = options
  }

  /** Makes a waiting shell become what `line` says; undefined when none waits. It is registered as a group leader, and the caller's from here on. */
  become(line: string): Child | undefined {
    const shell = this.ready.shift()
    if (shell === undefined) return undefined
    shell.process.removeAllListeners('exit')
    shell.process.removeAllListeners('error')
    shell.process.ref()
    for (const stream of [shell.stdout, shell.stderr] as Socket[]) stream.ref()
    shell.stdin?.end(line)
    return { ...shell, stdin: undefined }
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
    const { pipes } = this.options
    pipes.take(2, (ends) => {
      if (this.state === 'warm' && this.ready.length < READY) this.start(ends)
      else if (ends !== undefined) pipes.giveBack(ends)
    })
  }

  private start(ends: number[] | undefined): void {
    const { cwd, env, processes, pipes } = this.options
    let streams: Streams | undefined
    let child: ChildProcess
    try {
      streams = new Streams(pipes, ends, 'pipe')
      child = spawn('/bin/sh', ['-c', WAIT], { cwd, env: env, detached: true, stdio: streams.stdio })
    } catch {
      this.state = 'closed'
      streams?.close()
      return
    }
    // Without processes, memory or the home directory commands still start the usual way, and say what is wrong.
    child.on('error', () => { this.state = 'closed' })
    if (child.pid === undefined) return streams.close()
    const shell = streams.handOn(child)
    processes.add(shell.pid)
    child.on('exit', () => {
      processes.delete(shell.pid)
      const at = this.ready.indexOf(shell)
      if (at >= 0) this.ready.splice(at, 1)
      release(shell)
    })
    child.unref()
    for (const stream of [shell.stdin, shell.stdout, shell.stderr] as Socket[]) stream.unref()
    this.ready.push(shell)
  }

  /** End of file is what ends a waiting shell. */
  private empty(): void {
    for (const shell of this.ready.splice(0)) release(shell)
  }
}

function release(shell: Child): void {
  shell.stdin?.end()
  shell.stdout.resume()
  shell.stderr.resume()
}
