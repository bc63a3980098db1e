import { deferred } from '../base/deferred.ts'
import type { CommandEnd, CommandLane, CommandRequest, RunningCommand } from '../connect/command.ts'
import { RametError } from '../router/errors.ts'

/** Bytes of stdin that are kept for a command before its writer is asked to wait. */
const KEPT = 64 * 1024

/** Commands on a context of which nobody knows yet whether it has an interpreter: they start when it is known. */
export class LateLane implements CommandLane {
  private readonly lane: Promise<CommandLane>
  private readonly path: readonly string[]

  constructor(lane: Promise<CommandLane>, path: readonly string[]) {
    this.lane = lane
    this.path = path
  }

  start(request: CommandRequest): RunningCommand {
    return new LateCommand(this.lane, request, this.path)
  }
}

class LateCommand implements RunningCommand {
  state: 'waiting' | 'started' | 'ended' = 'waiting'
  onOutput: RunningCommand['onOutput']
  onWritable: RunningCommand['onWritable']
  readonly pid: Promise<number>
  readonly ended: Promise<CommandEnd>
  private readonly path: readonly string[]
  private readonly gotPid = deferred<number>()
  private readonly finished = deferred<CommandEnd>()
  private command: RunningCommand | undefined
  /** What was asked of it before it had begun, in order. */
  private readonly before: ((command: RunningCommand) => void)[] = []
  private kept = 0

  constructor(lane: Promise<CommandLane>, request: CommandRequest, path: readonly string[]) {
    this.path = path
    this.pid = this.gotPid.promise
    this.ended = this.finished.promise
    // Most callers never ask for the pid; its failure is the command's, told through `ended`.
    this.pid.catch(() => {})
    lane.then((known) => this.begin(known, request), (error: unknown) => this.fail(error))
  }

  consumed(bytes: number): void {
    this.command?.consumed(bytes)
  }

  write(bytes: Uint8Array): boolean {
    if (this.command !== undefined) return this.command.write(bytes)
    this.kept += bytes.length
    this.before.push((command) => void command.write(bytes))
    return this.kept < KEPT
  }

  endStdin(): void {
    this.order((command) => command.endStdin())
  }

  signal(name: string): void {
    this.order((command) => command.signal(name))
  }

  closeOutput(stream: 'stdout' | 'stderr'): void {
    this.order((command) => command.closeOutput(stream))
  }

  terminate(grace: number): void {
    if (this.command !== undefined) return this.command.terminate(grace)
    this.fail(new RametError('cancelled', `${this.path.join(' > ')}: the command was given up before it had begun`, {
      path: this.path, outcome: 'not-sent', hint: 'Nothing was run.' }))
  }

  private order(ask: (command: RunningCommand) => void): void {
    if (this.command !== undefined) ask(this.command)
    else this.before.push(ask)
  }

  private begin(lane: CommandLane, request: CommandRequest): void {
    if (this.state !== 'waiting') return
    this.state = 'started'
    const command = lane.start(request)
    this.command = command
    command.onOutput = (stream, bytes) => this.onOutput?.(stream, bytes)
    command.onWritable = () => this.onWritable?.()
    command.pid.then(this.gotPid.resolve, this.gotPid.reject)
    command.ended.then((end) => {
      this.state = 'ended'
      this.finished.resolve(end)
    }, (error: unknown) => this.fail(error))
    for (const ask of this.before.splice(0)) ask(command)
    if (this.kept >= KEPT) this.onWritable?.()
  }

  private fail(error: unknown): void {
    if (this.state === 'ended') return
    this.state = 'ended'
    this.before.length = 0
    this.gotPid.reject(error)
    this.finished.reject(error)
  }
}
