import type { ChildProcess } from 'node:child_process'
import { closeSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import type { Pipes } from './pipes.ts'

/** A process with the streams that we read and write. `stdin` is undefined when it reads /dev/null. */
export interface Child {
  process: ChildProcess
  pid: number
  stdin: Writable | undefined
  stdout: Readable
  stderr: Readable
}

/** The streams of a process that is about to be started: over pipes where there are any, else over the sockets that Node makes. */
export class Streams {
  state: 'open' | 'handed-on' = 'open'
  /** For child_process.spawn. */
  readonly stdio: ('ignore' | 'pipe' | number)[]
  private readonly theirs: number[]
  private readonly stdin: Socket | undefined
  private readonly outputs: Socket[] = []

  /** `ends`: of two pipes, or of three when stdin is to be one, too. Throws when no descriptor is left. */
  constructor(pipes: Pipes, ends: readonly number[] | undefined, stdin: 'ignore' | 'pipe') {
    this.stdio = [stdin, 'pipe', 'pipe']
    this.theirs = []
    if (ends === undefined) return
    const [out, err, input] = ends as [number, number, number?]
    this.theirs.push(out, err)
    this.stdio = [stdin, out, err]
    try {
      if (input !== undefined) {
        this.stdin = new Socket({ fd: input, readable: false, writable: true })
        this.stdio[0] = pipes.other(input)
        this.theirs.push(this.stdio[0])
      }
      this.outputs.push(pipes.reader(out))
      this.outputs.push(pipes.reader(err))
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** The child has been started: its ends are its own now. */
  handOn(child: ChildProcess): Child {
    this.closeTheirs()
    const [stdout = child.stdout as Readable, stderr = child.stderr as Readable] = this.outputs
    const stdin = this.stdin ?? child.stdin ?? undefined
    // A child may end or close its stdin before it has read everything.
    stdin?.on('error', () => {})
    return { process: child, pid: child.pid as number, stdin, stdout, stderr }
  }

  /** Nothing was started. The pipes go back: their readers find them at their end. */
  close(): void {
    this.closeTheirs()
    this.stdin?.destroy()
    for (const output of this.outputs) output.resume()
  }

  private closeTheirs(): void {
    if (this.state === 'handed-on') return
    this.state = 'handed-on'
    for (const fd of this.theirs) closeSync(fd)
  }
}
