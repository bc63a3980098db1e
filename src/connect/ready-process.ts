import { randomBytes } from 'node:crypto'
import { joinBytes } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import { deferred } from '../base/deferred.ts'
import { withinTime } from '../base/within-time.ts'
import { RametError } from '../router/errors.ts'
import { PIPE_LOW_WATER, type Pipe, type PipeSink } from '../router/pipe.ts'
import { MAX_NOISE } from '../router/protocol.ts'
import { SpawnedProcess } from './spawn.ts'
import type { ProcessEnd, RemoteProcess } from './transport.ts'

export interface ReadyOptions {
  /** The argv of the program, given the two halves of a text. What it starts has to print them as its first line, joined, and its process id. */
  argv(half: string, otherHalf: string): string[]
  /** The process id is one of this process's own namespace. */
  localPid: boolean
  env: NodeJS.ProcessEnv | undefined
  path: readonly string[]
  clock: Clock
  /** True: nothing that is written reaches the program before the line has come. What answer() takes does. */
  hold: boolean
  /** Standard error, as it comes, until the line has come. */
  watch?: { data(bytes: Uint8Array): void; close(): void }
  /** What the program itself writes to stderr of an end that we ask for: it is left out then. */
  farewell?: RegExp | undefined
  /** Makes the error for an end before the line has come. `said` is the last of what was printed; `cause`: it could not be started. */
  failure(end: ProcessEnd, said: string, cause: Error | undefined): RametError
}

/** Bytes of stderr before the line that are kept for messages and for the listener. */
const SAID_MAX = 4096
/** Milliseconds that a process has to end by itself once its pipes are closed; then TERM, which sudo and su hand on; then KILL. */
const BEFORE_TERM = 500
const BEFORE_KILL = 3000
/** Milliseconds after which close() waits no longer for a process that cannot be signalled (one of another account). */
const GIVE_UP = 8000

/**
 * A process that a local program starts for us, somewhere else or as somebody else (sudo, docker). The program's own talk is
 * kept apart from the process's: until a line has come that only the process can print, stdout is noise, stderr may be a
 * question, and what is written may be held back.
 *
 * A process of another account cannot be signalled by one that is not root, nor can sudo itself: closing its pipes is then all
 * that can be done. A stub ends with them, and a program that reads or writes them does.
 */
export class ReadyProcess implements RemoteProcess, Pipe {
  state: 'starting' | 'ready' | 'closed' = 'starting'
  readonly pipe: Pipe = this
  readonly exited: Promise<ProcessEnd>
  /** Resolves when the line has come; rejects with what failure() makes of an earlier end. */
  readonly ready: Promise<void>
  private readonly options: ReadyOptions
  private readonly inner: SpawnedProcess
  private readonly mark: string
  private readonly became = deferred<void>()
  private sink: PipeSink | undefined
  private before: Uint8Array = new Uint8Array(0)
  private said: Uint8Array = new Uint8Array(0)
  private listener: ((bytes: Uint8Array) => void) | undefined
  private unread: Uint8Array[] = []
  private unsent: Uint8Array[] = []
  private unsentBytes = 0
  private ending = false
  private paused = false
  private leaving = false
  private closed: { cause: Error | undefined } | undefined
  private stopTimer: (() => void) | undefined
  /** Process id and process group of the command. */
  private pid: number | undefined

  constructor(options: ReadyOptions) {
    this.options = options
    const nonce = randomBytes(16).toString('hex')
    this.mark = nonce
    this.ready = this.became.promise
    this.ready.catch(() => {})
    this.inner = new SpawnedProcess(options.argv(nonce.slice(0, 16), nonce.slice(16)), {
      name: options.path.join(' > '), env: options.env, group: true, clock: options.clock })
    this.exited = this.inner.exited.then((end) => this.ended(end))
    this.inner.stderr((bytes) => this.errorOutput(bytes))
    this.inner.start({
      data: (bytes) => (this.state === 'starting' ? this.scan(bytes) : this.deliver(bytes)),
      drain: () => this.sink?.drain(),
      closed: (cause) => this.innerClosed(cause),
    })
  }

  get pending(): number {
    return this.unsentBytes + this.inner.pending
  }

  get bytesIn(): number {
    return this.inner.bytesIn
  }

  get bytesOut(): number {
    return this.inner.bytesOut
  }

  start(sink: PipeSink): void {
    this.sink = sink
    const { closed, unread } = this
    this.unread = []
    for (const bytes of unread) sink.data(bytes)
    if (closed !== undefined) process.nextTick(() => sink.closed(closed.cause))
    else if (!this.paused) this.inner.resume()
  }

  write(bytes: Uint8Array): void {
    if (this.state !== 'starting' || !this.options.hold) return this.inner.write(bytes)
    this.unsent.push(bytes)
    this.unsentBytes += bytes.length
  }

  /** Writes to the program itself, before the process is ready. */
  answer(bytes: Uint8Array): void {
    if (this.state === 'starting') this.inner.write(bytes)
  }

  pause(): void {
    this.paused = true
    if (this.state !== 'starting') this.inner.pause()
  }

  resume(): void {
    this.paused = false
    // Stdout may have ended: stderr goes on.
    if (this.state !== 'starting' && this.sink !== undefined) this.inner.resume()
  }

  end(): void {
    if (this.state === 'starting' && this.options.hold) this.ending = true
    else this.inner.end()
  }

  close(): void {
    this.drop()
    this.inner.close()
  }

  stderr(listener: (bytes: Uint8Array) => void): void {
    this.listener = listener
    if (this.state !== 'starting') this.tellSaid()
  }

  /** Gives up what is starting: it ends with this error, whatever the program says of its own end. */
  fail(error: RametError): void {
    if (this.state !== 'starting') return
    this.became.reject(error)
    this.kill()
    this.finish(error)
  }

  /** The last lines that were printed, without an unfinished one. */
  lines(): string {
    return Buffer.from(this.said.subarray(0, this.said.lastIndexOf(0x0a) + 1)).toString('utf8')
  }

  /** A prompt that has been answered is no message. */
  forgetPrompt(): void {
    this.said = this.said.subarray(0, this.said.lastIndexOf(0x0a) + 1)
  }

  /** With a signal: sends it, as far as that is allowed. Without: closes the pipes, and sees to it that the process ends. */
  kill(signal?: string): void {
    if (signal !== undefined) return this.signal(signal)
    const starting = this.state === 'starting'
    this.wake()
    this.close()
    this.inner.child.stderr?.destroy()
    if (this.inner.state === 'closed' || this.stopTimer !== undefined) return
    const { clock } = this.options
    if (this.inner.state === 'exited') return this.inner.kill()
    const term = (): void => {
      this.signal('SIGTERM')
      this.stopTimer = clock.after(BEFORE_KILL, () => this.signal('SIGKILL'))
    }
    // A stub that has lost its pipes ends what it runs, and needs a moment for it.
    if (starting) term()
    else this.stopTimer = clock.after(BEFORE_TERM, term)
  }

  wake(): void {
    this.leaving = true
    this.signal('SIGCONT')
  }

  /** Ends it. Resolves when nothing of it is left here, or cannot be helped. */
  async destroy(): Promise<void> {
    this.kill()
    await withinTime(this.exited, this.options.clock, GIVE_UP)
    if (this.inner.state === 'running') this.inner.child.unref()
    // Node lets go of its handles in the turns of the event loop that follow.
    for (let turn = 0; turn < 2; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
  }

  private signal(signal: string): void {
    if (this.inner.state === 'running') this.signalCommand(signal)
    this.inner.kill(signal)
  }

  private signalCommand(signal: string): void {
    if (this.pid === undefined || !this.options.localPid) return
    try {
      process.kill(-this.pid, signal)
    } catch {
      // It has ended, or is not ours to signal: the program passes TERM and the like on, to the first process at least.
    }
  }

  private scan(bytes: Uint8Array): void {
    this.before = joinBytes([this.before, bytes])
    const text = Buffer.from(this.before).toString('latin1')
    const line = new RegExp(`${this.mark} (\\d{1,10})\\n`).exec(text)
    if (line !== null) {
      const rest = this.before.subarray(line.index + line[0].length)
      this.pid = Number(line[1])
      this.keepSaid(this.before.subarray(0, line.index))
      this.before = new Uint8Array(0)
      this.begin()
      if (rest.length > 0) this.deliver(rest)
    } else if (this.before.length > MAX_NOISE) {
      this.fail(new RametError('launch-failed', `${this.options.path.join(' > ')}: printed ${this.before.length} bytes where a shell was to start`, {
        stage: 'launch', path: this.options.path, outcome: 'not-sent', hint: 'Something prints at every start there; make it silent where there is no terminal.' }))
    }
  }

  private begin(): void {
    this.state = 'ready'
    this.options.watch?.close()
    const { unsent } = this
    const full = this.pending > PIPE_LOW_WATER
    this.drop()
    for (const bytes of unsent) this.inner.write(bytes)
    if (this.ending) this.inner.end()
    if (this.paused) this.inner.pause()
    this.tellSaid()
    this.became.resolve()
    // The program may have taken at once all that was held, and then no drain follows.
    if (full && this.inner.pending <= PIPE_LOW_WATER) this.sink?.drain()
  }

  private deliver(bytes: Uint8Array): void {
    if (this.sink !== undefined) return this.sink.data(bytes)
    this.unread.push(bytes)
    this.inner.pause()
  }

  private errorOutput(bytes: Uint8Array): void {
    if (this.state !== 'starting' && this.listener !== undefined) return this.listener(this.leaving ? this.withoutFarewell(bytes) : bytes)
    this.keepSaid(bytes)
    if (this.state === 'starting') this.options.watch?.data(bytes)
  }

  private withoutFarewell(bytes: Uint8Array): Uint8Array {
    const { farewell } = this.options
    return farewell === undefined ? bytes : Buffer.from(Buffer.from(bytes).toString('latin1').replace(farewell, ''), 'latin1')
  }

  private keepSaid(bytes: Uint8Array): void {
    this.said = joinBytes([this.said, bytes]).slice(-SAID_MAX)
  }

  private tellSaid(): void {
    const { said, listener } = this
    if (listener === undefined || said.length === 0) return
    this.said = new Uint8Array(0)
    listener(said)
  }

  private drop(): void {
    this.unsent = []
    this.unsentBytes = 0
  }

  private innerClosed(cause: Error | undefined): void {
    // While it starts, how it ended says what went wrong, and that is known a moment later.
    if (this.state === 'ready') this.finish(cause)
  }

  private ended(end: ProcessEnd): ProcessEnd {
    // The program was told to end, and with it the command; what that has started may not have heard of it.
    if (this.stopTimer !== undefined) this.signalCommand('SIGKILL')
    this.stopTimer?.()
    if (this.state === 'starting') {
      const said = Buffer.from(joinBytes([this.said, this.before])).toString('utf8')
      const error = this.options.failure(end, said, this.inner.failed)
      this.became.reject(error)
      this.finish(error)
    }
    return end
  }

  private finish(cause: Error | undefined): void {
    this.state = 'closed'
    this.options.watch?.close()
    this.closed = { cause }
    this.sink?.closed(cause)
  }
}
