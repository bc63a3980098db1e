import type { Channel } from '../router/channel.ts'
import { encode } from '../router/codec.ts'
import { LEVEL, type Level } from '../router/protocol.ts'

/** Records kept while nobody listens or the listener is slow; beyond, they are counted and dropped. */
const KEPT = 1000
/** Lines per second that leave at most, and how many at once: a flood must not take the link. */
const RATE = 2000
const LINE = 8 * 1024

/** The log of a context: records that go to the controller, in order, at a bounded rate, with a count of what was dropped. */
export class LogSender {
  private channel: Channel | undefined
  private early: Uint8Array[] = []
  private dropped = 0
  private allowance = RATE
  private since: number
  private readonly now: () => number
  private blocked = false

  constructor(now: () => number) {
    this.now = now
    this.since = now()
  }

  /** The controller listens from now on. */
  attach(channel: Channel): void {
    this.channel = channel
    channel.handler = {
      message: (_bytes, credit) => channel.consumed(credit),
      end: () => {},
      reset: () => (this.channel = undefined),
      writable: () => (this.blocked = false),
    }
    const early = this.early
    this.early = []
    for (const message of early) this.blocked = !channel.send(message)
  }

  /** One record. `source` says where it came from: 'log', 'stdout', 'stderr', 'ramet'. `fields` is JSON; too much of it is left out. */
  write(level: Level, source: string, text: string, fields?: string): void {
    if (!this.allowed()) {
      this.dropped++
      return
    }
    const cut = text.length > LINE ? `${text.slice(0, LINE)}...` : text
    const record = [Date.now(), LEVEL[level], source, cut, this.dropped]
    if (fields !== undefined) record.push(fields.length > LINE ? '{"fields":"too long"}' : fields)
    const message = encode(record)
    this.dropped = 0
    if (this.channel === undefined) this.early.push(message)
    else this.blocked = !this.channel.send(message)
  }

  private allowed(): boolean {
    if (this.blocked || (this.channel === undefined && this.early.length >= KEPT)) return false
    const now = this.now()
    this.allowance = Math.min(RATE, this.allowance + ((now - this.since) * RATE) / 1000)
    this.since = now
    if (this.allowance < 1) return false
    this.allowance--
    return true
  }
}

/** Turns chunks of text into lines and gives each to `line`; the unfinished rest waits, up to a bound. */
export function lineSplitter(line: (text: string) => void): (chunk: Uint8Array) => void {
  let rest = ''
  const decoder = new TextDecoder()
  return (chunk) => {
    rest += decoder.decode(chunk, { stream: true })
    const lines = rest.split('\n')
    rest = lines.pop() as string
    for (const text of lines) line(text)
    if (rest.length > LINE) {
      line(rest)
      rest = ''
    }
  }
}
