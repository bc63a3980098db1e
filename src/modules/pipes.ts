import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { closeSync, constants, fstatSync, openSync, readSync, readlinkSync, writeSync } from 'node:fs'
import { pathOf, PipeOutlet } from './outlet.ts'

/**
 * Pipes of the operating system, as a command gets them from ssh. Node gives children pairs of sockets instead, which cannot be
 * opened by name: `echo x >/dev/stderr` fails there. Node cannot make a pipe, but a shell makes one for a short heredoc, and /proc
 * lets us open either end of it. Where there is no such shell, or no /proc (not Linux), there are no pipes.
 *
 * A pipe that waits for its next command is one descriptor, for writing. When nobody has another, neither for writing nor for
 * reading, the pipe is as new.
 */

/** Pipes made at a time: descriptors that every shell can name in a redirection, less one. */
const EACH = 6
const FIRST_FD = 3
/** Waiting pipes at most. There are more while more commands run at once. */
const WAITING = 32

const numbers = Array.from({ length: EACH }, (_, i) => FIRST_FD + i)
/**
 * Makes EACH pipes for every line of stdin and says so with a line, until stdin ends. dash and busybox have pipes for heredocs, as
 * has bash from 5.1 on (not for empty ones); before that it has them for `<(…)`. Other shells would write files.
 */
const MAKER = [
  'test "$KSH_VERSION$ZSH_VERSION$YASH_VERSION" && exit',
  'while read -r l; do case $BASH_VERSION in 5.0*|[1-4].*)',
  `set +o posix; eval "exec ${numbers.map((fd) => `${fd}< <(:)`).join(' ')}";;*)`,
  `exec ${numbers.map((fd) => `${fd}<<A`).join(' ')}${'\n\nA'.repeat(EACH)}`,
  ';; esac; echo; done',
].join('\n')

/** Takes the descriptors of pipes, or undefined where there are none. */
type Taker = (ends: number[] | undefined) => void

export class Pipes {
  /** Pipes that wait cost a descriptor each; `none` is for good: this machine has no way to make them. */
  state: 'open' | 'none' | 'closed'
  private readonly waiting: number[] = []
  /** Pipes that come back, to be looked at when there is time. */
  private readonly back: { end: number; unread: boolean }[] = []
  private readonly takers: { count: number; taker: Taker }[] = []
  private readonly shell: readonly string[]
  private maker: ChildProcess | undefined

  /** `shell`: the argv of one that takes `-c`. */
  constructor(shell: readonly string[] = ['/bin/sh']) {
    this.shell = shell
    this.state = procIsOurs() ? 'open' : 'none'
  }

  /** Calls `taker` with as many ends for writing, its own from then on: at once when enough pipes wait, else when they are made. */
  take(count: number, taker: Taker): void {
    if (this.state !== 'open') return taker(undefined)
    this.takers.push({ count, taker })
    this.serve()
  }

  /** What comes out of a pipe, to which `end` belongs from here on. It comes back by itself. Throws when no descriptor is left. */
  outlet(end: number): PipeOutlet {
    return new PipeOutlet(end, (again) => this.returned(again))
  }

  /** Opens the other end, for reading. */
  other(end: number): number {
    return openSync(pathOf(end), constants.O_RDONLY)
  }

  /** Takes back a pipe that a command had. `unread`: it may have ended before it had read all of it. */
  returned(end: number, unread = false): void {
    // Not before the command's result has left.
    if (this.back.push({ end, unread }) === 1) setImmediate(() => this.collect())
  }

  /** Takes back pipes that nobody had. */
  giveBack(ends: readonly number[]): void {
    for (const end of ends) {
      if (this.state === 'open' && this.waiting.length < WAITING) this.waiting.push(end)
      else closeSync(end)
    }
    this.serve()
  }

  close(): void {
    this.stop('closed')
  }

  private collect(): void {
    for (const { end, unread } of this.back.splice(0)) {
      if (this.state === 'open' && this.waiting.length < WAITING && nobodyReads(end) && (!unread || emptied(end))) this.waiting.push(end)
      else closeSync(end)
    }
    this.serve()
  }

  private serve(): void {
    if (this.takers.length === 0) return
    if (this.back.length > 0) return this.collect()
    for (let next = this.takers[0]; next !== undefined && next.count <= this.waiting.length; next = this.takers[0]) {
      this.takers.shift()
      next.taker(this.waiting.splice(-next.count))
    }
    if (this.takers.length > 0 && this.maker === undefined) this.make()
  }

  private make(): void {
    const [file = '', ...args] = this.shell
    let maker: ChildProcess
    try {
      maker = spawn(file, [...args, '-c', MAKER], { env: {}, cwd: '/', stdio: ['pipe', 'pipe', 'ignore'] })
    } catch {
      return this.refuse()
    }
    this.maker = maker
    let made = false
    maker.on('error', () => {
      if (this.maker !== maker || maker.pid !== undefined) return
      this.maker = undefined
      this.refuse()
    })
    maker.on('exit', (_code, signal) => {
      if (this.maker !== maker) return
      this.maker = undefined
      // A shell that ends without a word is none of those we know. One that was killed says nothing about the next.
      if (made) this.serve()
      else if (signal !== null) this.refuse()
      else this.stop('none')
    })
    maker.stdin?.on('error', () => {})
    maker.stdout?.on('data', () => {
      made = true
      if (this.maker !== maker) return
      this.made(maker, maker.pid as number)
    })
    maker.stdin?.write('\n')
  }

  /** Opens what the shell has made, and asks for more if that is not enough. */
  private made(maker: ChildProcess, pid: number): void {
    try {
      for (const fd of numbers) this.waiting.push(adopted(`/proc/${pid}/fd/${fd}`))
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'EMFILE' && code !== 'ENFILE') return this.stop('none')
      this.dismiss()
      return this.refuse()
    }
    this.serve()
    if (this.takers.length > 0) maker.stdin?.write('\n')
    else this.dismiss()
  }

  private dismiss(): void {
    const maker = this.maker
    this.maker = undefined
    maker?.stdin?.end()
  }

  /** Nothing can be made now: those who wait do without. */
  private refuse(): void {
    for (const { taker } of this.takers.splice(0)) taker(undefined)
  }

  private stop(state: 'none' | 'closed'): void {
    this.state = state
    this.dismiss()
    for (const end of this.waiting.splice(0)) closeSync(end)
    this.refuse()
  }
}

/** A /proc of other process ids than ours would lead us to the descriptors of others. */
function procIsOurs(): boolean {
  try {
    return process.platform === 'linux' && readlinkSync('/proc/self') === String(process.pid)
  } catch {
    return false
  }
}

/** The end for writing of the pipe of that name, with nothing in it. Throws when it is no pipe. */
function adopted(name: string): number {
  const end = openSync(name, constants.O_WRONLY)
  try {
    if (!fstatSync(end).isFIFO()) throw new Error(`${name} is no pipe`)
    // The heredoc.
    empty(end)
    return end
  } catch (error) {
    closeSync(end)
    throw error
  }
}

/** Takes out what is in the pipe. Throws when no descriptor is left. */
function empty(end: number): void {
  const fd = openSync(pathOf(end), constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const room = Buffer.alloc(1024)
    while (readSync(fd, room, 0, room.length, null) > 0);
  } catch {
    // EAGAIN: there is nothing in it.
  }
  closeSync(fd)
}

function emptied(end: number): boolean {
  try {
    empty(end)
    return true
  } catch {
    return false
  }
}

/**
 * Whether nobody has the end for reading: a job that opened /dev/stdout would read what a later command prints. (So would for a
 * moment the shell that made it, if it has not ended yet: then the pipe is lost, and another will be made.)
 */
function nobodyReads(end: number): boolean {
  try {
    writeSync(end, '\n')
    return false
  } catch {
    return true
  }
}
