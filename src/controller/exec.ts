import type { Readable } from 'node:stream'
import type { Clock } from '../base/clock.ts'
import { EXEC_CHUNK } from '../connect/command.ts'
import type { CommandEnd, CommandLane, CommandRequest, RunningCommand } from '../connect/command.ts'
import { RametError, isRametError } from '../router/errors.ts'
import type { ErrorCode, ErrorDetails } from '../router/errors.ts'
import type { ExecError, ExecOptions, ExecResult } from './api.ts'
import { hinted, hintFor } from './hints.ts'
import { OutputStore } from './output-store.ts'

/** Where a command runs, for its errors. */
export interface CommandContext {
  name: string
  path: readonly string[]
  clock: Clock
}

/** Milliseconds from TERM to KILL for a command that timed out or was aborted. */
export const GRACE = 2_000
/** Milliseconds after that in which the target may still say that the command is gone. */
const LAST_WORD = 3_000
/** Bytes of both streams that are kept by default. */
const MAX_OUTPUT = 16 * 1024 * 1024
/** Bytes of stdin that are taken before other events get their turn. */
export const TURN = 1024 * 1024
/** Characters of a command or of its last line that an error's message quotes. */
const QUOTED = 120

/** Runs a command to its end. Rejects with 'timeout', 'cancelled', 'exec-failed', 'spawn-failed' or the lane's own error; each but a refusal carries `result`. */
export function runCommand(lane: CommandLane, command: string | string[], options: ExecOptions, context: CommandContext): Promise<ExecResult<string | Buffer>> {
  const aborted = options.signal
  if (aborted?.aborted === true) {
    return Promise.reject(commandError('cancelled', `${quoted(command)} was cancelled before it was started`, context, { outcome: 'not-sent', cause: aborted.reason, hint: 'Nothing was run.' }))
  }
  return new Execution(lane, command, options, context).result
}

class Execution {
  readonly result: Promise<ExecResult<string | Buffer>>
  private state: 'running' | 'ending' | 'done' = 'running'
  private readonly command: string | string[]
  private readonly options: ExecOptions
  private readonly context: CommandContext
  private readonly store: OutputStore
  private readonly running: RunningCommand
  private readonly startedAt: number
  private readonly cleanups: (() => void)[] = []
  private failure: RametError | undefined
  private resolve!: (result: ExecResult<string | Buffer>) => void
  private reject!: (error: unknown) => void

  constructor(lane: CommandLane, command: string | string[], options: ExecOptions, context: CommandContext) {
    this.command = command
    this.options = options
    this.context = context
    this.store = new OutputStore(options.maxOutput ?? MAX_OUTPUT)
    this.startedAt = context.clock.now()
    this.result = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    this.running = lane.start({ ...requestOf(command, options), stdin: options.stdin !== undefined })
    this.running.onOutput = (stream, bytes) => {
      // What does not fit is dropped here, not left at the target: the command shall come to its end.
      if (this.state !== 'done') this.store.add(stream, bytes)
      this.running.consumed(bytes.length)
    }
    this.running.pid.catch(() => {})
    this.running.ended.then((end) => this.ended(end), (error: unknown) => this.lost(error))
    this.watch()
    this.feed()
  }

  private watch(): void {
    const { timeout, signal } = this.options
    if (timeout !== undefined) {
      this.cleanups.push(this.context.clock.after(timeout, () => this.giveUp('timeout', `${quoted(this.command)} took longer than ${timeout} ms`, {
        hint: 'Give it more time with `timeout`, or start it in the background.',
      })))
    }
    if (signal !== undefined) {
      const abort = () => this.giveUp('cancelled', `${quoted(this.command)} was cancelled`, { cause: signal.reason })
      signal.addEventListener('abort', abort, { once: true })
      this.cleanups.push(() => signal.removeEventListener('abort', abort))
    }
  }

  private feed(): void {
    const { stdin } = this.options
    if (stdin === undefined) return this.running.endStdin()
    if (typeof stdin === 'string' || stdin instanceof Uint8Array) {
      feedBytes(this.running, typeof stdin === 'string' ? Buffer.from(stdin) : stdin)
      return
    }
    this.cleanups.push(feedStream(this.running, stdin, (error) => {
      this.giveUp('cancelled', `what ${quoted(this.command)} should read could not be read`, { cause: error, hint: 'The stream given as stdin failed.' })
    }))
  }

  private giveUp(code: ErrorCode, message: string, details: ErrorDetails): void {
    if (this.state !== 'running') return
    this.state = 'ending'
    this.failure = commandError(code, message, this.context, details)
    this.running.terminate(GRACE)
    this.cleanups.push(this.context.clock.after(GRACE + LAST_WORD, () => {
      this.finish(commandError(code, `${message}, and nobody could say whether it has ended`, this.context, { ...details, outcome: 'unknown' }))
    }))
  }

  private ended(end: CommandEnd): void {
    if (this.failure !== undefined) return this.finish(this.failure, end)
    if (this.options.check !== true || end.exitCode === 0) return this.finish(undefined, end)
    const how = end.signal === null ? `with exit code ${end.exitCode}` : `by ${end.signal}`
    const line = this.store.lastErrorLine()
    this.finish(commandError('exec-failed', `${quoted(this.command)} ended ${how}${line === '' ? '' : `: ${shortened(line)}`}`, this.context, {
      hint: "The error's `result` holds everything that it printed.",
    }), end)
  }

  private lost(error: unknown): void {
    // A lane that was told to stop may answer with its own 'cancelled': the reason is ours.
    if (this.failure !== undefined && (!isRametError(error) || error.code === 'cancelled')) {
      const { code, message, path, cause, hint } = this.failure
      const { outcome } = isRametError(error) ? error : this.failure
      if (outcome === 'unknown') return this.finish(new RametError(code, `${message}, and nobody could say whether it has ended`, { path, outcome, cause, hint }))
      return this.finish(outcome === 'not-sent' ? new RametError(code, message, { path, outcome: 'not-sent', cause, hint: 'Nothing was run: there was no connection yet.' }) : this.failure)
    }
    this.finish(namedError(error, this.command, this.context))
  }

  private finish(error: RametError | undefined, end?: CommandEnd): void {
    if (this.state === 'done') return
    this.state = 'done'
    for (const cleanup of this.cleanups) cleanup()
    const unknown = { exitCode: null, signal: null, duration: this.context.clock.now() - this.startedAt }
    const result = this.store.result(end ?? unknown, this.options.encoding ?? 'utf8')
    if (error === undefined) return this.resolve(result)
    if (error.code !== 'spawn-failed') (error as ExecError).result = result
    this.reject(error)
  }
}

export function requestOf(command: string | string[], options: { cwd?: string; env?: Record<string, string | undefined> }): CommandRequest {
  const request: CommandRequest = { command }
  if (options.cwd !== undefined) request.cwd = options.cwd
  if (options.env !== undefined) request.env = options.env
  return request
}

/** Writes everything, as fast as the command takes it, then end of file. */
function feedBytes(running: RunningCommand, bytes: Uint8Array): void {
  let at = 0
  const go = () => {
    let more = true
    while (more && at < bytes.length) {
      const from = at
      at += EXEC_CHUNK
      more = running.write(bytes.subarray(from, at))
    }
    if (at < bytes.length) return
    running.onWritable = undefined
    running.endStdin()
  }
  running.onWritable = go
  go()
}

/** Passes a stream on, one piece at a time; the function returned lets go of it. */
function feedStream(running: RunningCommand, stream: Readable, failed: (error: unknown) => void): () => void {
  let over = false
  let inTurn = 0
  let yielding: NodeJS.Immediate | undefined
  const stop = () => {
    over = true
    running.onWritable = undefined
    clearImmediate(yielding)
    stream.off('data', data)
    stream.off('end', end)
    stream.off('close', close)
    stream.pause()
  }
  const data = (chunk: Uint8Array | string) => {
    if (over) return
    if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) return fail(new TypeError('it gave what is neither text nor bytes'))
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
    let more = true
    for (let at = 0; at < bytes.length; at += EXEC_CHUNK) more = running.write(bytes.subarray(at, at + EXEC_CHUNK))
    if (!more) {
      stream.pause()
    } else if ((inTurn += bytes.length) >= TURN) {
      // A stream that never has to wait would keep us from hearing that the command has ended.
      stream.pause()
      yielding ??= setImmediate(() => {
        yielding = undefined
        inTurn = 0
        stream.resume()
      })
    }
  }
  const end = () => {
    stop()
    running.endStdin()
  }
  const close = () => fail(stream.errored ?? new Error('the stream was destroyed before its end'))
  // Stays for good: an error that comes after us shall not end the program.
  const fail = (error: unknown) => {
    if (over) return
    stop()
    failed(error)
  }
  running.onWritable = () => { if (!over && yielding === undefined) stream.resume() }
  stream.on('end', end)
  stream.on('error', fail)
  stream.on('close', close)
  stream.on('data', data)
  if (stream.readableEnded) end()
  else if (stream.destroyed) queueMicrotask(close)
  return stop
}

export function commandError(code: ErrorCode, message: string, context: CommandContext, details: ErrorDetails = {}): RametError {
  return new RametError(code, `${context.name}: ${message}`, { path: context.path, hint: hintFor(code), ...details })
}

/** The lane's error with the target's name and the command in front, whatever it was. */
export function namedError(error: unknown, command: string | string[], context: CommandContext): RametError {
  if (!isRametError(error)) {
    const message = error instanceof Error ? error.message : String(error)
    return commandError('link-lost', `${quoted(command)} was lost: ${message}`, context, { outcome: 'unknown', cause: error })
  }
  if (error.path.length === 0) error.path = [...context.path]
  if (error.code !== 'spawn-failed') return hinted(error)
  const why = [context.name, context.path.join(' > ')].reduce((text, at) => text.startsWith(`${at}: `) ? text.slice(at.length + 2) : text, error.message)
  return commandError('spawn-failed', `${quoted(command)} could not be started: ${shortened(why)}`, context, {
    cause: error, hint: error.hint === '' ? 'Nothing was run. Check the program, `cwd` and `env`.' : error.hint,
  })
}

export function quoted(command: string | string[]): string {
  return `'${shortened(typeof command === 'string' ? command : command.join(' '))}'`
}

/** One line without control characters: what a target printed must not reach a terminal as it is. */
function shortened(text: string): string {
  const line = text.length > QUOTED ? `${text.slice(0, QUOTED)}...` : text
  return line.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (c) => (c === '\n' ? ' ' : `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`))
}
