import { isRametError } from '../router/errors.ts'
import type { Clock } from '../base/clock.ts'
import { CONTROL_LINE } from './raw-script.ts'
import type { RemoteProcess } from './transport.ts'

/** Milliseconds until a channel is asked for again that the server had refused, and how often. */
const AGAIN = 200
const TRIES = 10
/** Characters of output that are looked at: the answers are short, and what is longer is none. */
const ANSWER_MAX = 4096

export interface RawControlOptions {
  open(line: string): RemoteProcess
  clock: Clock
  /** Milliseconds in which no channel may be opened, unless resume() is called before. Default 0. */
  hold?(): number
  /** The shell is about to end, its channel with it. */
  left?(process: RemoteProcess): void
}

/**
 * Sends signals to running commands, over one channel beside theirs: a shell that runs each line that it is given, however
 * many commands are to be ended at once. The channel is open as long as there is something to do.
 */
export class RawControl {
  state: 'idle' | 'open' | 'waiting' | 'closed' = 'idle'
  private readonly options: RawControlOptions
  private readonly tasks = new Map<number, { text: string; done: () => void }>()
  private process: RemoteProcess | undefined
  private last = 0
  private tries = 0
  private stopWaiting: (() => void) | undefined

  constructor(options: RawControlOptions) {
    this.options = options
  }

  /** Runs one line; resolves when it is done, or when nobody can tell any more. */
  run(text: string): Promise<void> {
    if (this.state === 'closed') return Promise.resolve()
    return new Promise((done) => {
      this.last += 1
      this.tasks.set(this.last, { text, done })
      if (this.state === 'idle') this.connect()
      else if (this.state === 'open') this.send(this.last, text)
    })
  }

  close(): void {
    this.state = 'closed'
    this.stopWaiting?.()
    this.process?.pipe.end()
    for (const id of [...this.tasks.keys()]) this.done(id)
  }

  /** Channels have become free, or may be opened again. */
  resume(): void {
    if (this.state !== 'waiting') return
    this.stopWaiting?.()
    this.connect()
  }

  private connect(): void {
    const held = this.options.hold?.() ?? 0
    if (held > 0) return this.wait(held)
    let process: RemoteProcess
    try {
      process = this.options.open(CONTROL_LINE)
    } catch {
      return this.close()
    }
    this.state = 'open'
    this.process = process
    let text = ''
    let silent = true
    process.stderr(() => {})
    process.pipe.start({
      data: (bytes) => {
        silent = false
        text = (text + Buffer.from(bytes).toString('latin1')).slice(-ANSWER_MAX)
        for (const [, id] of text.matchAll(/ramet-done (\d+)\n/g)) this.done(Number(id))
        text = text.slice(text.lastIndexOf('\n') + 1)
      },
      drain() {},
      closed: (cause) => void process.exited.then(({ exitCode, signal }) => {
        // A server that loses channels has lost this one: nobody read what was written to it.
        const taken = silent && cause === undefined && exitCode === null && signal === null
        this.ended(process, taken || (isRametError(cause) && cause.code === 'launch-failed'))
      }),
    })
    for (const [id, task] of this.tasks) this.send(id, task.text)
  }

  private send(id: number, text: string): void {
    this.process?.pipe.write(Buffer.from(`{ ${text};echo ramet-done ${id}; } 2>/dev/null &\n`))
  }

  private done(id: number): void {
    this.tasks.get(id)?.done()
    this.tasks.delete(id)
    if (this.tasks.size > 0 || this.state !== 'open') return
    this.state = 'idle'
    this.tries = 0
    const { process } = this
    this.process = undefined
    process?.pipe.end()
    if (process !== undefined) this.options.left?.(process)
  }

  private wait(ms: number): void {
    this.state = 'waiting'
    this.stopWaiting = this.options.clock.after(ms, () => this.connect())
  }

  private ended(process: RemoteProcess, again: boolean): void {
    if (this.process !== process || this.state !== 'open') return
    this.process = undefined
    this.tries += 1
    if (again && this.tries < TRIES) return this.wait(AGAIN)
    this.state = 'idle'
    for (const id of [...this.tasks.keys()]) this.done(id)
  }
}
