import type { ChildProcess } from 'node:child_process'
import { closeSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { StreamOutlet } from './outlet.ts'
import type { Outlet } from './outlet.ts'
import type { Pipes } from './pipes.ts'

/** A process with the streams that we read and write. `stdin` is undefined when we do not write to it. */
export interface Child {
  process: ChildProcess
  pid: number
  stdin: Writable | undefined
  stdout: Outlet
  stderr: Outlet
}

/** The streams of a process that is about to be started: over pipes where there are any, else over the sockets that Node makes. */
export class Streams {
  state: 'open' | 'handed-on' = 'open'
  /** For child_process.spawn. */
  readonly stdio: ('ignore' | 'pipe' | number)[]
  private readonly stdin: Socket | undefined
  private readonly outputs: Outlet[] = []
  private theirs: number | undefined

  /**
   * `ends`: of two pipes, or of three when stdin is to be one, too; where that is `given`, we do not write to it, the caller
   * does. Throws when no descriptor is left, and has closed them then.
   */
  constructor(pipes: Pipes, ends: readonly number[] | undefined, stdin: 'ignore' | 'pipe' | 'given') {
    this.stdio = [stdin === 'ignore' ? 'ignore' : 'pipe', 'pipe', 'pipe']
    if (ends === undefined) return
    const [out, err, input] = ends as [number, number, number?]
    this.stdio = ['ignore', out, err]
    const free = [...ends]
    try {
      for (const end of [out, err]) {
        this.outputs.push(pipes.outlet(end))
        free.shift()
      }
      if (input === undefined) return
      this.theirs = pipes.other(input)
      this.stdio[0] = this.theirs
      if (stdin === 'pipe') this.stdin = new Socket({ fd: input, readable: false, writable: true })
    } catch (error) {
      for (const end of free) closeSync(end)
      this.close()
      throw error
    }
  }

  /** The child has been started: its ends are its own now. */
  handOn(child: ChildProcess): Child {
    this.closeTheirs()
    const [stdout = new StreamOutlet(child.stdout as Readable), stderr = new StreamOutlet(child.stderr as Readable)] = this.outputs
    const stdin = this.stdin ?? child.stdin ?? undefined
    // A child may end or close its stdin before it has read everything.
    stdin?.on('error', () => {})
    return { process: child, pid: child.pid as number, stdin, stdout, stderr }
  }

  /** Nothing was started. The pipes go back. */
  close(): void {
    this.closeTheirs()
    this.stdin?.destroy()
    for (const output of this.outputs) output.release()
  }

  private closeTheirs(): void {
    if (this.state === 'handed-on') return
    this.state = 'handed-on'
    if (this.theirs !== undefined) closeSync(this.theirs)
  }
}
