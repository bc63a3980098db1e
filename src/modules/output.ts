import { EXEC_CHUNK } from '../connect/command.ts'
import type { ServiceChannel } from './service.ts'

/** Milliseconds that output may wait for more, and for the command's end: most commands say what they have to say, and end. */
const WAIT = 5
/** Bytes that may wait. */
const MOST = EXEC_CHUNK

/**
 * What a command prints, on its way into the channel. Where nobody looks before the command has ended, all of it leaves
 * together with the end, in one packet, unless it is much or takes long.
 */
export class Output {
  private readonly channel: ServiceChannel
  private readonly live: boolean
  private readonly full: () => void
  private waiting: { tag: number; bytes: Buffer }[] = []
  private size = 0
  private timer: ReturnType<typeof setTimeout> | undefined

  /** `full` is called when the channel takes no more: go on after its onWritable. */
  constructor(channel: ServiceChannel, live: boolean, full: () => void) {
    this.channel = channel
    this.live = live
    this.full = full
  }

  add(tag: number, bytes: Buffer): void {
    this.waiting.push({ tag, bytes })
    this.size += bytes.length
    if (this.live || this.size >= MOST) this.flush()
    else this.timer ??= setTimeout(() => this.flush(), WAIT)
  }

  /** Sends what waits, pieces of one stream joined. */
  flush(): void {
    const all = this.waiting
    this.drop()
    let more = true
    for (let from = 0, to = 0; from < all.length; from = to) {
      const { tag } = all[from] as { tag: number }
      while (to < all.length && all[to]?.tag === tag) to += 1
      more = this.send(tag, all.slice(from, to).map(({ bytes }) => bytes))
    }
    if (!more) this.full()
  }

  /** Forgets what waits. */
  drop(): void {
    this.waiting = []
    this.size = 0
    if (this.timer !== undefined) clearTimeout(this.timer)
    this.timer = undefined
  }

  private send(tag: number, pieces: Buffer[]): boolean {
    const bytes = pieces.length === 1 ? pieces[0] as Buffer : Buffer.concat(pieces)
    let more = true
    for (let at = 0; at < bytes.length; at += EXEC_CHUNK) {
      const part = bytes.subarray(at, at + EXEC_CHUNK)
      const message = Buffer.allocUnsafe(part.length + 1)
      message[0] = tag
      message.set(part, 1)
      more = this.channel.send(message)
    }
    return more
  }
}
