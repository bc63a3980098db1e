import type { Clock } from '../base/clock.ts'
import { withinTime } from '../base/within-time.ts'
import { HOP_DOWN, HOP_UP, type HopRequest, PROCESS_DOWN, PROCESS_UP } from '../connect/hop.ts'
import { RawControl } from '../connect/raw-control.ts'
import { terminateText } from '../connect/raw-script.ts'
import type { Connection, RemoteProcess } from '../connect/transport.ts'
import type { ServiceChannel } from '../modules/service.ts'
import { decode, encode } from '../router/codec.ts'
import type { RametError, Stage } from '../router/errors.ts'
import { KEEPALIVE } from '../router/protocol.ts'
import type { Connect } from './child.ts'
import { asRamet, failureOf, Questions } from './questions.ts'

/** Milliseconds from TERM to KILL for a command that the controller has left behind, and until one that cannot be ended is given up. */
const GRACE = 500
const GIVE_UP = 5000

/** A target below this hop without an interpreter: a connection that the controller holds, and processes on it. */
export class RawChild {
  state: 'connecting' | 'open' | 'closed' = 'connecting'
  private readonly channel: ServiceChannel
  private readonly questions: Questions
  private readonly gone: () => void
  private readonly clock: Clock
  private connection: Connection | undefined
  private control: RawControl | undefined
  /** What ends the processes that run. */
  private readonly orphans = new Set<() => void>()
  private readonly ending = new Set<Promise<void>>()
  private ended: Promise<void> | undefined
  private told: Stage = 'resolve'

  /** `gone` is called when nothing of it is left. */
  constructor(channel: ServiceChannel, request: HopRequest, connect: Connect, clock: Clock, gone: () => void) {
    this.channel = channel
    this.clock = clock
    this.gone = gone
    this.questions = new Questions(request.path, (...message) => this.up(...message))
    channel.onMessage = (bytes) => {
      channel.consumed(bytes.length)
      const [kind, number, value] = decode(bytes) as [number, number?, unknown?]
      if (!this.questions.answered(kind, number, value) && kind === HOP_DOWN.CLOSE) void this.close()
    }
    channel.onReset = () => void this.close()
    try {
      const connection = connect((question) => this.questions.ask(question), request, () => this.tellStage())
      this.connection = connection
      this.tellStage()
      connection.ready.then(() => this.opened(connection, request), (error: Error) => this.failed(asRamet(error)))
    } catch (error) {
      this.failed(asRamet(error as Error))
    }
  }

  /** Runs one process; its channel ends when it has ended. */
  start(channel: ServiceChannel, command: string): void {
    if (this.connection === undefined || this.state === 'closed') throw new Error('the connection is closed')
    const process = this.connection.open(command)
    const orphan = relay(channel, process, (who) => this.end(who))
    this.orphans.add(orphan)
    void process.exited.then(() => this.orphans.delete(orphan))
  }

  /** Resolves when what was entrusted to us has ended, and the connection has been told to close. */
  close(): Promise<void> {
    this.ended ??= this.leave()
    return this.ended
  }

  private async leave(): Promise<void> {
    this.state = 'closed'
    for (const orphan of this.orphans) orphan()
    this.questions.close()
    if (this.ending.size > 0) await withinTime(Promise.all(this.ending), this.clock, GIVE_UP)
    this.control?.close()
    void (this.connection?.close() ?? Promise.resolve()).then(() => {
      this.channel.end(undefined)
      this.gone()
    })
  }

  /** A command, or its group, that its controller has left behind. */
  private end(who: number): void {
    const { connection } = this
    if (connection === undefined) return
    this.control ??= new RawControl({ open: (line) => connection.open(line), clock: this.clock })
    const ended: Promise<void> = this.control.run(terminateText(Math.abs(who), who < 0, GRACE)).then(() => void this.ending.delete(ended))
    this.ending.add(ended)
  }

  private opened(connection: Connection, { keepalive = KEEPALIVE }: HopRequest): void {
    if (this.state !== 'connecting') return
    this.state = 'open'
    this.up(HOP_UP.HELLO, new Uint8Array(0), connection.losesChannels === true)
    connection.watch?.(keepalive)
    connection.onClose((cause) => this.failed(asRamet(cause ?? new Error('the connection ended'))))
  }

  /** As a Child's. */
  private tellStage(): void {
    const stage = this.connection?.stage
    if (this.state !== 'connecting' || stage === undefined || stage === this.told) return
    this.told = stage
    this.up(HOP_UP.STAGE, stage)
  }

  private failed(cause: RametError): void {
    if (this.state === 'closed') return
    this.up(HOP_UP.FAILED, failureOf(cause, cause.stage ?? (this.state === 'open' ? undefined : this.connection?.stage)))
    void this.close()
  }

  private up(...message: unknown[]): void {
    if (this.state !== 'closed') this.channel.send(encode(message))
  }
}

/**
 * Carries a process's pipe and stderr over a channel: at most one window is held in either direction. `end` gets what was entrusted to
 * us when nobody is left above: when the channel is reset, or by the function returned.
 */
function relay(channel: ServiceChannel, process: RemoteProcess, end: (who: number) => void): () => void {
  const { pipe } = process
  let owed = 0
  let entrusted = 0
  const orphaned = (): void => {
    if (entrusted !== 0) end(entrusted)
    entrusted = 0
  }
  const settle = (): void => {
    if (owed > 0) channel.consumed(owed)
    owed = 0
  }
  const send = (tag: number, bytes: Uint8Array): void => {
    const message = new Uint8Array(1 + bytes.length)
    message[0] = tag
    message.set(bytes, 1)
    if (!channel.send(message)) pipe.pause()
  }
  channel.onMessage = (bytes) => {
    owed += bytes.length
    if (bytes[0] === PROCESS_DOWN.STDIN) pipe.write(bytes.subarray(1))
    else if (bytes[0] === PROCESS_DOWN.EOF) pipe.end()
    else if (bytes[0] === PROCESS_DOWN.KILL) process.kill(bytes.length > 1 ? Buffer.from(bytes.subarray(1)).toString() : undefined)
    else if (bytes[0] === PROCESS_DOWN.ENTRUST) entrusted = processOf(Buffer.from(bytes.subarray(1)).toString())
    if (pipe.pending <= 64 * 1024) settle()
  }
  channel.onWritable = () => pipe.resume()
  channel.onReset = () => {
    orphaned()
    process.kill()
    pipe.close()
  }
  let cause: Error | undefined
  process.stderr((bytes) => send(PROCESS_UP.STDERR, bytes))
  pipe.start({ data: (bytes) => send(PROCESS_UP.STDOUT, bytes), drain: settle, closed: (why) => (cause = why) })
  void process.exited.then(({ exitCode, signal }) => {
    entrusted = 0
    const why = cause === undefined ? undefined : asRamet(cause)
    channel.end([exitCode, signal, ...(why === undefined ? [] : [failureOf(why, why.stage)])])
  })
  return orphaned
}

/** 0 for what is no process, or is everybody's. */
function processOf(text: string): number {
  return /^-?\d{1,10}$/.test(text) && Math.abs(Number(text)) > 1 ? Number(text) : 0
}
