import { deferred } from '../base/deferred.ts'
import type { Clock } from '../base/clock.ts'
import { PIPE_LOW_WATER } from '../router/pipe.ts'
import { RametError, isRametError } from '../router/errors.ts'
import type { ErrorCode, ErrorDetails } from '../router/errors.ts'
import { refusal } from './command.ts'
import type { CommandEnd, CommandRequest, RunningCommand } from './command.ts'
import { OutputBrake } from './raw-brake.ts'
import { LoginNoise, MarkScanner, NOISE_MAX } from './raw-frames.ts'
import { RAW_LINE, badName, parseEnd, parseFailure, rawPreamble, signalText, terminateText } from './raw-script.ts'
import type { ProcessEnd, RemoteProcess } from './transport.ts'

/** Milliseconds, after the grace, in which a killed command may still be reported. */
const LAST_WORD = 2_000

export interface RawSurroundings {
  /** The target, for messages. */
  name: string
  clock: Clock
  /** 32 hex digits that nobody can guess. */
  mark: string
  ready: Promise<void>
  /** Runs a line of sh beside the command; resolves when it is done. */
  control(text: string): Promise<void>
  /** The command has ended, or was never started; a background job may still hold the process's channel. */
  left(command: RawCommand, process: RemoteProcess | undefined): void
  /** The server opened no channel for the command. True: it has been queued again. */
  refused(command: RawCommand): boolean
}

/** One command of the raw lane, from the queue to its end. */
export class RawCommand implements RunningCommand {
  state: 'queued' | 'opening' | 'running' | 'ended' = 'queued'
  onOutput: RunningCommand['onOutput']
  onWritable: RunningCommand['onWritable']
  readonly pid: Promise<number>
  readonly ended: Promise<CommandEnd>
  private readonly request: CommandRequest
  private readonly around: RawSurroundings
  private readonly pidKnown = deferred<number>()
  private readonly end = deferred<CommandEnd>()
  private process: RemoteProcess | undefined
  private leader: number | undefined
  private group = true
  private startedAt = 0
  private readonly marked = { stdout: false, stderr: false }
  private readonly over = { stdout: false, stderr: false }
  private readonly noise = new LoginNoise()
  private report: { exitCode: number | null; signal: string | null } | undefined
  private failed: string | undefined
  private readonly unwanted = new Set<string>()
  private refusal: RametError | undefined
  private readonly brake = new OutputBrake()
  private held: Uint8Array[] = []
  private stdinEnded = false
  /** Input that was sent before the command was known to be there. */
  private unheard: Uint8Array[] | undefined = []
  private closedBy: RametError | undefined
  private wantsWritable = false
  /** Signals sent before the leader was known, and those sent at all. */
  private early: (() => void)[] = []
  private readonly sent = new Set<string>()
  private terminating = 0
  private stopTimer: (() => void) | undefined

  constructor(request: CommandRequest, around: RawSurroundings) {
    this.request = request
    this.around = around
    this.pid = this.pidKnown.promise
    this.ended = this.end.promise
    this.pid.catch(() => {})
    this.ended.catch(() => {})
    const refused = refusal(request) ?? badName(request)
    if (refused !== undefined) this.refuse(this.error('spawn-failed', refused, { outcome: 'not-sent' }))
  }

  /** Ends a command that was not started. */
  refuse(error: RametError): void {
    if (this.state === 'queued') this.fail(error)
  }

  open(start: (line: string) => RemoteProcess): void {
    this.state = 'opening'
    this.startedAt = this.around.clock.now()
    let process: RemoteProcess
    try {
      process = start(RAW_LINE)
    } catch (error) {
      return this.fail(error as Error)
    }
    this.process = process
    const { mark } = this.around
    const stdout = new MarkScanner(mark, (bytes) => this.bytes('stdout', bytes), (text) => this.frame('stdout', text))
    const stderr = new MarkScanner(mark, (bytes) => this.bytes('stderr', bytes), (text) => this.frame('stderr', text))
    process.stderr((bytes) => stderr.push(bytes))
    process.pipe.start({
      data: (bytes) => stdout.push(bytes),
      drain: () => this.drained(),
      closed: (cause) => {
        stdout.end()
        void process.exited.then((how) => {
          stderr.end()
          this.exited(how, cause)
        })
      },
    })
    process.pipe.write(Buffer.from(rawPreamble(this.request, mark)))
    for (const bytes of this.held.splice(0)) this.send(process, bytes)
    if (this.stdinEnded) process.pipe.end()
    else if (this.wantsWritable && process.pipe.pending <= PIPE_LOW_WATER) this.drained()
  }

  // -- towards the command --

  write(bytes: Uint8Array): boolean {
    if (this.state === 'ended' || this.stdinEnded) return true
    if (this.process === undefined) {
      this.held.push(bytes)
      this.wantsWritable = true
      return false
    }
    this.send(this.process, bytes)
    // At exactly this mark the pipe promises a `drain`.
    this.wantsWritable = this.process.pipe.pending > PIPE_LOW_WATER
    return !this.wantsWritable
  }

  private send(process: RemoteProcess, bytes: Uint8Array): void {
    this.unheard?.push(bytes)
    process.pipe.write(bytes)
  }

  endStdin(): void {
    if (this.stdinEnded) return
    this.stdinEnded = true
    this.process?.pipe.end()
  }

  consumed(bytes: number): void {
    this.brake.consumed(bytes, this.process?.pipe)
  }

  signal(name: string): void {
    if (!/^SIG[A-Z0-9]+$/.test(name)) return
    this.whenLed((pid) => {
      this.sent.add(name)
      void this.around.control(signalText(name, pid, this.group))
    })
  }

  closeOutput(stream: 'stdout' | 'stderr'): void {
    this.unwanted.add(stream)
  }

  /** Ends it for whoever closes the lane: its caller hears of that, whatever the command says last. */
  close(error: RametError, grace: number): void {
    this.closedBy = error
    if (this.state === 'queued') this.fail(error)
    else this.terminate(grace)
  }

  terminate(grace: number): void {
    if (this.state === 'ended') return
    if (this.state === 'queued' || this.process?.unstarted === true) {
      this.process?.kill()
      return this.fail(this.error('cancelled', 'the command was cancelled before it was started', { outcome: 'not-sent' }))
    }
    this.stopTimer?.()
    this.stopTimer = this.around.clock.after(grace + LAST_WORD, () => this.giveUp())
    this.brake.release(this.process?.pipe)
    this.whenLed((pid) => {
      for (const name of ['SIGTERM', 'SIGKILL']) this.sent.add(name)
      this.terminating += 1
      void this.around.control(terminateText(pid, this.group, grace)).then(() => {
        this.terminating -= 1
        this.settle()
      })
    })
  }

  private whenLed(action: (pid: number) => void): void {
    if (this.state === 'ended' || this.report !== undefined) return
    if (this.leader === undefined) this.early.push(() => { if (this.leader !== undefined) action(this.leader) })
    else action(this.leader)
  }

  private drained(): void {
    if (!this.wantsWritable) return
    this.wantsWritable = false
    this.onWritable?.()
  }

  // -- from the command --

  private bytes(stream: 'stdout' | 'stderr', bytes: Buffer): void {
    // Behind the news that it could not be started stands a line end of our own script's.
    if (this.over[stream] || this.failed !== undefined || this.state === 'ended') return
    if (!this.marked[stream]) return this.noisy(bytes)
    if (this.unwanted.delete(stream)) this.signal('SIGPIPE')
    if (!this.brake.take(bytes.length, this.process?.pipe, this.leader !== undefined)) return
    if (this.onOutput === undefined) this.consumed(bytes.length)
    else this.onOutput(stream, bytes)
  }

  private noisy(bytes: Buffer): void {
    if (!this.noise.add(bytes) || this.refusal !== undefined) return
    this.refusal = this.error('boot-noise', `login scripts printed more than ${NOISE_MAX} bytes before the command${this.noise.toString()}`, {
      stage: 'launch', hint: 'Make the account\'s login scripts silent where no terminal is attached.',
    })
    // The command may be on its way already: it is ended before it is given up.
    this.terminate(0)
  }

  private frame(stream: 'stdout' | 'stderr', text: string): void {
    if (this.state === 'ended') return
    const rest = text.slice(1)
    if (text.startsWith('S')) {
      this.unheard = undefined
      this.marked[stream] = true
      this.group = rest !== 'plain'
    } else if (text.startsWith('P') && stream === 'stderr') this.led(Number(rest))
    else if (text.startsWith('F') && stream === 'stderr') this.failed ??= parseFailure(rest, this.request)
    else if (text.startsWith('E')) {
      this.over[stream] = true
      if (stream === 'stderr') this.report = parseEnd(rest, this.sent)
      this.settle()
    }
  }

  private led(pid: number): void {
    if (this.leader !== undefined || !Number.isSafeInteger(pid) || pid < 2) return
    this.leader = pid
    this.state = 'running'
    this.startedAt = this.around.clock.now()
    this.process?.entrust?.(this.group ? -pid : pid)
    this.pidKnown.resolve(pid)
    for (const action of this.early.splice(0)) action()
  }

  private settle(): void {
    if (this.state === 'ended' || !this.over.stdout || !this.over.stderr) return
    const refused = this.refused()
    if (refused !== undefined) return this.fail(refused)
    if (this.leader === undefined || this.report === undefined) {
      return this.fail(this.error('launch-failed', `the command could not be started${this.noise.toString()}`, {
        stage: 'launch', hint: 'The target needs /bin/sh.',
      }))
    }
    // Until the group is gone as a whole.
    if (this.terminating > 0) return
    this.finish({ ...this.report, duration: this.around.clock.now() - this.startedAt })
  }

  /** The process behind the channel has ended; usually everything was reported before. */
  private exited(how: ProcessEnd, cause: Error | undefined): void {
    if (this.state === 'ended' || (this.over.stdout && this.over.stderr)) return
    const refused = this.refused()
    if (refused !== undefined) return this.fail(refused)
    if (isRametError(cause) && cause.code === 'launch-failed' && !this.marked.stderr) return this.notOpened(cause)
    if (how.exitCode !== null && !this.marked.stderr) {
      // An ssh that got no further than to the server has met no shell.
      if (isRametError(cause) && cause.code !== 'ssh-failed') return this.fail(cause)
      return this.fail(this.error('launch-failed', `the login shell ended with exit code ${how.exitCode} before it ran the command${this.noise.toString()}`, {
        stage: 'launch', cause, hint: 'Check that the account may run commands: log in by hand, with the command true.',
      }))
    }
    // What went wrong with the connection as a whole says more than one channel's end.
    const lost = this.error('link-lost', 'the connection ended while the command ran', {
      outcome: 'unknown', cause, hint: 'Nobody can say how the command ended; it may still be running.',
    })
    this.around.ready.then(() => this.fail(lost), (error: unknown) => this.fail(error as Error))
  }

  private refused(): RametError | undefined {
    return this.failed === undefined ? this.refusal : this.error('spawn-failed', this.failed)
  }

  private notOpened(cause: RametError): void {
    this.process = undefined
    this.state = 'queued'
    if (this.unheard === undefined || this.terminating > 0 || !this.around.refused(this)) return this.fail(cause)
    this.held = this.unheard.splice(0)
  }

  private giveUp(): void {
    this.process?.kill()
    this.fail(this.refusal ?? this.error('cancelled', 'the command was to be ended, and the target did not say that it has', {
      outcome: 'unknown', hint: 'The connection may be stalled; the command may still be running.',
    }))
  }

  private finish(end: CommandEnd): void {
    if (this.closedBy !== undefined) return this.fail(this.closedBy)
    this.leave()
    this.end.resolve(end)
  }

  private fail(error: Error): void {
    if (this.state === 'ended') return
    this.leave()
    this.pidKnown.reject(error)
    this.end.reject(error)
  }

  private leave(): void {
    this.state = 'ended'
    this.stopTimer?.()
    this.held = []
    this.early = []
    if (this.leader !== undefined) this.process?.entrust?.(0)
    this.process?.pipe.end()
    // What background jobs print from here on is read and dropped.
    this.process?.pipe.resume()
    this.around.left(this, this.process)
  }

  private error(code: ErrorCode, message: string, details: ErrorDetails = {}): RametError {
    return new RametError(code, `${this.around.name}: ${message}`, details)
  }
}
