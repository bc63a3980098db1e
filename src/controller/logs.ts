import type { Logger } from 'pino'
import type { Clock } from '../base/clock.ts'
import { LINE, LineLog } from '../base/line-log.ts'
import { RateLimit } from '../base/rate-limit.ts'
import type { Channel } from '../router/channel.ts'
import { decode } from '../router/codec.ts'
import { LEVEL, type Level } from '../router/protocol.ts'
import { remapStack, type SourceLookup } from './stacks.ts'

/** Records per second and context, and how many at once; the rest is counted. */
const RATE = 4000

/** Where the controller writes what happens in its tree. The default logger is made with its first record: pino takes 20 ms. */
export class LogBook {
  private readonly given: Logger | undefined
  private made: Promise<Logger> | undefined

  constructor(logger: Logger | undefined) {
    this.given = logger
  }

  /** Control characters in the text are shown: it may hold words of a target. */
  write(level: Level, fields: Record<string, unknown>, words: string): void {
    const text = escapeControls(words)
    if (this.given !== undefined) {
      try {
        this.given[level](fields, text)
      } catch (error) {
        // The program's own uncaught error, and no fault of the target whose frame we are reading.
        process.nextTick(() => {
          throw error
        })
      }
      return
    }
    // Without a logger only what needs a person's attention is shown.
    if (LEVEL[level] < LEVEL.warn) return
    this.made ??= import('pino').then(({ pino }) => pino({ level: 'warn', name: 'ramet' }, pino.destination({ fd: 2, sync: true })))
    void this.made.then((logger) => logger[level](fields, text))
  }
}

const NAMES = new Map<number, Level>(Object.entries(LEVEL).map(([name, number]) => [number, name as Level]))

/** The records of one context: those that its stub sends, and whatever else came out of the session (login scripts, grandchildren). */
export class ContextLog {
  private readonly book: LogBook
  private readonly context: string
  private readonly limit: RateLimit
  private readonly lines: LineLog
  private readonly sources: SourceLookup
  /** What its stub sends them over: stays until the stub has ended, which may have some left when it is told to. */
  channel: Channel | undefined

  /** `sources` are the modules whose stacks it may hold. */
  constructor(book: LogBook, path: readonly string[], clock: Clock, sources: SourceLookup = () => undefined) {
    this.book = book
    this.sources = sources
    this.context = path.join(' > ')
    this.limit = new RateLimit(clock, RATE, (dropped) => book.write('warn', { context: this.context, dropped }, 'lines were dropped'))
    this.lines = new LineLog(this.limit, (text) => {
      if (text !== '' && text !== '\r') this.write('info', { source: 'output' }, text.endsWith('\r') ? text.slice(0, -1) : text, 0)
    })
  }

  /** A record as it came over the log channel. */
  record(bytes: Uint8Array): void {
    const content = decode(bytes)
    if (!Array.isArray(content)) return
    const [time, level, source, text, dropped, more] = content as unknown[]
    if (typeof text !== 'string' || typeof source !== 'string') return
    const name = (typeof level === 'number' ? NAMES.get(level) : undefined) ?? 'info'
    const missing = typeof dropped === 'number' && dropped > 0 ? dropped : 0
    // A stub keeps to its own limit, which is half of ours; what does not is no stub of ours.
    if (!this.limit.pass()) {
      this.limit.drop(missing)
      return
    }
    const remoteTime = typeof time === 'number' ? time : undefined
    // Of an error that nobody caught, or that code printed, this is the only stack that anybody gets.
    const words = text.slice(0, 2 * LINE)
    this.write(name, { ...fieldsOf(more), source: escapeControls(source.slice(0, 32)), remoteTime }, words.includes('ramet:/') ? remapStack(words, this.sources) : words, missing)
  }

  /** Something that we have to say of the context, however often it makes us. */
  event(level: Level, text: string): void {
    if (this.limit.pass()) this.write(level, {}, text, 0)
  }

  /** Bytes that came beside the frames. */
  stray(bytes: Uint8Array): void {
    this.lines.take(bytes)
  }

  /** What is left of an unfinished line, and of the count of dropped ones. */
  close(): void {
    this.lines.flush()
    this.limit.close()
  }

  private write(level: Level, fields: Record<string, unknown>, text: string, dropped: number): void {
    const missing = dropped + this.limit.take()
    this.book.write(level, { ...fields, context: this.context, ...(missing > 0 ? { dropped: missing } : {}) }, text)
  }
}

/** What remote code gave to a record besides its text. Nobody's JSON: nothing in it is believed, and control characters are shown. */
function fieldsOf(json: unknown): Record<string, unknown> {
  if (typeof json !== 'string' || json.length > LINE) return {}
  try {
    const shown = (key: string, value: unknown): unknown => (escapeControls(key) !== key ? undefined : typeof value === 'string' ? escapeControls(value) : value)
    const fields: unknown = JSON.parse(json, shown)
    return typeof fields === 'object' && fields !== null && !Array.isArray(fields) ? (fields as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

/** Makes control characters visible, so that no target can steer a terminal or forge a line of the log. Tabs stay. */
export function escapeControls(text: string): string {
  return text.replace(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u2028\u2029]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
}
