import { brotliCompressSync } from 'node:zlib'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Worker } from 'node:worker_threads'
import type { ToMain } from '../../src/remote-stub/lane.ts'
import { Stub } from '../../src/remote-stub/stub.ts'
import { hashOf } from '../../src/router/code-cache.ts'
import { CodeLink, decodeNeed, packTexts, QUICK } from '../../src/router/code-link.ts'
import { type CallRequest, PendingCall } from '../../src/router/call.ts'
import { encode } from '../../src/router/codec.ts'
import { errorFromWire } from '../../src/router/errors-wire.ts'
import type { Frame } from '../../src/router/frame.ts'
import type { Link } from '../../src/router/link.ts'
import { ROOT, TYPE } from '../../src/router/protocol.ts'
import { Router } from '../../src/router/router.ts'
import { memoryPipe } from '../helpers/memory-pipe.ts'
import { TestClock } from '../helpers/test-clock.ts'

const CHILD = 2
const text = readFileSync(fileURLToPath(new URL('../../dist/stub.js', import.meta.url)), 'utf8')

/** What tests look at inside of a stub. */
export interface Insides {
  scopes: { running: Set<unknown> }
  worker: { state: string; calls: Map<string, unknown>; held: unknown[]; cancelProbe: unknown; running: Int32Array; worker: Worker; control(message: ToMain): void }
}

/** A controller's engine and a real stub, joined in memory, on a clock that the test moves. The stub's Worker is a real one. */
export class StubPair {
  readonly clock = new TestClock()
  readonly root: Router
  readonly link: Link
  readonly code: CodeLink
  readonly stub: Stub
  readonly exits: number[] = []
  /** Hashes that the stub has asked for. */
  readonly needed: string[] = []
  private readonly texts = new Map<string, Uint8Array>()
  private modules = 0

  constructor(options: { codeLimit?: number } = {}) {
    const [rootPipe, stubPipe] = memoryPipe()
    this.root = new Router(
      { neighbour: (frame) => this.neighbour(frame), lost: () => {}, refused: (message) => { throw new Error(message) } },
      { id: ROOT, clock: this.clock },
    )
    this.link = this.root.addLink(rootPipe, 'child', { path: ['web1'] }, CHILD)
    this.code = new CodeLink(this.link)
    this.stub = new Stub(stubPipe, { clock: this.clock, image: brotliCompressSync(text), environment: {}, exit: (code) => this.exits.push(code) })
    this.link.sendNeighbour(TYPE.HELLO, encode({ id: CHILD, path: ['web1'], maxMessage: 1e6, codeLimit: options.codeLimit ?? 1e6, keepalive: [15_000, 4] }))
  }

  get insides(): Insides {
    return this.stub as unknown as Insides
  }

  /** Offers a module with this text, and says that its text is on the way: it leaves with `push`, at once unless `later`. */
  module(source: string, { user = true, imports = [], later = false }: { user?: boolean; imports?: [string, number][]; later?: boolean } = {}): { entry: number; push: () => void } {
    const bytes = new TextEncoder().encode(source)
    const hash = hashOf(bytes)
    const pushed = this.code.lacking([hash])
    this.texts.set(hash, bytes)
    const entry = ++this.modules
    this.code.offer({ dsts: [CHILD], user, offers: [{ number: entry, hash, name: `m${entry}.js`, imports }], pushed: new Set(pushed) })
    const push = (): void => {
      if (pushed.length > 0) this.code.push(pushed, packTexts([bytes], QUICK))
    }
    if (!later) push()
    return { entry, push }
  }

  call(entry: number, name: string, args: unknown[] = [], options: Partial<CallRequest> = {}): Promise<unknown> {
    return new Promise((value, failed) => {
      const request: CallRequest = { dst: CHILD, entry, name, args, user: true, remoteError: errorFromWire, path: ['web1'], ...options }
      void new PendingCall(this.root, request, { value, failed, iterable: value })
    })
  }

  /** Ends both sides; resolves when the stub says that its process may end. */
  async close(): Promise<void> {
    this.link.sendNeighbour(TYPE.GOAWAY, new Uint8Array(0))
    await until(() => this.exits.length > 0)
    if (this.exits[0] !== 0) throw new Error(`the stub ended with ${this.exits[0]}`)
    this.root.close()
  }

  private neighbour(frame: Frame): void {
    if (frame.type !== TYPE.NEED) return
    const hashes = decodeNeed(frame.payload)
    this.needed.push(...hashes)
    this.code.push(hashes, packTexts(hashes.map((hash) => this.texts.get(hash) as Uint8Array), QUICK))
  }
}

/** Lets the event loop turn until something holds; the test's own time limit ends it. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise<void>((resolve) => setImmediate(resolve))
}
