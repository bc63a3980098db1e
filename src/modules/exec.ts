import { EXEC_TAG, refusal } from '../connect/command.ts'
import type { CommandRequest } from '../connect/command.ts'
import { Group } from '../connect/process-group.ts'
import { Output } from './output.ts'
import { placeOf } from './place.ts'
import type { Place } from './place.ts'
import type { Service, ServiceChannel, ServiceHost } from './service.ts'
import { startCommand } from './start.ts'
import type { Child } from './streams.ts'

/** Milliseconds between TERM and KILL when nobody waits for the command any more. */
const RESET_GRACE = 500
/** Milliseconds between looks at a group whose leader has ended and that was told to end. */
const GROUP_LOOK = 10
/** Milliseconds to wait for a killed group: what is left then are processes in an uninterruptible wait. */
const KILLED_WAIT = 200
/**
 * Bytes that come after the command's exit and surely hold everything it wrote itself: several times what a socket of Node's
 * holds. A background job that never stops printing must not keep the result.
 */
const AFTER_EXIT = 1024 * 1024

/**
 * Runs one command in a process group of its own. Messages carry one EXEC_TAG byte; `started` (if live) is followed by the pid
 * (32 bits, little end first), `terminate` by the grace in ms (alike), `signal` by the signal's name, `close` by the tag of the stream
 * that nobody reads any more. The result is a CommandEnd.
 */
export const run: Service = (channel: ServiceChannel, host: ServiceHost, request: CommandRequest) => {
  new Command(channel, host, request).start()
}

class Command {
  private state: 'starting' | 'running' | 'exited' | 'ended' = 'starting'
  private readonly channel: ServiceChannel
  private readonly host: ServiceHost
  private readonly request: CommandRequest
  private readonly place: Place
  private readonly output: Output
  private child: Child | undefined
  private pid = 0
  private startedAt: [number, number] = [0, 0]
  private exit: { exitCode: number | null; signal: string | null; duration: number } = { exitCode: null, signal: null, duration: 0 }
  private paused = false
  private reset = false
  private inputEnded = false
  /** What came before the child was there: only while a second way to start it is tried. */
  private early: Uint8Array[] = []
  private received = 0
  private receivedAfterExit = 0
  private draining = false
  private killer: (() => void) | undefined
  private killed = false
  private group: Group
  private giveUpAt = 0

  constructor(channel: ServiceChannel, host: ServiceHost, request: CommandRequest) {
    this.channel = channel
    this.host = host
    this.request = request
    this.place = placeOf(host)
    this.group = new Group(0, host.clock)
    this.output = new Output(channel, request.live === true, () => this.pause())
  }

  start(): void {
    this.channel.onMessage = (message) => this.message(message)
    this.channel.onEnd = () => {
      this.inputEnded = true
      this.child?.stdin?.end()
    }
    this.channel.onReset = () => this.onReset()
    this.channel.onWritable = () => this.resume()
    const refused = refusal(this.request)
    if (refused !== undefined) return this.fail(refused)
    startCommand(this.request, this.host, this.place, {
      wanted: () => !this.reset,
      started: (child, at) => this.begin(child, at),
      failed: (message) => this.fail(message),
    })
  }

  private begin(child: Child, startedAt: [number, number]): void {
    this.child = child
    this.pid = child.pid
    this.group = new Group(child.pid, this.host.clock)
    this.startedAt = startedAt
    this.state = 'running'
    this.host.processes.add(this.pid)
    child.stdout.listen((bytes) => this.read(EXEC_TAG.stdout, bytes))
    child.stderr.listen((bytes) => this.read(EXEC_TAG.stderr, bytes))
    child.process.on('exit', (code, signal) => this.exited(code, signal))
    this.place.shells.started()
    if (this.request.live === true) {
      const started = Buffer.alloc(5)
      started[0] = EXEC_TAG.started
      started.writeUInt32LE(this.pid, 1)
      this.channel.send(started)
    }
    for (const message of this.early.splice(0)) this.message(message)
    if (this.inputEnded) child.stdin?.end()
    if (this.reset) this.terminate(RESET_GRACE)
  }

  private fail(message: string): void {
    if (this.state === 'ended') return
    this.state = 'ended'
    if (!this.reset) this.channel.fail(Object.assign(new Error(message), { code: 'spawn-failed' }))
  }

  private read(tag: number, bytes: Buffer): void {
    this.received += bytes.length
    if (this.state === 'exited') this.receivedAfterExit += bytes.length
    if (this.state === 'ended' || this.reset) return
    this.output.add(tag, bytes)
  }

  private pause(): void {
    if (this.paused) return
    this.paused = true
    this.child?.stdout.pause()
    this.child?.stderr.pause()
  }

  private resume(): void {
    if (!this.paused) return
    this.paused = false
    this.child?.stdout.resume()
    this.child?.stderr.resume()
    if (this.state === 'exited') this.settle()
  }

  private exited(exitCode: number | null, signal: string | null): void {
    if (this.state !== 'running') return
    this.state = 'exited'
    const [seconds, nanoseconds] = process.hrtime(this.startedAt)
    this.exit = { exitCode, signal, duration: seconds * 1e3 + nanoseconds / 1e6 }
    this.settle()
  }

  /**
   * After the exit: what the command wrote is in the pipes already. From Node's sockets one full turn of the event loop reads
   * what is there. End of file would be simpler, and comes only when the last background job lets go of the pipe.
   */
  private settle(): void {
    if (this.state !== 'exited' || this.draining) return
    if (this.ending() && this.group.lives()) return this.awaitGroup()
    if (this.drained()) return this.end()
    if (this.paused) return
    this.draining = true
    const look = () => {
      const before = this.received
      setImmediate(() => {
        const drained = this.drained() || this.receivedAfterExit > AFTER_EXIT
        if (!drained && !this.paused && before !== this.received) return look()
        this.draining = false
        if (drained || !this.paused) this.end()
      })
    }
    setImmediate(look)
  }

  private drained(): boolean {
    const { stdout, stderr } = this.child as Child
    return this.reset || (stdout.drain() && stderr.drain())
  }

  private end(): void {
    if (this.state !== 'exited') return
    this.state = 'ended'
    this.killer?.()
    this.host.processes.delete(this.pid)
    this.place.shells.ended()
    const { stdin, stdout, stderr } = this.child as Child
    // Not before the result has left.
    setImmediate(() => {
      stdin?.destroy()
      for (const outlet of [stdout, stderr]) outlet.release()
    })
    if (this.reset) return this.output.drop()
    this.output.flush()
    this.channel.end(this.exit)
  }

  private message(message: Uint8Array): void {
    if (this.state === 'starting') {
      this.early.push(message)
      return
    }
    const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength)
    const done = () => { if (!this.reset) this.channel.consumed(message.length) }
    const stdin = this.child?.stdin
    if (bytes[0] === EXEC_TAG.stdin && bytes.length === 1) this.child?.stdin?.end()
    else if (bytes[0] === EXEC_TAG.stdin && stdin !== undefined && this.state === 'running' && stdin.writable) {
      stdin.write(bytes.subarray(1), done)
      return
    }
    done()
    if (bytes[0] === EXEC_TAG.signal) this.kill(bytes.toString('latin1', 1))
    if (bytes[0] === EXEC_TAG.close) this.closeOutput(bytes[1])
    if (bytes[0] === EXEC_TAG.terminate && bytes.length >= 5) this.terminate(bytes.readUInt32LE(1))
  }

  private closeOutput(tag: number | undefined): void {
    if (tag === EXEC_TAG.stdout) this.child?.stdout.close()
    if (tag === EXEC_TAG.stderr) this.child?.stderr.close()
  }

  private onReset(): void {
    this.reset = true
    this.resume()
    if (this.state === 'running') this.terminate(RESET_GRACE)
    else if (this.state === 'exited') this.settle()
  }

  private terminate(grace: number): void {
    if (this.state !== 'running' || this.killed) return
    const { clock } = this.host
    this.killer?.()
    this.killer = clock.after(grace, () => {
      this.killed = true
      this.giveUpAt = clock.now() + KILLED_WAIT
      this.kill('SIGKILL')
    })
    this.kill('SIGTERM')
    this.kill('SIGCONT') // A stopped process does not see TERM.
  }

  /** The whole group was told to end, by us or by the stub. */
  private ending(): boolean {
    return this.killer !== undefined || this.host.processes.state !== 'open'
  }

  /** The leader has ended and the group was told to: what is left of it is killed when the grace is over. */
  private awaitGroup(): void {
    const { clock } = this.host
    clock.after(GROUP_LOOK, () => {
      if (this.killed && clock.now() > this.giveUpAt) this.killer = undefined
      this.settle()
    })
  }

  private kill(signal: string): void {
    // The number of a group whose leader was collected may belong to somebody else, unless members are left.
    if (this.state !== 'running' && !(this.state === 'exited' && this.killer !== undefined)) return
    try {
      process.kill(-this.pid, signal)
    } catch {
      // The group is gone, or the name is no signal of this system.
    }
  }
}
