import { expect } from 'vitest'
import { HOP_UP } from '../../src/connect/hop.ts'
import type { TargetAddress } from '../../src/connect/target.ts'
import type { Connection, ProcessEnd, RemoteProcess } from '../../src/connect/transport.ts'
import type { Context } from '../../src/controller/api.ts'
import { Controller } from '../../src/controller/controller.ts'
import { stubImage } from '../../src/controller/stub-image.ts'
import { deferred } from '../../src/base/deferred.ts'
import { openWith, type Parent } from '../../src/remote-stub/parent.ts'
import { decode, encode } from '../../src/router/codec.ts'
import { encodeFrame, type Frame, FrameReader } from '../../src/router/frame.ts'
import { ROOT, TYPE } from '../../src/router/protocol.ts'
import { LogRecords } from './log-records.ts'
import { memoryPipe, type MemoryPipe } from './memory-pipe.ts'
import { MemoryTarget } from './memory-tree.ts'
import { settle, TestClock } from './test-clock.ts'

/** A machine on which a test answers the launch line, and then sends what frames it likes. */
export class ScriptedTarget implements Connection {
  readonly name: string
  readonly transport = 'local'
  readonly stage = 'launch'
  readonly ready = Promise.resolve()
  readonly near: MemoryPipe
  readonly far: MemoryPipe
  /** Frames that it was sent. */
  readonly frames: Frame[] = []
  state: 'open' | 'closed' = 'open'
  private readonly hello: Uint8Array
  private readonly reader = new FrameReader()
  private readonly ended = deferred<ProcessEnd>()
  private readonly listeners: ((cause?: Error) => void)[] = []

  /** `hello`: what it says of itself. */
  constructor(name: string, hello: Uint8Array | undefined) {
    this.name = name
    this.hello = hello ?? encode([1, 'v20.0.0', 'linux', 'x64', name])
    ;[this.near, this.far] = memoryPipe()
  }

  open(command: string): RemoteProcess {
    const halves = /'([0-9a-f]{16})' '([0-9a-f]{16})'/.exec(command)
    let left = stubImage().length
    this.far.start({
      data: (bytes) => {
        const rest = bytes.subarray(Math.min(left, bytes.length))
        if (left > 0 && bytes.length >= left) {
          this.far.write(Buffer.from(`${halves?.[1]}${halves?.[2]}`, 'hex'))
          this.send({ type: TYPE.HELLO, payload: this.hello })
        }
        left = Math.max(0, left - bytes.length)
        if (rest.length > 0) this.reader.push(rest, (frame) => this.heard({ ...frame, payload: new Uint8Array(frame.payload) }))
      },
      drain: () => {},
      closed: () => void this.close(),
    })
    return { pipe: this.near, stderr: () => {}, exited: this.ended.promise, kill: () => void this.close() }
  }

  /** To the neighbour itself unless `dst` and `src` say otherwise. */
  send(frame: Partial<Frame>): void {
    this.far.write(encodeFrame({ type: TYPE.DATA, flags: 0, window: 0, dst: 0, src: 0, channel: 0, payload: new Uint8Array(0), ...frame }))
  }

  /** The last OPEN that it was sent whose message begins with `kind`. */
  opened(kind: number): Frame | undefined {
    return this.frames.filter(({ type, payload }) => type === TYPE.OPEN && (decode(payload) as unknown[])[0] === kind).at(-1)
  }

  /** Alive it is: what a test is about comes on top. */
  private heard(frame: Frame): void {
    if (frame.type === TYPE.PING) this.send({ type: TYPE.PONG, payload: frame.payload })
    else this.frames.push(frame)
  }

  async close(): Promise<void> {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.ended.resolve({ exitCode: null, signal: 'SIGKILL' })
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

let waits = 0

type Machine = MemoryTarget | ScriptedTarget

/**
 * A real Controller, real stubs and machines that a test speaks for, in memory. A name that begins with 'evil' is a machine of the
 * test's; below a hop, machines are containers: `tree.below(hop, 'evil')`.
 */
export class TrustTree {
  readonly clock = new TestClock()
  readonly records = new LogRecords()
  readonly controller: Controller
  readonly machines = new Map<string, Machine>()
  /** What evil machines say of themselves from now on, if not the usual. */
  hello: Uint8Array | undefined

  constructor() {
    this.controller = new Controller({ logger: this.records.logger }, this.clock, async (address: TargetAddress) =>
      this.machine(address.kind === 'ssh' ? address.host : address.kind))
  }

  /** A machine that this process reaches. */
  async connect(name: string): Promise<Context> {
    const promise = this.controller.connect(name, { runtime: 'node' })
    const context = await this.soon(promise)
    const machine = this.machines.get(name)
    if (machine instanceof MemoryTarget) this.prepare(machine)
    return context
  }

  /** A machine below a hop that is a stub of ours. */
  async below(hop: Context, name: string): Promise<Context> {
    const context = await this.soon(hop.connect(`docker:${name}`))
    const machine = this.machines.get(name)
    if (machine instanceof MemoryTarget) this.prepare(machine)
    return context
  }

  evil(name: string): ScriptedTarget {
    return this.machines.get(name) as ScriptedTarget
  }

  honest(name: string): MemoryTarget {
    return this.machines.get(name) as MemoryTarget
  }

  /** What makes the stub of that name a hop. */
  parent(name: string): Parent {
    return this.honest(name).stub?.below as Parent
  }

  id(context: Context): number {
    return this.core(context).id
  }

  state(context: Context): string {
    return this.core(context).state
  }

  /** Records of the log, of `level` or worse than information. */
  warnings(): string[] {
    return this.records.all.filter(({ level }) => level === 'warn' || level === 'error').map(({ text }) => text)
  }

  /** Lets everything run, time standing still. */
  async settle(turns = 40): Promise<void> {
    await settle(turns)
  }

  /** Lets a little time pass until the promise is settled. */
  async soon<T>(promise: Promise<T>): Promise<T> {
    const still = { waiting: true }
    const over = (): void => void (still.waiting = false)
    promise.then(over, over)
    while (still.waiting) {
      this.clock.advance(1)
      await settle(2)
    }
    return promise
  }

  /** A function that runs until `done` is called, and what it answers; on the main thread of its context. */
  async waiting(context: Context): Promise<{ done: () => void; answer: Promise<unknown> }> {
    const key = `done${waits++}`
    const answer = context.with({ isolate: 'none' }).call((name: string) => new Promise((done) => Object.assign(globalThis, { [name]: () => done('well') })), key)
    const global = globalThis as Record<string, unknown>
    // One that fails is heard of by whoever waits for the answer.
    answer.catch(() => (global[key] ??= () => {}))
    while (global[key] === undefined) await this.soon(settle(1))
    return { answer, done: () => (global[key] as (() => void) | undefined)?.() }
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 50) {
      this.clock.advance(50)
      await settle(4)
    }
  }

  /** Ends everything and says what is left: all zero. */
  async leftovers(): Promise<{ contexts: number; channels: number; timers: number; budget: number }> {
    const closed = this.controller.close()
    while (this.controller['contexts'].cores.size > 0) await this.pass(100)
    await closed
    for (const machine of this.machines.values()) if (machine instanceof MemoryTarget) machine.stub?.end(0)
    await this.pass(6000)
    const router = this.controller['router']
    return { contexts: this.controller['contexts'].cores.size, channels: router.openChannels, timers: this.clock.pending, budget: router['budget'].used }
  }

  private core(context: Context): { id: number; state: string } {
    return (context as unknown as { core: { id: number; state: string } }).core
  }

  private machine(name: string): Machine {
    const machine = name.startsWith('evil') ? new ScriptedTarget(name, this.hello) : new MemoryTarget(name, this.clock, undefined)
    this.machines.set(name, machine)
    return machine
  }

  /** From now on the stub, as a hop, reaches machines in memory. */
  private prepare({ stub }: MemoryTarget): void {
    const loader = stub?.['loader'] as { load(number: number): Record<string, unknown> }
    const { load } = loader
    loader.load = (number) => {
      const exports = load.call(loader, number)
      if (!('open' in exports)) return exports
      const open = (...[channel, host, request]: Parameters<typeof openWith>): void =>
        openWith(channel, host, request, () => this.machine(request.target.kind === 'container' ? request.target.name : request.target.kind))
      return { ...exports, open }
    }
  }
}

export const NOTHING_LEFT = { contexts: 0, channels: 0, timers: 0, budget: 0 }

/** A hop of the test's: what it says on the channel over which the controller holds a context below it. */
export function asHop(hop: ScriptedTarget, id: number) {
  const up = (...message: unknown[]): void => hop.send({ dst: ROOT, src: id, channel: hop.opened(2)?.channel ?? 0, payload: encode(message) })
  return {
    up,
    hello: () => up(HOP_UP.HELLO, encode([2, 'v20.0.0', 'linux', 'x64', 'leaf'])),
  }
}

export type EvilScene = Awaited<ReturnType<typeof besideEvilHop>>

/** A hop of the test's below a controller, and beside it another machine, whose call goes on whatever the hop says. */
export async function besideEvilHop() {
  const tree = new TrustTree()
  const other = await tree.connect('other')
  const call = await tree.waiting(other)
  const hop = await tree.connect('evil')
  const evil = tree.evil('evil')
  return {
    tree, other, hop, evil, says: asHop(evil, tree.id(hop)),
    /** The test is over: the other machine noticed nothing, and nothing is left. */
    end: async (): Promise<void> => {
      call.done()
      expect(await tree.soon(call.answer)).toBe('well')
      expect(await tree.leftovers()).toEqual(NOTHING_LEFT)
    },
  }
}
