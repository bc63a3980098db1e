import { type ChildProcess, spawn } from 'node:child_process'
import { type Clock, systemClock } from '../base/clock.ts'
import { deferred } from '../base/deferred.ts'
import { RametError } from '../router/errors.ts'
import type { Pipe, PipeSink } from '../router/pipe.ts'
import { groupGone, isStopped } from './process-group.ts'
import { StreamPipe } from './stream-pipe.ts'
import type { ProcessEnd, RemoteProcess } from './transport.ts'

export interface SpawnOptions {
  /** For messages. */
  name: string
  /** Default: this process's. */
  env?: NodeJS.ProcessEnv | undefined
  /** True: the child leads a process group of its own, and signals go to all of it. */
  group?: boolean
  /** True: it may be a stub. One that was stopped is let go on before it is killed, for at most 3 s. */
  leaves?: boolean
  /** Default: the system's. */
  clock?: Clock | undefined
  /** Makes the error for a pipe that ends before anything came through, from the end and the last of stderr. */
  failure?: ((end: ProcessEnd, stderr: string) => RametError | undefined) | undefined
}

/** Of stderr, for messages. */
const TAIL = 4096
/** Milliseconds that a program that was stopped has for its end: a stub's commands get 2 s of it. */
const LEAVING = 3000
/** Milliseconds that a killed group may take to be gone. */
const KILLED_WAIT = 2000

/**
 * A local program whose stdin and stdout are the pipe. Both ends of the process are told as they happen: `closed` when
 * stdout ends, `exited` when the program is gone and its output delivered.
 */
export class SpawnedProcess implements RemoteProcess, Pipe {
  state: 'running' | 'exited' | 'closed' = 'running'
  readonly pipe: Pipe = this
  readonly exited: Promise<ProcessEnd>
  /** Resolves when it has ended, and with it everything that was killed with it. */
  readonly over: Promise<void>
  /** Resolves with the first byte on stdout, or when the program has ended. */
  readonly spoke = deferred<void>()
  readonly child: ChildProcess
  /** The last of what came on stderr. */
  tail = ''
  private readonly options: SpawnOptions
  private readonly stream: StreamPipe | undefined
  private readonly ended = deferred<ProcessEnd>()
  private listener: ((bytes: Uint8Array) => void) | undefined
  private heldStderr: Uint8Array[] = []
  /** Why the program could not be started. */
  failed: RametError | undefined
  private heard = false
  /** Leaders of groups that were killed as a whole. */
  private readonly killed = new Set<number>()
  /** What was entrusted to us, as `kill` takes it; 0: nothing. */
  private led = 0
  /** It was stopped, goes on, and has some time to end. */
  private leaving: 'no' | 'yes' | 'over' = 'no'
  private result: ProcessEnd | undefined
  private gone: ((end: ProcessEnd) => void)[] = []

  constructor(argv: readonly string[], options: SpawnOptions) {
    this.options = options
    this.exited = this.ended.promise
    this.over = this.exited.then(async () => {
      await Promise.all([...this.killed].map((leader) => groupGone(leader, KILLED_WAIT, options.clock ?? systemClock)))
    })
    const [program = '', ...args] = argv
    this.child = spawn(program, args, { stdio: 'pipe', env: options.env, detached: options.group === true })
    const { stdin, stdout, stderr } = this.child
    if (stdin !== null && stdout !== null) this.stream = new StreamPipe(stdout, stdin)
    stderr?.on('data', (bytes: Buffer) => {
      this.tail = (this.tail + bytes.toString('latin1')).slice(-TAIL)
      if (this.listener) this.listener(bytes)
      else this.heldStderr.push(bytes)
    })
    // Without a listener at most this much is held; the rest stays in the kernel, and the program waits.
    stderr?.on('data', () => {
      if (this.listener === undefined && this.heldStderr.reduce((sum, bytes) => sum + bytes.length, 0) > 1 << 20) stderr.pause()
    })
    this.child.on('error', (error: NodeJS.ErrnoException) => this.notStarted(error))
    this.child.on('exit', (exitCode, signal) => {
      this.result = { exitCode, signal }
      this.state = 'exited'
    })
    // 'close' follows 'exit' when all three streams are done.
    this.child.on('close', () => {
      this.state = 'closed'
      this.spoke.resolve()
      this.ended.resolve(this.result ?? { exitCode: null, signal: null })
      for (const tell of this.gone) tell(this.result ?? { exitCode: null, signal: null })
    })
  }

  /** It runs, and has nothing more to say: it is about to end. */
  get ending(): boolean {
    return this.state === 'running' && this.stream?.ended === true
  }

  get pending(): number {
    return this.stream?.pending ?? 0
  }

  get bytesIn(): number {
    return this.stream?.bytesIn ?? 0
  }

  get bytesOut(): number {
    return this.stream?.bytesOut ?? 0
  }

  start(sink: PipeSink): void {
    if (this.stream === undefined) {
      process.nextTick(() => sink.closed(this.failed))
      return
    }
    this.stream.start({
      data: (bytes) => {
        this.heard = true
        this.spoke.resolve()
        sink.data(bytes)
      },
      drain: () => sink.drain(),
      closed: (cause) => this.streamClosed(sink, cause),
    })
  }

  write(bytes: Uint8Array): void {
    this.stream?.write(bytes)
  }

  pause(): void {
    this.stream?.pause()
    this.child.stderr?.pause()
  }

  resume(): void {
    this.stream?.resume()
    this.child.stderr?.resume()
  }

  end(): void {
    this.stream?.end()
  }

  close(): void {
    this.stream?.close()
  }

  stderr(listener: (bytes: Uint8Array) => void): void {
    this.listener = listener
    const held = this.heldStderr
    this.heldStderr = []
    for (const bytes of held) listener(bytes)
    this.child.stderr?.resume()
  }

  /** Of a program that runs as we do, on this machine: what it leads in a group apart is killed with its own. */
  entrust(who: number): void {
    this.led = this.options.group === true && Math.abs(who) > 1 ? who : 0
  }

  /** Default signal: KILL, and the pipe is closed with it. */
  kill(signal?: string): void {
    if (signal === undefined && this.leave()) return
    const { pid } = this.child
    if (signal === undefined && this.led !== 0) this.send(this.led, 'SIGKILL')
    // A group may live on after its leader has ended, holding our pipes.
    if (pid !== undefined && (this.state === 'running' || (this.options.group === true && this.state === 'exited'))) {
      this.send(this.options.group === true ? -pid : pid, signal ?? 'SIGKILL')
    }
    if (signal !== undefined) return
    this.close()
    // Children of it may hold stdout and stderr open; they are not waited for.
    this.child.stderr?.destroy()
  }

  private send(who: number, signal: string): void {
    try {
      process.kill(who, signal)
      if (who < 0 && signal === 'SIGKILL') this.killed.add(-who)
    } catch {
      // It has ended by itself.
    }
  }

  /** True when it is let go on for its end: a stub that was stopped finds its pipes closed, and ends what runs on it and below it. */
  private leave(): boolean {
    const { pid } = this.child
    if (this.leaving === 'yes') return this.state === 'running'
    if (this.options.leaves !== true || this.leaving === 'over' || this.led !== 0 || this.state !== 'running' || pid === undefined || !isStopped(pid)) return false
    this.leaving = 'yes'
    const cancel = (this.options.clock ?? systemClock).after(LEAVING, () => {
      this.leaving = 'over'
      this.kill()
    })
    void this.exited.then(cancel)
    this.close()
    this.kill('SIGCONT')
    return true
  }

  /** Ends it and resolves when nothing of it is left here. */
  async destroy(): Promise<void> {
    this.kill()
    await this.over
    // Node lets go of its handles in the turns of the event loop that follow.
    for (let turn = 0; turn < 2; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
  }

  private streamClosed(sink: PipeSink, cause: Error | undefined): void {
    // Whether an end is orderly is known once the program has ended, which is a moment later.
    if (this.heard || this.options.failure === undefined || cause !== undefined) return sink.closed(cause ?? this.failed)
    const tell = (end: ProcessEnd): void => sink.closed(this.failed ?? this.options.failure?.(end, this.tail))
    if (this.state === 'closed') tell(this.result ?? { exitCode: null, signal: null })
    else this.gone.push(tell)
  }

  private notStarted(error: NodeJS.ErrnoException): void {
    // 'error' also reports a signal that could not be sent; then there is a pid.
    if (this.child.pid !== undefined) return
    this.failed = new RametError('launch-failed', `${this.options.name}: cannot start ${this.child.spawnfile} (${error.code ?? error.message})`, {
      stage: 'launch', path: [this.options.name], outcome: 'not-sent', cause: error,
      hint: error.code === 'ENOENT' ? `Install ${this.child.spawnfile}, or put it on PATH.` : 'See the cause.' })
    this.stream?.close()
  }
}
