import { spawn } from 'node:child_process'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { access, constants } from 'node:fs'
import { resolve } from 'node:path'
import { EXEC_CHUNK, EXEC_TAG, SPAWN_FAILURE, refusal, shellText } from '../connect/command.ts'
import type { CommandRequest } from '../connect/command.ts'
import { placeOf } from './place.ts'
import type { Place } from './place.ts'
import type { Service, ServiceChannel, ServiceHost } from './service.ts'
import { warmLine } from './warm-shells.ts'

/** Milliseconds between TERM and KILL when nobody waits for the command any more. */
const RESET_GRACE = 500
/** Milliseconds between looks at a group whose leader has ended and that was told to end. */
const GROUP_LOOK = 10
/** Milliseconds to wait for a killed group: what is left then are processes in an uninterruptible wait, or zombies that nobody collects. */
const KILLED_WAIT = 200
/**
 * Bytes read after the command's exit that surely hold everything it wrote itself: several times what a pipe of the
 * operating system holds. A background job that never stops printing must not keep the result.
 */
const AFTER_EXIT = 1024 * 1024

/**
 * Runs one command in a process group of its own. Messages carry one EXEC_TAG byte; `started` is followed by the pid (32 bits,
 * little end first), `terminate` by the grace in ms (alike), `signal` by the signal's name. The result is a CommandEnd.
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
  private child: ChildProcessWithoutNullStreams | undefined
  private pid = 0
  private startedAt = process.hrtime()
  private exit: { exitCode: number | null; signal: string | null; duration: number } = { exitCode: null, signal: null, duration: 0 }
  /** Output streams that have not ended. */
  private open = 2
  private paused = false
  private reset = false
  private inputEnded = false
  /** What came before the child was there: only while a second way to start it is tried. */
  private early: Uint8Array[] = []
  private received = 0
  private receivedAfterExit = 0
  private draining = false
  private killer: ReturnType<typeof setTimeout> | undefined
  private killed = false
  private giveUpAt = 0

  constructor(channel: ServiceChannel, host: ServiceHost, request: CommandRequest) {
    this.channel = channel
    this.host = host
    this.request = request
    this.place = placeOf(host)
  }

  start(): void {
    this.channel.onMessage = (message) => this.message(message)
    this.channel.onEnd = () => {
      this.inputEnded = true
      this.child?.stdin.end()
    }
    this.channel.onReset = () => this.onReset()
    this.channel.onWritable = () => this.resume()
    const refused = refusal(this.request)
    if (refused !== undefined) return this.fail(refused)
    this.launch()
  }

  private launch(): void {
    const { command, cwd, env } = this.request
    if (typeof command !== 'string') return this.spawn(command)
    const plain = cwd === undefined && (env === undefined || Object.keys(env).length === 0)
    const line = plain ? warmLine(command) : undefined
    const warm = line === undefined ? undefined : this.place.shells.take()
    if (warm === undefined) {
      const { argv, text } = shellText(command)
      const shell = ['/bin/sh', '-c', argv === undefined ? command : text]
      // A plain program without a shell, where one would tell it nothing; if there is none, the shell finds the words.
      if (argv !== undefined && cwd === undefined) this.spawn(argv, shell)
      else this.spawn(shell)
      return
    }
    this.startedAt = process.hrtime()
    warm.stdin.write(line as string)
    this.begin(warm)
  }

  private spawn(argv: string[], otherwise?: string[]): void {
    const [file = '', ...args] = argv
    const failed = (error: NodeJS.ErrnoException) => {
      if (this.state !== 'starting') return
      if (otherwise === undefined) this.notStarted(error)
      else this.spawn(otherwise)
    }
    this.startedAt = process.hrtime()
    let child: ChildProcessWithoutNullStreams
    try {
      child = spawn(file, args, {
        cwd: this.cwd(), env: this.environment() as NodeJS.ProcessEnv, detached: true, stdio: ['pipe', 'pipe', 'pipe'],
      })
    } catch (error) {
      return failed(error as NodeJS.ErrnoException)
    }
    child.on('error', failed)
    if (child.pid !== undefined) this.begin(child)
  }

  private begin(child: ChildProcessWithoutNullStreams): void {
    this.child = child
    this.pid = child.pid as number
    this.state = 'running'
    this.host.processes.add(this.pid)
    child.stdin.on('error', () => {}) // The command may end or close its stdin before it has read everything.
    this.listen(child.stdout, EXEC_TAG.stdout)
    this.listen(child.stderr, EXEC_TAG.stderr)
    child.on('exit', (code, signal) => this.exited(code, signal))
    this.place.shells.started()
    const started = Buffer.alloc(5)
    started[0] = EXEC_TAG.started
    started.writeUInt32LE(this.pid, 1)
    this.channel.send(started)
    for (const message of this.early.splice(0)) this.message(message)
    if (this.inputEnded) child.stdin.end()
    if (this.reset) this.terminate(RESET_GRACE)
  }

  private cwd(): string {
    return this.request.cwd === undefined ? this.place.home : resolve(this.place.home, this.request.cwd)
  }

  private environment(): Record<string, string | undefined> {
    const env = { ...this.host.environment, ...this.request.env }
    for (const name of Object.keys(env)) if (env[name] === undefined) delete env[name]
    return env
  }

  /** execve's ENOENT and EACCES are about the program or about the directory: look which. */
  private notStarted(error: NodeJS.ErrnoException): void {
    if (this.state !== 'starting') return
    const program = typeof this.request.command === 'string' ? '/bin/sh' : this.request.command[0] ?? ''
    if (error.code === 'E2BIG') return this.fail(SPAWN_FAILURE.large())
    if (error.code === 'ENOTDIR' || error.code === 'ENOENT' || error.code === 'EACCES') {
      access(this.cwd() + '/.', constants.X_OK, (missing) => {
        if (missing) this.fail(SPAWN_FAILURE.cwd(this.request.cwd ?? this.place.home))
        else this.fail(error.code === 'EACCES' ? SPAWN_FAILURE.denied(program) : SPAWN_FAILURE.program(program))
      })
      return
    }
    this.fail(error.message)
  }

  private fail(message: string): void {
    if (this.state === 'ended') return
    this.state = 'ended'
    if (!this.reset) this.channel.fail(Object.assign(new Error(message), { code: 'spawn-failed' }))
  }

  private listen(stream: NodeJS.ReadableStream, tag: number): void {
    stream.on('data', (bytes: Buffer) => this.output(tag, bytes))
    stream.on('error', () => {})
    let closed = false
    const close = () => {
      if (closed) return
      closed = true
      this.open -= 1
      if (this.open === 0) this.settle()
    }
    stream.on('end', close)
    stream.on('close', close)
  }

  private output(tag: number, bytes: Buffer): void {
    this.received += bytes.length
    if (this.state === 'exited') this.receivedAfterExit += bytes.length
    if (this.state === 'ended' || this.reset) return
    let more = true
    for (let at = 0; at < bytes.length; at += EXEC_CHUNK) {
      const part = bytes.subarray(at, at + EXEC_CHUNK)
      const message = Buffer.allocUnsafe(part.length + 1)
      message[0] = tag
      message.set(part, 1)
      more = this.channel.send(message)
    }
    if (!more) this.pause()
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
   * After the exit: what the command wrote is in the pipes already, and one full turn of the event loop reads what is
   * there. End of file would be simpler, and comes only when the last background job lets go of the pipe.
   */
  private settle(): void {
    if (this.state !== 'exited' || this.draining) return
    if (this.killer !== undefined && this.groupLives()) return this.awaitGroup()
    if (this.open === 0 || this.reset) return this.end()
    if (this.paused) return
    this.draining = true
    const look = () => {
      const before = this.received
      setImmediate(() => {
        const drained = this.open === 0 || this.receivedAfterExit > AFTER_EXIT || this.reset
        if (!drained && !this.paused && before !== this.received) return look()
        this.draining = false
        if (drained || !this.paused) this.end()
      })
    }
    setImmediate(look)
  }

  private end(): void {
    if (this.state !== 'exited') return
    this.state = 'ended'
    if (this.killer !== undefined) clearTimeout(this.killer)
    this.host.processes.delete(this.pid)
    this.place.shells.ended()
    const child = this.child as ChildProcessWithoutNullStreams
    child.stdin.destroy()
    // A background job may go on printing: it is read and dropped, so that it neither blocks nor dies of SIGPIPE.
    for (const stream of [child.stdout, child.stderr]) {
      stream.resume()
      ;(stream as unknown as { unref?(): void }).unref?.()
    }
    if (!this.reset) this.channel.end(this.exit)
  }

  private message(message: Uint8Array): void {
    if (this.state === 'starting') {
      this.early.push(message)
      return
    }
    const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength)
    const done = () => { if (!this.reset) this.channel.consumed(message.length) }
    const stdin = this.child?.stdin
    if (bytes[0] === EXEC_TAG.stdin && bytes.length === 1) this.child?.stdin.end()
    else if (bytes[0] === EXEC_TAG.stdin && stdin !== undefined && this.state === 'running' && stdin.writable) {
      stdin.write(bytes.subarray(1), done)
      return
    }
    done()
    if (bytes[0] === EXEC_TAG.signal) this.kill(bytes.toString('latin1', 1))
    if (bytes[0] === EXEC_TAG.terminate && bytes.length >= 5) this.terminate(bytes.readUInt32LE(1))
  }

  private onReset(): void {
    this.reset = true
    this.resume()
    if (this.state === 'running') this.terminate(RESET_GRACE)
    else if (this.state === 'exited') this.settle()
  }

  private terminate(grace: number): void {
    if (this.state !== 'running' || this.killed) return
    if (this.killer !== undefined) clearTimeout(this.killer)
    this.killer = setTimeout(() => {
      this.killed = true
      this.giveUpAt = Date.now() + KILLED_WAIT
      this.kill('SIGKILL')
    }, grace)
    this.kill('SIGTERM')
    this.kill('SIGCONT') // A stopped process does not see TERM.
  }

  /** The leader has ended and the group was told to: what is left of it is killed when the grace is over. */
  private awaitGroup(): void {
    setTimeout(() => {
      if (this.killed && Date.now() > this.giveUpAt) this.killer = undefined
      this.settle()
    }, GROUP_LOOK)
  }

  private groupLives(): boolean {
    try {
      process.kill(-this.pid, 0)
      return true
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EPERM'
    }
  }

  private kill(signal: string): void {
    // The number of a group whose leader was collected may belong to somebody else, unless members are left.
    if (this.state !== 'running' && !(this.state === 'exited' && this.killer !== undefined)) return
    try {
      process.kill(-this.pid, signal as NodeJS.Signals)
    } catch {
      // The group is gone, or the name is no signal of this system.
    }
  }
}
