import type { Channel } from '../../src/router/channel.ts'
import type { Link } from '../../src/router/link.ts'
import { MAX_LINK, ROOT } from '../../src/router/protocol.ts'
import { Router, type RouterOwner } from '../../src/router/router.ts'
import { farRoute } from '../../src/controller/far-stem.ts'
import { memoryPipe, type MemoryPipe } from './memory-pipe.ts'
import { settle, TestClock } from './test-clock.ts'

const HOP = 2
const CHUNK = 32 * 1024

/** One direction of a stream between the root and a leaf. */
export interface Stream {
  wanted: number
  arrived: number
  reset: string | undefined
}

/** The root, a hop, and many leaves below it, with the budgets that a controller gives to contexts below a hop. */
export class WideTree {
  readonly clock = new TestClock()
  readonly root: Router
  readonly hop: Router
  /** The hop's end of the link to the root, and of those to the leaves. */
  readonly uplink: MemoryPipe
  readonly pipes: MemoryPipe[] = []
  readonly streams: Stream[] = []
  private readonly links: Link[] = []
  private readonly rootLink: Link
  private readonly all: MemoryPipe[]

  constructor(leaves: number) {
    const [a, b] = memoryPipe()
    this.uplink = b
    this.all = [a, b]
    this.root = new Router(this.owner(), { id: ROOT, clock: this.clock })
    this.hop = new Router(this.owner(), { id: HOP, clock: this.clock })
    this.rootLink = this.root.addLink(a, 'child', { path: ['hop'] }, HOP)
    this.links.push(this.hop.addLink(b, 'parent', { path: ['root'] }))
    for (let i = 0; i < leaves; i++) {
      const id = HOP + 1 + i
      const [c, d] = memoryPipe()
      this.pipes.push(c)
      this.all.push(c, d)
      this.links.push(this.hop.addLink(c, 'child', { path: ['leaf'] }, id))
      const leaf = new Router(this.owner((channel) => this.accept(channel)), { id, clock: this.clock })
      leaf.addLink(d, 'parent', { path: ['hop'] })
      this.root.addRoute(id, farRoute(this.rootLink, ['leaf'], MAX_LINK, i))
    }
  }

  /** Bytes that wait at the hop, in all directions. */
  get atHop(): number {
    return this.links.reduce((sum, { queued }) => sum + queued, 0)
  }

  /** Bytes that wait at the root. */
  get atRoot(): number {
    return this.rootLink.queued
  }

  /** Sends so many bytes to a leaf, which uses them up at once, in messages of `piece` bytes. */
  down(leaf: number, bytes: number, piece = CHUNK): Stream {
    const stream: Stream = { wanted: bytes, arrived: 0, reset: undefined }
    this.streams.push(stream)
    let left = bytes
    const channel = this.root.open(HOP + 1 + leaf, Buffer.from([this.streams.length - 1]), {
      message: () => {},
      end: () => {},
      reset: ({ code }) => (stream.reset = code),
      writable: () => pump(),
    }, false, false)
    const pump = (): void => {
      while (left > 0) {
        const size = Math.min(piece, left)
        left -= size
        if (!channel.send(new Uint8Array(size))) return
      }
    }
    pump()
    return stream
  }

  /** Has a leaf send so many bytes, which the root uses up at once. */
  up(leaf: number, bytes: number): Stream {
    const stream: Stream = { wanted: bytes, arrived: 0, reset: undefined }
    this.streams.push(stream)
    const request = Buffer.alloc(5)
    request[0] = 255
    request.writeUInt32BE(bytes, 1)
    const channel = this.root.open(HOP + 1 + leaf, request, {
      message: (message, credit) => {
        stream.arrived += message.length
        channel.consumed(credit)
      },
      end: () => {},
      reset: ({ code }) => (stream.reset = code),
    }, false, false)
    return stream
  }

  /** Turns of the event loop until these streams are whole; each turn is looked at. */
  async turns(streams: readonly Stream[], look: () => void = () => {}): Promise<number> {
    for (let turn = 1; turn < 20_000; turn++) {
      await settle(1)
      for (const pipe of this.all) pipe.written.length = 0
      look()
      if (streams.every(({ arrived, wanted }) => arrived === wanted)) return turn
    }
    throw new Error(`not whole: ${streams.map(({ arrived, reset }) => reset ?? arrived).join()}`)
  }

  private accept(channel: Channel): void {
    let stream: Stream | undefined
    channel.handler = {
      message: (message, credit) => {
        if (stream !== undefined) stream.arrived += message.length
        channel.consumed(credit)
      },
      end: () => {},
      reset: () => {},
      writable: () => pump(),
    }
    let left = 0
    const pump = (): void => {
      while (left > 0) {
        const size = Math.min(CHUNK, left)
        left -= size
        if (!channel.send(new Uint8Array(size))) return
      }
    }
    this.begin = (request) => {
      if (request[0] === 255) left = Buffer.from(request).readUInt32BE(1)
      else stream = this.streams[request[0] as number]
      pump()
    }
  }

  private begin: (request: Uint8Array) => void = () => {}

  private owner(opened?: (channel: Channel) => void): RouterOwner {
    const owner: RouterOwner = { neighbour: () => {}, lost: () => {}, refused: (text) => { throw new Error(text) } }
    if (opened !== undefined) {
      owner.opened = (channel, request) => {
        opened(channel)
        this.begin(request)
      }
    }
    return owner
  }
}
