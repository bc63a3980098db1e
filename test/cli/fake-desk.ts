import type { SentFile } from '../../src/controller/api.ts'
import type { Clock } from '../../src/base/clock.ts'
import type { Desk, StopSignal, TreeOptions } from '../../src/cli/desk.ts'
import { program } from '../../src/cli/program.ts'
import type { Sink } from '../../src/cli/sink.ts'
import { FakeTree } from './fake-tree.ts'
import type { FakeTarget } from './fake-tree.ts'

export class FakeSink implements Sink {
  isTTY = false
  behind = false
  columns = 80
  bytes = Buffer.alloc(0)
  readonly #listeners: (() => void)[] = []

  get text(): string {
    return this.bytes.toString('utf8')
  }

  write(data: string | Uint8Array): void {
    this.bytes = Buffer.concat([this.bytes, Buffer.from(data as Uint8Array)])
  }

  async flush(): Promise<void> {}

  onBroken(listener: () => void): void {
    this.#listeners.push(listener)
  }

  break(): void {
    for (const listener of this.#listeners) listener()
  }
}

/** Time that the test moves. */
export class HandClock implements Clock {
  #now = 1000
  #timers: { at: number; fn: () => void }[] = []

  now(): number {
    return this.#now
  }

  after(ms: number, fn: () => void): () => void {
    const timer = { at: this.#now + ms, fn }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  get waiting(): number {
    return this.#timers.length
  }

  move(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.#timers = this.#timers.filter((timer) => timer !== next)
      this.#now = next.at
      next.fn()
    }
    this.#now = end
  }
}

export class FakeDesk implements Desk {
  readonly stdout = new FakeSink()
  readonly stderr = new FakeSink()
  readonly clock = new HandClock()
  readonly env: Record<string, string | undefined> = { TERM: 'xterm' }
  readonly cwd = '/home/ann'
  readonly self = { pid: 7, nodeVersion: 'v20.20.2', platform: 'linux', arch: 'x64', hostname: 'laptop' }
  readonly files: Record<string, string> = {}
  stdin = ''
  askHidden: Desk['askHidden'] = undefined
  readonly tree: FakeTree
  readonly opened: TreeOptions[] = []
  readonly sent: SentFile[] = []
  readonly #signals = new Set<(signal: StopSignal) => void>()

  constructor(targets: Record<string, FakeTarget> = {}) {
    this.tree = new FakeTree(targets)
  }

  async readFile(path: string): Promise<Buffer> {
    const text = this.files[path]
    if (text === undefined) throw Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' })
    return Buffer.from(text)
  }

  async readStdin(): Promise<Buffer> {
    return Buffer.from(this.stdin)
  }

  onSignal(listener: (signal: StopSignal) => void): () => void {
    this.#signals.add(listener)
    return () => this.#signals.delete(listener)
  }

  get listening(): number {
    return this.#signals.size
  }

  raise(signal: StopSignal): void {
    for (const listener of this.#signals) listener(signal)
  }

  async openTree(options: TreeOptions): Promise<FakeTree> {
    this.opened.push(options)
    return this.tree
  }

  async listFiles(): Promise<SentFile[]> {
    return this.sent
  }

  run(...argv: string[]): Promise<number> {
    return program(argv, this, () => '1.2.3')
  }
}

/** Lets everything that is ready run. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}
