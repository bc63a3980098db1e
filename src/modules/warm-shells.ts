import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { closeSync, writeSync } from 'node:fs'
import type { Socket } from 'node:net'
import { shellText } from '../connect/command.ts'
import type { Pipes } from './pipes.ts'
import type { ProcessTable } from './service.ts'
import { Streams } from './streams.ts'
import type { Child } from './streams.ts'

/**
 * Shells started ahead of time, each for one command: a fork of Node costs more than most commands. A waiting shell leads a
 * process group and owns pipes like any command; its script is one line that comes on stdin, by which it replaces itself, so
 * nothing of an earlier command can be seen by a later one. They are for commands that read nothing.
 */

/** Waiting shells at most. Commands that come back to back soon find none, and start the usual way: a fork beside theirs would cost them more. */
const READY = 2
/** Milliseconds without a command before the next shell is started: not in front of a command that comes back to back. */
const PAUSE = 3
/** Milliseconds without a command after which waiting shells are ended. */
const IDLE = 30_000
/** Characters of a command line at most: some shells read it byte by byte, and a pipe takes it at once. */
const LINE_MAX = 1024

/** For who reads `ps`. */
const REMARK = 'ramet: waits for a command'

/** The line that makes a waiting shell become the command, or undefined when the command must be started the usual way. */
export function warmLine(command: string): string | undefined {
  if (command.length > LINE_MAX || command.includes('\n')) return undefined
  return `exec </dev/null;${shellText(command).text}\n`
}

export interface WarmShellOptions {
  cwd: string
  env: Record<string, string | undefined>
  processes: ProcessTable
  pipes: Pipes
}

export class WarmShells {
  private state: 'unused' | 'warm' | 'closed' = 'unused'
  private readonly ready: WaitingShell[] = []
  private running = 0
  private refill: ReturnType<typeof setTimeout> | undefined
  private idle: ReturnType<typeof setTimeout> | undefined
  private readonly options: WarmShellOptions

  constructor(options: WarmShellOptions) {
    this.options = options
  }

  /** Makes a waiting shell become what `line` says; undefined when none waits. It is registered as a group leader, and the caller's from here on. */
  become(line: string): Child | undefined {
    for (let shell = this.ready.shift(); shell !== undefined; shell = this.ready.shift()) {
      const child = shell.become(line)
      if (child !== undefined) return child
    }
    return undefined
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

  /**
   * Starts as many as are missing, one per pause: two forks in a row would hold the loop for 2 ms. One that ends at once is not
   * replaced before the next command: the machine will not have it.
   */
  private fill(most = READY): void {
    this.add()
    if (most === 1 || !this.wanting()) return
    this.refill = setTimeout(() => this.fill(most - 1), PAUSE)
    this.refill.unref()
  }

  /** Once the stub ends, whatever is started is told to end at once. */
  private wanting(): boolean {
    return this.state === 'warm' && this.ready.length < READY && this.options.processes.state === 'open'
  }

  private add(): void {
    if (!this.wanting()) return
    const { pipes } = this.options
    pipes.take(3, (ends) => {
      if (this.wanting()) this.start(ends)
      else if (ends !== undefined) pipes.giveBack(ends)
    })
  }

  private start(ends: number[] | undefined): void {
    const { cwd, env, processes, pipes } = this.options
    let streams: Streams | undefined
    let child: ChildProcess
    try {
      streams = new Streams(pipes, ends, 'given')
      child = spawn('/bin/sh', ['-s', REMARK], { cwd, env: env, detached: true, stdio: streams.stdio })
    } catch {
      this.state = 'closed'
      streams?.close()
      return
    }
    // Without processes, memory or the home directory commands still start the usual way, and say what is wrong.
    child.on('error', () => { this.state = 'closed' })
    const input = ends?.[2]
    if (child.pid === undefined) {
      if (input !== undefined) pipes.returned(input)
      return streams.close()
    }
    const shell = new WaitingShell(streams.handOn(child), input, pipes)
    const { pid } = shell
    processes.add(pid)
    child.on('exit', () => {
      processes.delete(pid)
      const at = this.ready.indexOf(shell)
      if (at >= 0) this.ready.splice(at, 1)
      shell.close()
    })
    this.ready.push(shell)
  }

  /** End of file is what ends a waiting shell. */
  private empty(): void {
    for (const shell of this.ready.splice(0)) shell.close()
  }
}

/** A process that keeps nobody from ending while it waits. */
class WaitingShell {
  state: 'waiting' | 'command' | 'closed' = 'waiting'
  readonly pid: number
  private readonly child: Child
  private readonly input: number | undefined
  private readonly pipes: Pipes

  /** `input`: our end of the pipe that it reads, where there are pipes. */
  constructor(child: Child, input: number | undefined, pipes: Pipes) {
    this.child = child
    this.pid = child.pid
    this.input = input
    this.pipes = pipes
    this.keep(false)
  }

  /** The process with `line` for its command, the caller's from here on; undefined when it has ended. */
  become(line: string): Child | undefined {
    if (!this.tell(line)) {
      this.close()
      return undefined
    }
    this.state = 'command'
    const { process } = this.child
    process.removeAllListeners('exit')
    process.removeAllListeners('error')
    const { input, pipes } = this
    if (input !== undefined) process.once('exit', () => pipes.returned(input, true))
    this.keep(true)
    return { ...this.child, stdin: undefined }
  }

  /** Ends it, by the end of its script. */
  close(): void {
    if (this.state !== 'waiting') return
    this.state = 'closed'
    if (this.input !== undefined) closeSync(this.input)
    this.child.stdin?.end()
    this.child.stdout.release()
    this.child.stderr.release()
  }

  private tell(line: string): boolean {
    if (this.input === undefined) {
      this.child.stdin?.end(line)
      return true
    }
    try {
      writeSync(this.input, line)
      return true
    } catch {
      // Nobody reads: it was killed, and we have not heard of it yet.
      return false
    }
  }

  private keep(loop: boolean): void {
    const { process, stdin, stdout, stderr } = this.child
    for (const thing of [process, stdin as Socket | undefined]) {
      if (loop) thing?.ref()
      else thing?.unref()
    }
    for (const outlet of [stdout, stderr]) outlet.keep(loop)
  }
}
