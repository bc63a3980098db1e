import { randomBytes } from 'node:crypto'
import { joinBytes } from '../base/bytes.ts'
import { type ErrorCode, isRametError, type Outcome, RametError, type Stage } from '../router/errors.ts'
import type { Pipe, PipeSink } from '../router/pipe.ts'
import { EXIT, MAX_NOISE, MIN_NODE } from '../router/protocol.ts'
import { launchLine } from './first-stage.ts'
import { lastWords } from './last-words.ts'
import type { Connection, ProcessEnd, RemoteProcess } from './transport.ts'

export interface BootOptions {
  version: string
  /** Who controls, for the launch line. Default: the account and host of this process. */
  owner?: string | undefined
  /** The compressed stub. */
  stub: Uint8Array
  node?: string | readonly string[] | undefined
  /** Path of the new context, for errors. */
  path: readonly string[]
  /** What the target prints besides frames: login scripts before the stub runs, later whatever user code prints. */
  stray(bytes: Uint8Array): void
  /** Hears that the stub has begun to run. */
  ran?: (() => void) | undefined
  /** Says why a stub that ran has ended, for whoever hears of nothing but the end of its pipe. Default: nobody does. */
  over?: ((exited: Promise<ProcessEnd>) => Promise<RametError | undefined>) | undefined
}

/** What printed lines are kept for an error's text. */
const TAIL = 4096

/**
 * Starts a stub over a connection and gives the pipe that its link stands on. Nothing is waited for: the stub's bytes are
 * written at once, and so is whatever the link sends behind them. Until the nonce has come the pipe delivers nothing; what
 * comes before it is noise of login scripts, kept for diagnosis.
 */
export class BootPipe implements Pipe {
  state: 'booting' | 'open' | 'closed' = 'booting'
  /** Noise before the nonce, in bytes. */
  noise = 0
  private readonly options: BootOptions
  private readonly process: RemoteProcess
  private readonly nonce: Uint8Array
  private before: Uint8Array = new Uint8Array(0)
  private tail: Uint8Array = new Uint8Array(0)
  private sink: PipeSink | undefined

  constructor(connection: Connection, options: BootOptions) {
    this.options = options
    this.nonce = randomBytes(16)
    const hex = Buffer.from(this.nonce).toString('hex')
    this.process = connection.open(this.launchLine(hex))
    this.process.stderr((bytes) => {
      this.tail = joinBytes([this.tail, bytes]).slice(-TAIL)
      options.stray(bytes)
    })
    this.process.pipe.write(options.stub)
  }

  private launchLine(nonce: string): string {
    const { version, owner, stub, node } = this.options
    try {
      return launchLine({ version, owner, stubSize: stub.length, nonce, node })
    } catch (cause) {
      throw this.error('config-invalid', 'launch', `cannot be started with that node: ${(cause as Error).message}`, {
        hint: 'Name a path without quotes, backslashes, exclamation marks and control characters.', cause })
    }
  }

  get pending(): number {
    return this.process.pipe.pending
  }

  start(sink: PipeSink): void {
    this.sink = sink
    this.process.pipe.start({
      data: (bytes) => (this.state === 'open' ? sink.data(bytes) : this.scan(bytes)),
      drain: () => sink.drain(),
      closed: (cause) => this.closed(cause),
    })
  }

  write(bytes: Uint8Array): void {
    this.process.pipe.write(bytes)
  }

  pause(): void {
    this.process.pipe.pause()
  }

  resume(): void {
    this.process.pipe.resume()
  }

  end(): void {
    this.process.pipe.end()
  }

  /** To be called with a goodbye: who holds its pipes is to hear of the stub's end. */
  wake(): void {
    this.process.wake?.()
  }

  close(): void {
    if (this.state === 'closed') return
    // There is no stub yet that would want a moment for its goodbye, and we may not live until the transport is less patient.
    if (this.state === 'booting') this.process.kill('SIGTERM')
    this.state = 'closed'
    this.process.pipe.close()
    this.process.kill()
    this.sink?.closed()
  }

  private scan(bytes: Uint8Array): void {
    if (this.state === 'closed') return
    this.before = joinBytes([this.before, bytes])
    const at = Buffer.from(this.before.buffer, this.before.byteOffset, this.before.length).indexOf(this.nonce)
    // The same whichever way the bytes were cut into pieces.
    if ((at >= 0 ? at : this.before.length - this.nonce.length + 1) >= MAX_NOISE) {
      const size = at >= 0 ? at : this.before.length
      this.fail('boot-noise', 'launch', `printed ${size} bytes where the stub was to start`, {
        hint: 'A login script prints to every session; make it silent where there is no terminal.',
      })
    } else if (at >= 0) {
      const rest = this.before.subarray(at + this.nonce.length)
      const noise = this.before.subarray(0, at)
      this.noise = at
      this.before = new Uint8Array(0)
      this.state = 'open'
      this.options.ran?.()
      if (noise.length > 0) this.options.stray(noise)
      if (rest.length > 0) this.sink?.data(rest)
    }
  }

  /** The process is gone; how it ended says what went wrong, and that may be known a moment later. */
  private closed(cause: Error | undefined): void {
    if (this.state === 'closed') return
    if (this.state === 'open' && cause === undefined && this.options.over !== undefined) {
      void this.options.over(this.process.exited).then((why) => this.finish(why))
      return
    }
    if (this.state === 'open' || isRametError(cause)) {
      this.finish(cause)
      return
    }
    this.state = 'closed'
    void this.process.exited.then((end) => this.sink?.closed(this.explain(end, cause)))
  }

  private explain(end: ProcessEnd, cause: Error | undefined): RametError {
    switch (end.exitCode) {
      case EXIT.NO_NODE:
        return this.error('no-interpreter', 'interpreter', `has no ${this.given() ?? 'Node in its PATH or in the usual places'}`, {
          hint: `Install Node ${MIN_NODE} or later there, name it with the option node (--node), or use commands only (--runtime raw).`,
          cause,
        })
      case EXIT.OLD_NODE:
        return this.error('interpreter-too-old', 'interpreter', `has a Node that is too old (${this.lastLine()})`, {
          hint: `The stub needs Node ${MIN_NODE} or later; name another with the option node (--node), or use --runtime raw.`,
          cause,
        })
      case EXIT.EOF:
        return this.error('boot-eof', 'stub', 'ended its input before the stub had arrived', { hint: 'The connection broke; try again.', cause })
      case 126:
      case 127:
        return this.error('launch-failed', 'launch', `could not run the launch line (exit code ${end.exitCode}: ${this.lastLine()})`, {
          hint: 'Log in by hand and try: sh -c "command -v node". Where no shell is to be had, jump through the machine instead.',
          cause,
        })
      default:
        return this.unexplained(end, cause)
    }
  }

  private unexplained(end: ProcessEnd, cause: Error | undefined): RametError {
    const how = end.signal !== null ? `by ${end.signal}` : end.exitCode !== null ? `with exit code ${end.exitCode}` : 'without a word'
    const said = lastWords(this.telling())
    return this.error('boot-eof', 'launch', `ended the session ${how} before the stub ran${said === '' ? '' : `; it said: ${said}`}`, {
      hint: 'The account may have no shell, or its login scripts exit; try ssh with the same account and a command.',
      // Of a process whose end is known all output is here, and no nonce was in it. Of a lost connection nothing is known.
      outcome: end.exitCode === null && end.signal === null ? 'unknown' : 'not-sent',
      cause,
    })
  }

  /** The Node that was asked for by name. */
  private given(): string | undefined {
    return [this.options.node ?? []].flat()[0]
  }

  private printed(): string {
    return Buffer.from(joinBytes([this.before, this.tail])).toString('utf8').trimEnd()
  }

  /** Without what an error of Node's or V8's ends with, which says nothing: the places of a stack, its version, brackets and marks. */
  private telling(): string {
    return this.printed().split('\n').filter((line) => !/^\s*(at .*|Node\.js v.*|[\p{P}\p{S}\s]*)$/u.test(line)).join('\n')
  }

  private lastLine(): string {
    const text = this.printed()
    return text.slice(text.lastIndexOf('\n') + 1).slice(0, 300)
  }

  private fail(code: ErrorCode, stage: Stage, text: string, details: { hint: string }): void {
    const error = this.error(code, stage, text, details)
    this.process.pipe.close()
    this.process.kill()
    this.finish(error)
  }

  private error(code: ErrorCode, stage: Stage, text: string, details: { hint: string; outcome?: Outcome; cause?: unknown }): RametError {
    return new RametError(code, `${this.options.path.join(' > ')} ${text}`, { stage, path: this.options.path, outcome: 'not-sent', ...details })
  }

  private finish(cause: Error | undefined): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.sink?.closed(cause)
  }
}
