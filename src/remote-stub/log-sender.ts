import type { Clock } from '../base/clock.ts'
import { LINE } from '../base/line-log.ts'
import { RateLimit } from '../base/rate-limit.ts'
import type { Channel } from '../router/channel.ts'
import { encode } from '../router/codec.ts'
import { LEVEL, type Level } from '../router/protocol.ts'

/** Records kept while nobody listens; beyond, they are counted and dropped. */
const KEPT = 1000
/** Bytes that wait for a listener that is slow; beyond, records are counted and dropped. */
const BACKLOG = 256 * 1024
/** Records per second that leave at most, and how many at once: a flood must not take the link. */
export const LOG_RATE = 2000
/** What is said of dropped records when nothing follows them. */
export const DROPPED = 'lines were dropped'

/** The log of a context: records that go to the controller, in order, at a bounded rate, with a count of what was dropped. */
export class LogSender {
  private channel: Channel | undefined
  private early: Uint8Array[] = []
  /** Bytes sent since the channel last had credit to spare. */
  private backlog = 0
  readonly limit: RateLimit

  constructor(clock: Clock) {
    this.limit = new RateLimit(clock, LOG_RATE, (dropped) => this.write('warn', 'ramet', DROPPED, undefined, dropped))
  }

  /** The controller listens from now on. */
  attach(channel: Channel): void {
    this.channel = channel
    channel.handler = {
      message: (_bytes, credit) => channel.consumed(credit),
      end: () => {},
      reset: () => (this.channel = undefined),
      writable: () => (this.backlog = 0),
    }
    const early = this.early
    this.early = []
    for (const message of early) this.pass(channel, message)
  }

  /**
   * One record. `source` says where it came from: 'log', 'stdout', 'stderr', 'ramet'. `fields` is JSON; too much of it is left
   * out. `dropped`: how many before it are missing.
   */
  write(level: Level, source: string, text: string, fields?: string, dropped = 0): void {
    this.limit.drop(dropped)
    if (this.limit.pass()) this.send(level, source, text, fields)
  }

  /** The same when the limit has been asked already. */
  send(level: Level, source: string, text: string, fields?: string): void {
    if (this.backlog > BACKLOG || (this.channel === undefined && this.early.length >= KEPT)) {
      this.limit.drop(1)
      return
    }
    const cut = text.length > LINE ? `${text.slice(0, LINE)}...` : text
    const record = [Date.now(), LEVEL[level], source, cut, this.limit.take()]
    if (fields !== undefined) record.push(fields.length > LINE ? '{"fields":"too long"}' : fields)
    const message = encode(record)
    if (this.channel === undefined) this.early.push(message)
    else this.pass(this.channel, message)
  }

  /** We are ending: says how much was dropped of late. What was said may still wait for credit. */
  leave(): void {
    const record = [Date.now(), LEVEL.warn, 'ramet', DROPPED, this.limit.take()]
    if (this.channel !== undefined && record[4] !== 0) this.pass(this.channel, encode(record))
  }

  /** Bytes without credit. */
  get waiting(): number {
    return this.channel?.queued ?? 0
  }

  /** To be short of credit is nothing unusual: the way may be needed for something else. */
  private pass(channel: Channel, message: Uint8Array): void {
    this.backlog = channel.send(message) ? 0 : this.backlog + message.length
  }
}
