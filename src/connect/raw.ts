import { randomBytes } from 'node:crypto'
import { systemClock } from '../base/clock.ts'
import type { Clock } from '../base/clock.ts'
import { isRametError, RametError } from '../router/errors.ts'
import type { CommandLane, CommandRequest, RunningCommand } from './command.ts'
import { RawCommand } from './raw-command.ts'
import { RawControl } from './raw-control.ts'
import type { Connection, RemoteProcess } from './transport.ts'

/** Channels that commands hold at once. sshd allows 10 (MaxSessions); one more is needed to end commands, and one may be closing. */
const COMMANDS = 8
/** Milliseconds for the channel of a command that has ended to close by itself; a job in its background may keep it longer. */
const LINGER = 500
/** Milliseconds that a server may take to notice that a channel is free again, and between attempts to open the next one. */
const FREEING = 500
const ATTEMPTS = 20
/** Milliseconds after which a command is taken for one that runs on, where one that ends may take along the next. */
const RUNS_ON = 1000
/** Milliseconds from TERM to KILL when the lane is closed. */
const CLOSE_GRACE = 500

/**
 * Commands on a target without an interpreter: each is one process of the connection, with the same results and errors as
 * the exec module gives. What it cannot do: end the commands of a connection that broke (nobody of ours is left there), and
 * tell `exit 130` and `exit 141` from death by INT and PIPE (shells are silent about those two).
 */
export class RawLane implements CommandLane {
  private state: 'open' | 'closed' = 'open'
  private readonly connection: Connection
  private readonly clock: Clock
  private readonly queue: RawCommand[] = []
  private readonly active = new Set<RawCommand>()
  /** Channels of commands that have ended, and of what ended some, with the time of that, oldest first. */
  private readonly lingering = new Map<RemoteProcess, number>()
  /** Fewer than COMMANDS where the server has refused that many. */
  private limit = COMMANDS
  private stopEviction: (() => void) | undefined
  private stopAttempt: (() => void) | undefined
  private stopHolding: (() => void) | undefined
  /** When the last command was opened. */
  private begun = -Infinity
  /** When the last channel ended. */
  private freed = -Infinity
  private readonly control: RawControl
  private opened = 0
  private ready = false

  constructor(connection: Connection, options: { clock?: Clock } = {}) {
    this.connection = connection
    this.clock = options.clock ?? systemClock
    this.control = new RawControl({
      open: (line) => connection.open(line),
      clock: this.clock,
      hold: () => (connection.losesChannels === true ? this.untilGone() : 0),
      left: (process) => this.linger(process),
    })
    connection.ready.then(() => {
      this.ready = true
      connection.onClose((cause) => this.lost(cause))
      this.next()
    }, (error: unknown) => this.lost(error))
  }

  start(request: CommandRequest): RunningCommand {
    const command = new RawCommand(request, {
      name: this.connection.name,
      clock: this.clock,
      mark: randomBytes(16).toString('hex'),
      ready: this.connection.ready,
      control: (text) => this.control.run(text),
      left: (ended, process) => this.left(ended, process),
      refused: (refused) => this.refused(refused),
    })
    if (this.state === 'closed') {
      command.refuse(new RametError('closed', `${this.connection.name}: the connection is closed`, {
        outcome: 'not-sent', hint: 'Connect again.',
      }))
      return command
    }
    if (command.state !== 'queued') return command
    this.queue.push(command)
    this.next()
    return command
  }

  /** Ends every command; resolves when they have ended. To be called before the connection is closed. */
  async close(): Promise<void> {
    this.state = 'closed'
    this.stopEviction?.()
    this.stopAttempt?.()
    this.stopHolding?.()
    const commands = [...this.queue.splice(0), ...this.active]
    for (const command of commands) {
      command.close(new RametError('closed', `${this.connection.name} was closed while a command ran`, {
        outcome: command.state === 'queued' ? 'not-sent' : 'unknown',
        hint: 'It was told to end; what it had done by then stays done.' }), CLOSE_GRACE)
    }
    await Promise.allSettled(commands.map((command) => command.ended))
    this.control.close()
  }

  private next(): void {
    while (this.queue.length > 0) {
      // The first command may leave together with what opens the connection; the others wait for it.
      if (!this.ready && this.opened > 0) return
      if (this.active.size + this.lingering.size >= this.limit) return this.evict()
      if (this.connection.losesChannels === true && this.holds()) return
      const command = this.queue.shift() as RawCommand
      if (command.state !== 'queued') continue
      this.opened += 1
      this.begun = this.clock.now()
      this.active.add(command)
      command.open((line) => this.connection.open(line))
    }
  }

  /** Milliseconds until each process that has said its last word is gone, or stays on. */
  private untilGone(): number {
    return Math.max(0, ...[...this.lingering.values()].map((since) => since + LINGER - this.clock.now()))
  }

  /** True while a command is likely to end, and one opened now might be taken along: until the last one has ended, or runs on. */
  private holds(): boolean {
    const left = Math.max(this.untilGone(), this.active.size === 0 ? 0 : this.begun + RUNS_ON - this.clock.now())
    if (left <= 0) return false
    this.stopHolding ??= this.clock.after(left, () => {
      this.stopHolding = undefined
      this.next()
    })
    return true
  }

  /** Takes a channel from the background job that has had it longest: at its next line of output it will get SIGPIPE. */
  private evict(): void {
    const [oldest] = this.lingering
    if (oldest === undefined || this.stopEviction !== undefined) return
    const [process, since] = oldest
    this.stopEviction = this.clock.after(Math.max(0, since + LINGER - this.clock.now()), () => {
      this.stopEviction = undefined
      if (this.lingering.has(process)) process.kill()
      else this.next()
    })
  }

  /** The server allows fewer sessions than we thought: true when the command will be started again once one has ended. */
  private refused(command: RawCommand): boolean {
    const others = this.active.size + this.lingering.size - 1
    if (this.state === 'closed' || (others === 0 && this.clock.now() - this.freed >= FREEING)) return false
    this.active.delete(command)
    this.queue.unshift(command)
    if (others > 0) {
      this.limit = Math.min(this.limit, others)
    } else {
      // Nobody is left whose end would start it again.
      this.stopAttempt?.()
      this.stopAttempt = this.clock.after(ATTEMPTS, () => this.next())
    }
    return true
  }

  private left(command: RawCommand, process: RemoteProcess | undefined): void {
    const at = this.queue.indexOf(command)
    if (at >= 0) this.queue.splice(at, 1)
    if (this.active.delete(command) && process !== undefined) this.linger(process)
    this.next()
  }

  /** The process has said its last word; its channel is free once it is gone. */
  private linger(process: RemoteProcess): void {
    this.lingering.set(process, this.clock.now())
    void process.exited.then(() => {
      this.lingering.delete(process)
      this.freed = this.clock.now()
      this.control.resume()
      this.next()
    })
  }

  private lost(cause: unknown): void {
    this.state = 'closed'
    this.stopAttempt?.()
    this.stopHolding?.()
    this.control.close()
    this.stopEviction?.()
    for (const command of this.queue.splice(0)) {
      command.refuse(isRametError(cause) ? cause : new RametError('link-lost', `${this.connection.name}: the connection ended`, {
        outcome: 'not-sent', hint: 'Connect again; the command was not sent.', cause,
      }))
    }
  }
}
