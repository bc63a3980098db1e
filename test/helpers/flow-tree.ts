import type { Channel, ChannelHandler } from '../../src/router/channel.ts'
import type { RametError } from '../../src/router/errors.ts'
import type { Link } from '../../src/router/link.ts'
import { INITIAL_CREDIT, MAX_QUEUED, MAX_WINDOW, ROOT } from '../../src/router/protocol.ts'
import { Router } from '../../src/router/router.ts'
import { memoryPipe, type MemoryPipe } from './memory-pipe.ts'
import { settle, TestClock } from './test-clock.ts'

/** What is sent on one channel. Sizes in bytes. */
export interface Plan {
  /** How many links away its far end is: 1 or 2. */
  distance: number
  opening: number
  /** Messages down, and the size of the END behind them; undefined: OPEN says that nothing follows. */
  down: number[] | undefined
  downEnd: number
  up: number[]
  upEnd: number
  /** Both ends stay idle, and read nothing, until finish(). */
  lingers: boolean
}

/** One direction of a channel as its reader sees it: everything that came, checked, and what was not used up yet. */
class Inbox {
  eager = false
  received = 0
  unread: { size: number; credit: number }[] = []
  ended = false
  /** Messages that were not the next ones of the plan, or not the bytes that were sent. */
  readonly wrong: string[] = []
  channel: Channel | undefined
  private readonly sizes: readonly number[]
  private readonly seed: number

  constructor(sizes: readonly number[], seed: number) {
    this.sizes = sizes
    this.seed = seed
  }

  message(bytes: Uint8Array, credit: number): void {
    this.check(bytes)
    this.unread.push({ size: bytes.length, credit })
    if (this.eager) this.read()
  }

  end(bytes: Uint8Array): void {
    this.check(bytes)
    if (this.ended) this.wrong.push('a second end')
    this.ended = true
    if (this.received !== this.sizes.length) this.wrong.push(`ended after ${this.received} of ${this.sizes.length} messages`)
  }

  read(most = Infinity): void {
    for (const { credit } of this.unread.splice(0, most)) this.channel?.consumed(credit)
  }

  private check(bytes: Uint8Array): void {
    const number = this.received++
    if (this.ended) this.wrong.push(`message ${number} after the end`)
    if (bytes.length !== this.sizes[number]) this.wrong.push(`message ${number} has ${bytes.length} bytes, not ${this.sizes[number]}`)
    else if (Buffer.compare(bytes, content(bytes.length, this.seed + number)) !== 0) this.wrong.push(`message ${number} holds other bytes`)
  }
}

/** Sends the messages of a plan as fast as its channel takes them. */
class Outbox {
  channel: Channel | undefined
  blocked = false
  sent = 0
  private readonly sizes: readonly number[]
  private readonly seed: number
  private readonly mayEnd: () => boolean

  /** The last size is that of the END, which waits for `mayEnd`. */
  constructor(sizes: readonly number[], seed: number, mayEnd: () => boolean) {
    this.sizes = sizes
    this.seed = seed
    this.mayEnd = mayEnd
  }

  pump(): void {
    while (!this.blocked && this.channel?.state === 'open') {
      const size = this.sizes[this.sent] as number
      const last = this.sent === this.sizes.length - 1
      if (last && !this.mayEnd()) return
      const message = content(size, this.seed + this.sent++)
      if (last) this.channel.end(message)
      else this.blocked = !this.channel.send(message)
    }
  }

  writable(): void {
    this.blocked = false
    this.pump()
  }
}

/** A channel under way, seen from both of its ends. */
export class Conversation {
  readonly plan: Plan
  readonly down: Inbox
  readonly up: Inbox
  readonly opener: Outbox
  readonly acceptor: Outbox
  /** What ended it otherwise than in order. */
  error: RametError | undefined
  finishing = false
  accepted = 0

  constructor(plan: Plan, index: number) {
    this.plan = plan
    const down = plan.down === undefined ? [plan.opening] : [plan.opening, ...plan.down, plan.downEnd]
    const up = [...plan.up, plan.upEnd]
    const mayEnd = (): boolean => this.finishing || !plan.lingers
    this.down = new Inbox(down, index)
    this.up = new Inbox(up, index + 100)
    // The opening itself was sent by open().
    this.opener = new Outbox(down, index, mayEnd)
    this.opener.sent = 1
    this.acceptor = new Outbox(up, index + 100, () => mayEnd() && (plan.down === undefined || this.down.ended))
  }

  get over(): boolean {
    return this.up.ended || this.error !== undefined
  }

  get wrong(): string[] {
    return [...this.down.wrong, ...this.up.wrong]
  }

  eager(): void {
    for (const inbox of [this.down, this.up]) {
      inbox.eager = true
      inbox.read()
    }
    this.opener.pump()
    this.acceptor.pump()
  }
}

/** The root, a hop and a leaf in memory, on channels that carry plans. */
export class FlowTree {
  readonly clock = new TestClock()
  readonly conversations: Conversation[] = []
  readonly refused: string[] = []
  readonly lost: RametError[] = []
  readonly routers: Router[]
  /** Both ends of the link of the root, then of the hop's to the leaf. */
  readonly pipes: MemoryPipe[]
  readonly links: Link[]
  private readonly budget: number

  constructor(budget: number) {
    this.budget = budget
    const [a, b] = memoryPipe()
    const [c, d] = memoryPipe()
    this.pipes = [a, b, c, d]
    const [root, hop, leaf] = [this.router(ROOT), this.router(2), this.router(3)]
    this.routers = [root, hop, leaf]
    const down = root.addLink(a, 'child', { path: ['hop'], budget }, 2)
    root['routes'].set(3, down)
    this.links = [
      down,
      hop.addLink(b, 'parent', { path: ['root'] }),
      hop.addLink(c, 'child', { path: ['leaf'] }, 3),
      leaf.addLink(d, 'parent', { path: ['hop'] }),
    ]
  }

  get root(): Router {
    return this.routers[0] as Router
  }

  open(plan: Plan): Conversation {
    const index = this.conversations.length
    const conversation = new Conversation(plan, index)
    this.conversations.push(conversation)
    const handler: ChannelHandler = {
      message: (bytes, credit) => conversation.up.message(bytes, credit),
      end: (bytes) => conversation.up.end(bytes),
      reset: (error) => (conversation.error = error),
      writable: () => conversation.opener.writable(),
    }
    try {
      const channel = this.root.open(plan.distance + 1, content(plan.opening, index), handler, plan.down === undefined, false)
      conversation.opener.channel = channel
      conversation.up.channel = channel
      conversation.opener.blocked = channel.queued > 0
      conversation.opener.pump()
    } catch (error) {
      conversation.error = error as RametError
    }
    return conversation
  }

  /** What must hold at every moment. */
  violations(): string[] {
    const found = [...this.refused, ...this.conversations.flatMap(({ wrong }) => wrong)]
    for (const link of this.links) {
      for (const budget of [link.down, link.up]) {
        if (budget.used < 0 || budget.used > this.budget && link === this.links[0]) found.push(`${budget.used} bytes of a budget are in use`)
      }
      if (link.queued > MAX_QUEUED) found.push(`${link.queued} bytes are queued`)
    }
    for (const { down, up } of this.conversations) {
      for (const { unread, channel } of [down, up]) {
        // One message may be larger than the room that it began in.
        const bytes = unread.reduce((sum, one) => sum + one.size, 0) - Math.max(0, ...unread.map((one) => one.size))
        const most = Math.min(channel?.['window']?.size ?? INITIAL_CREDIT, MAX_WINDOW)
        if (bytes > most) found.push(`a reader was made to keep ${bytes} bytes, with a window of ${most}`)
      }
    }
    return found
  }

  release(): void {
    for (const pipe of this.pipes) pipe.release()
  }

  /** Lets everything run until `done`, or nothing happens any more. */
  async run(done: () => boolean, turns = 3000): Promise<boolean> {
    for (let turn = 0; turn < turns && !done(); turn += 10) {
      await settle(10)
      for (const pipe of this.pipes) pipe.written.length = 0
    }
    return done()
  }

  get leftovers(): Record<string, number> {
    const [link] = this.links
    return {
      channels: this.routers.reduce((sum, router) => sum + router.openChannels, 0),
      timers: this.clock.pending,
      down: link?.down.used ?? 0,
      up: link?.up.used ?? 0,
      process: this.root['budget'].used,
      waiting: (link?.down['waiting'].size ?? 0) + (link?.up['waiting'].size ?? 0),
      queued: this.links.reduce((sum, { queued }) => sum + queued, 0),
    }
  }

  private router(id: number): Router {
    return new Router(
      {
        opened: (channel, message) => this.accept(channel, message),
        neighbour: () => {},
        lost: (_link, cause) => this.lost.push(cause),
        refused: (text) => this.refused.push(text),
      },
      { id, clock: this.clock },
    )
  }

  private accept(channel: Channel, message: Uint8Array): void {
    // Numbers are given out in order, and none is given twice in so short a test.
    const conversation = this.conversations.find(({ opener }) => opener.channel?.id === channel.id)
    if (conversation === undefined) {
      channel.reset('protocol-error')
      return
    }
    conversation.accepted++
    conversation.down.channel = channel
    conversation.acceptor.channel = channel
    channel.handler = {
      message: (bytes, credit) => conversation.down.message(bytes, credit),
      end: (bytes) => {
        // An OPEN with FIN has been checked as the opening already.
        if (conversation.plan.down !== undefined) conversation.down.end(bytes)
        conversation.acceptor.pump()
      },
      reset: () => {},
      writable: () => conversation.acceptor.writable(),
    }
    // The opening is used up by the engine.
    conversation.down.message(message, 0)
    conversation.down.unread = []
    conversation.acceptor.pump()
  }
}

export const NOTHING_UNDER_WAY = { channels: 0, timers: 0, down: 0, up: 0, process: 0, waiting: 0, queued: 0 }

function content(size: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(size).fill(seed & 0xff)
  // Enough to tell pieces in a wrong order: each 4 KiB begins with its number.
  for (let at = 0; at + 4 < size; at += 4096) bytes[at] = at >> 12
  return bytes
}
