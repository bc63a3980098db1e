import type { TargetAddress } from '../../src/connect/target.ts'
import type { Connection, ProcessEnd, RemoteProcess } from '../../src/connect/transport.ts'
import { Controller } from '../../src/controller/controller.ts'
import type { Heeded } from '../../src/controller/heeded.ts'
import type { ConnectOptions, Connecting, ControllerOptions } from '../../src/controller/api.ts'
import { stubImage } from '../../src/controller/stub-image.ts'
import { joinBytes } from '../../src/base/bytes.ts'
import { deferred } from '../../src/base/deferred.ts'
import { Stub } from '../../src/remote-stub/stub.ts'
import type { Pipe, PipeSink } from '../../src/router/pipe.ts'
import { memoryPipe, type MemoryPipe } from './memory-pipe.ts'
import { settle, TestClock } from './test-clock.ts'

/** What is left of a tree; all zero when nothing leaked. */
export interface Leftovers {
  contexts: number
  pooled: number
  channels: number
  timers: number
}
export const NOTHING_LEFT: Leftovers = { contexts: 0, pooled: 0, channels: 0, timers: 0 }


/**
 * A whole tree in one process: a real Controller and real Stubs over pipes in memory, on a clock that the test moves. A target
 * is named by its SSH host: `tree.connect('web1')`. The launch line, the stub's bytes and the nonce cross the pipe as they do
 * elsewhere; only the interpreter that would read them is left out.
 */
export class MemoryTree {
  readonly clock = new TestClock()
  readonly controller: Controller
  /** Targets by name, in the order of their connections. */
  readonly targets = new Map<string, MemoryTarget>()
  /** Targets on which nothing answers the launch line ('silent'), or which nothing reaches before `flow` ('held'). */
  readonly manners = new Map<string, 'silent' | 'held'>()
  /** What the SSH configuration says. */
  heeded: Heeded | undefined

  constructor(options: ControllerOptions = {}) {
    this.controller = new Controller(options, this.clock, async (address: TargetAddress, _options, context) => {
      if (this.heeded !== undefined) context.heed(this.heeded)
      const name = address.kind === 'ssh' ? address.host : address.kind
      const target = new MemoryTarget(name, this.clock, this.manners.get(name))
      this.targets.set(name, target)
      return target
    })
  }

  connect(name: string, options: ConnectOptions = {}): Connecting {
    return this.controller.connect(name, { runtime: 'node', ...options })
  }

  target(name: string): MemoryTarget {
    const target = this.targets.get(name)
    if (target === undefined) throw new Error(`${name} was never connected to`)
    return target
  }

  /** Channels open at the controller, other than the logs of contexts, and those by which their hops hold them. */
  get channels(): number {
    const cores = [...this.controller['contexts'].cores.values()]
    return this.controller['router'].openChannels - cores.length - cores.filter((core) => core['far'] !== undefined).length
  }

  /** Bytes of the budgets of a context's link that are in use. */
  budgets(name: string): { down: number; up: number } {
    for (const core of this.controller['contexts'].cores.values()) {
      const link = core['near']?.link
      if (core.path.at(-1) === name && link !== undefined) return { down: link.down.used, up: link.up.used }
    }
    return { down: 0, up: 0 }
  }

  /** Moves time in steps, letting everything run in between: what a process sees that is neither asleep nor blocked. */
  async pass(ms: number, step = 100): Promise<void> {
    for (let left = ms; left > 0; left -= step) {
      this.clock.advance(Math.min(step, left))
      await settle(4)
    }
  }

  /** Closes everything and says what is left. */
  async leftovers(): Promise<Leftovers> {
    const closed = this.controller.close()
    for (let turn = 0; turn < 100 && this.controller['contexts'].cores.size > 0; turn++) await this.pass(100)
    await closed
    for (const target of this.targets.values()) target.stub?.end(0)
    await this.pass(5000)
    // Real processes end in their own time, which this clock does not know.
    for (let turn = 0; turn < 1000 && this.clock.pending > 0; turn++) await this.pass(100)
    return {
      contexts: this.controller['contexts'].cores.size,
      pooled: this.controller['contexts'].pool.size,
      channels: this.controller['router'].openChannels,
      timers: this.clock.pending,
    }
  }
}

/** A machine in memory, seen from both ends of the one connection to it. */
export class MemoryTarget implements Connection {
  state: 'open' | 'closed' = 'open'
  readonly name: string
  readonly transport = 'local'
  readonly stage = 'launch'
  readonly ready = Promise.resolve()
  /** The controller's end and the target's. */
  readonly near: MemoryPipe
  readonly far: MemoryPipe
  stub: Stub | undefined
  /** Exit code of the stub, once it has ended. */
  exitCode: number | undefined
  private readonly clock: TestClock
  private readonly manner: 'silent' | 'held' | undefined
  private readonly ended = deferred<ProcessEnd>()
  private readonly listeners: ((cause?: Error) => void)[] = []

  constructor(name: string, clock: TestClock, manner: 'silent' | 'held' | undefined) {
    this.name = name
    this.clock = clock
    this.manner = manner
    ;[this.near, this.far] = memoryPipe()
    if (manner === 'held') this.stall()
  }

  open(command: string): RemoteProcess {
    const halves = /'([0-9a-f]{16})' '([0-9a-f]{16})'/.exec(command)
    const nonce = Buffer.from(`${halves?.[1]}${halves?.[2]}`, 'hex')
    const pipe = new AfterImage(this.far, stubImage().length, () => {
      if (this.manner === 'silent') return
      this.far.write(nonce)
      this.stub = new Stub(pipe, {
        clock: this.clock,
        image: stubImage(),
        environment: { ...process.env },
        exit: (code) => {
          this.exitCode = code
          this.ended.resolve({ exitCode: code, signal: null })
          this.far.close()
        },
      })
    })
    return {
      pipe: this.near,
      stderr: () => {},
      exited: this.ended.promise,
      kill: () => this.dies({ exitCode: null, signal: 'SIGKILL' }),
    }
  }

  /** Both directions end, as when a machine closes the connection. */
  endOfFile(): void {
    this.ended.resolve({ exitCode: null, signal: null })
    this.near.cut()
    this.far.cut()
  }

  /** The stub's process is gone at once; nothing of it can say goodbye. */
  dies(end: ProcessEnd = { exitCode: null, signal: 'SIGKILL' }): void {
    this.ended.resolve(end)
    this.near.cut()
    this.far.cut()
  }

  /** Nothing passes any more, in either direction, and nobody is told. */
  stall(): void {
    this.near.hold()
    this.far.hold()
  }

  /** What was held passes after all. */
  flow(): void {
    this.near.release()
    this.far.release()
  }

  /** Bytes that are no frame, in both directions. */
  garbage(): void {
    this.near.inject(Buffer.from('Broadcast message from root: the system is going down\r\n'))
    this.far.inject(Buffer.from('Broadcast message from root: the system is going down\r\n'))
  }

  async close(): Promise<void> {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.ended.resolve({ exitCode: null, signal: null })
    this.near.close()
    for (const listener of this.listeners) listener()
  }

  onClose(listener: (cause?: Error) => void): void {
    this.listeners.push(listener)
  }

  stats(): { bytesIn: number; bytesOut: number } {
    return { bytesIn: 0, bytesOut: 0 }
  }
}

/** The target's end of the pipe once the stub's own bytes have been taken off it. */
class AfterImage implements Pipe {
  private readonly pipe: MemoryPipe
  private left: number
  private held: Uint8Array[] = []
  private sink: PipeSink | undefined
  private ended: { cause: Error | undefined } | undefined

  constructor(pipe: MemoryPipe, size: number, arrived: () => void) {
    this.pipe = pipe
    this.left = size
    pipe.start({
      data: (bytes) => {
        const rest = bytes.subarray(Math.min(this.left, bytes.length))
        const waiting = this.left > 0
        this.left -= bytes.length - rest.length
        if (waiting && this.left === 0) arrived()
        if (rest.length === 0) return
        if (this.sink === undefined) this.held.push(rest)
        else this.sink.data(rest)
      },
      drain: () => this.sink?.drain(),
      closed: (cause) => {
        this.ended = { cause }
        this.sink?.closed(cause)
      },
    })
  }

  get pending(): number {
    return this.pipe.pending
  }

  start(sink: PipeSink): void {
    this.sink = sink
    const held = this.held.splice(0)
    if (held.length > 0) queueMicrotask(() => sink.data(joinBytes(held)))
    if (this.ended !== undefined) sink.closed(this.ended.cause)
  }

  write(bytes: Uint8Array): void {
    this.pipe.write(bytes)
  }

  pause(): void {}

  resume(): void {}

  end(): void {
    this.pipe.end()
  }

  close(): void {
    this.pipe.close()
  }
}
