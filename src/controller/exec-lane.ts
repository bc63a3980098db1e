import { NO_BYTES } from '../base/bytes.ts'
import { deferred } from '../base/deferred.ts'

import { type CommandEnd, type CommandLane, type CommandRequest, EXEC_TAG, type RunningCommand } from '../connect/command.ts'
import type { Channel, ChannelHandler } from '../router/channel.ts'
import { decode, encode } from '../router/codec.ts'
import { isRametError, RametError } from '../router/errors.ts'

import { ANSWER, OPEN_KIND } from '../router/protocol.ts'

/** What a command needs of its context: a way to open a channel to the stub's exec module. */
export interface ExecHome {
  readonly path: readonly string[]
  /** Opens a channel with this message to the context's main thread. Throws RametError. `alone`: it may wait for the end of the tick. */
  open(message: Uint8Array, handler: ChannelHandler, alone: boolean): Channel
  /** Sends what waits for the end of the tick. */
  flush?(): void
  /** Number of the exec module, offered to the context. */
  execModule(): number
  remoteError(wire: unknown): Error
}

/** Commands over channels to the stub. */
export class ExecLane implements CommandLane {
  private readonly home: ExecHome

  constructor(home: ExecHome) {
    this.home = home
  }

  start(request: CommandRequest): RunningCommand {
    return new ChannelCommand(this.home, request)
  }
}

class ChannelCommand implements RunningCommand, ChannelHandler {
  state: 'running' | 'ended' = 'running'
  onOutput: ((stream: 'stdout' | 'stderr', bytes: Uint8Array) => void) | undefined
  onWritable: (() => void) | undefined
  readonly pid: Promise<number>
  readonly ended: Promise<CommandEnd>
  private readonly home: ExecHome
  private readonly started = deferred<number>()
  private readonly finished = deferred<CommandEnd>()
  private readonly input: boolean
  private readonly live: boolean
  private channel: Channel | undefined

  constructor(home: ExecHome, request: CommandRequest) {
    this.home = home
    this.pid = this.started.promise
    this.ended = this.finished.promise
    this.input = request.stdin !== false
    this.live = request.live === true
    // Most callers never ask for the pid; its failure is the command's, told through `ended`.
    this.pid.catch(() => {})
    try {
      this.channel = home.open(encode([OPEN_KIND.SERVICE, home.execModule(), 'run', [request]]), this, !this.input)
    } catch (error) {
      // The caller sets its handlers after start() has returned.
      queueMicrotask(() => this.fail(error as Error))
    }
  }

  consumed(bytes: number): void {
    this.channel?.consumed(bytes)
  }

  write(bytes: Uint8Array): boolean {
    return this.send(EXEC_TAG.stdin, bytes)
  }

  endStdin(): void {
    // Not the channel's END: signals have to get through after it.
    if (this.input) this.send(EXEC_TAG.stdin, NO_BYTES)
  }

  signal(name: string): void {
    this.send(EXEC_TAG.signal, new TextEncoder().encode(name))
  }

  closeOutput(stream: 'stdout' | 'stderr'): void {
    this.send(EXEC_TAG.close, Uint8Array.of(EXEC_TAG[stream]))
  }

  terminate(grace: number): void {
    const bytes = new Uint8Array(4)
    new DataView(bytes.buffer).setUint32(0, grace, true)
    this.send(EXEC_TAG.terminate, bytes)
  }

  message(bytes: Uint8Array, credit: number): void {
    const tag = bytes[0]
    if (tag === EXEC_TAG.started && bytes.length === 5) {
      this.channel?.consumed(credit)
      this.started.resolve(new DataView(bytes.buffer, bytes.byteOffset).getUint32(1, true))
    } else if (tag === EXEC_TAG.stdout || tag === EXEC_TAG.stderr) {
      // The tag; what follows it is the reader's to use up.
      this.channel?.consumed(1)
      this.onOutput?.(tag === EXEC_TAG.stdout ? 'stdout' : 'stderr', bytes.subarray(1))
    } else {
      this.channel?.reset('protocol-error')
      this.fail(this.nonsense())
    }
  }

  end(bytes: Uint8Array): void {
    const content = decode(bytes)
    const [kind, value] = (Array.isArray(content) ? content : []) as unknown[]
    if (kind !== ANSWER.VALUE) {
      const error = this.home.remoteError(value)
      const { code, message } = (error.cause ?? {}) as { code?: unknown; message?: string }
      this.fail(code === 'spawn-failed' ? new RametError('spawn-failed', message ?? '', { path: this.home.path }) : error)
      return
    }
    const finished = readEnd(value)
    if (finished === undefined) return this.fail(this.nonsense())
    this.state = 'ended'
    // An error takes longer to make than anything else here, and only who watches is told the pid.
    if (this.live) this.started.reject(new RametError('spawn-failed', 'the command ended before its pid was known', { path: this.home.path }))
    this.finished.resolve(finished)
  }

  reset(error: RametError): void {
    this.fail(error)
  }

  writable(): void {
    this.onWritable?.()
  }

  private send(tag: number, bytes: Uint8Array): boolean {
    if (this.channel === undefined || this.state === 'ended') return true
    this.home.flush?.()
    const message = new Uint8Array(1 + bytes.length)
    message[0] = tag
    message.set(bytes, 1)
    return this.channel.send(message)
  }

  private nonsense(): RametError {
    const { path } = this.home
    return new RametError('protocol-error', `${path.join(' > ')} answered a command in an unknown form`, {
      path, outcome: 'unknown', hint: 'A stub of ours does not do that: find out who runs there.' })
  }

  private fail(error: Error): void {
    if (this.state === 'ended') return
    this.state = 'ended'
    const cause = isRametError(error) ? error : new RametError('spawn-failed', error.message, { path: this.home.path, cause: error })
    this.started.reject(cause)
    this.finished.reject(cause)
  }
}

/** How a command ended, as a target says it; undefined where that cannot be. */
function readEnd(value: unknown): CommandEnd | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { exitCode, signal, duration } = value as Record<string, unknown>
  if (exitCode !== null && typeof exitCode !== 'number') return undefined
  if (signal !== null && (typeof signal !== 'string' || !/^SIG[A-Z0-9+-]{1,16}$/.test(signal))) return undefined
  if (typeof duration !== 'number' || !(duration >= 0)) return undefined
  return { exitCode, signal, duration }
}
