import type { Logger } from 'pino'
import { decode } from '../router/codec.ts'
import { LEVEL, type Level } from '../router/protocol.ts'

/** Lines per second and context that stray output may write into the log; the rest is counted. */
const RATE = 2000
const LINE = 8 * 1024

/** Where the controller writes what happens in its tree. The default logger is made with its first record: pino takes 20 ms. */
export class LogBook {
  private readonly given: Logger | undefined
  private made: Promise<Logger> | undefined

  constructor(logger: Logger | undefined) {
    this.given = logger
  }

  write(level: Level, fields: Record<string, unknown>, text: string): void {
    if (this.given !== undefined) {
      this.given[level](fields, text)
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
  private readonly path: readonly string[]
  private readonly now: () => number
  private readonly decoder = new TextDecoder()
  private rest = ''
  private allowance = RATE
  private since: number
  private dropped = 0

  constructor(book: LogBook, path: readonly string[], now: () => number) {
    this.book = book
    this.path = path
    this.now = now
    this.since = now()
  }

  /** A record as it came over the log channel. */
  record(bytes: Uint8Array): void {
    const content = decode(bytes)
    if (!Array.isArray(content)) return
    const [time, level, source, text, dropped, more] = content as unknown[]
    if (typeof text !== 'string' || typeof source !== 'string') return
    const name = (typeof level === 'number' ? NAMES.get(level) : undefined) ?? 'info'
    const fields: Record<string, unknown> = { ...fieldsOf(more), context: this.path.join(' > '), source, remoteTime: time }
    if (typeof dropped === 'number' && dropped > 0) fields['dropped'] = dropped
    this.book.write(name, fields, escapeControls(text))
  }

  /** Bytes that came beside the frames. */
  stray(bytes: Uint8Array): void {
    this.rest += this.decoder.decode(bytes, { stream: true })
    const lines = this.rest.split('\n')
    this.rest = (lines.pop() as string).slice(0, LINE)
    for (const line of lines) if (line !== '') this.line(line)
  }

  /** What is left of an unfinished line, and of the count of dropped ones. */
  close(): void {
    if (this.rest !== '') this.line(this.rest)
    this.rest = ''
    if (this.dropped > 0) this.book.write('warn', { context: this.path.join(' > '), dropped: this.dropped }, 'lines were dropped')
    this.dropped = 0
  }

  private line(line: string): void {
    const now = this.now()
    this.allowance = Math.min(RATE, this.allowance + ((now - this.since) * RATE) / 1000)
    this.since = now
    if (this.allowance < 1) {
      this.dropped++
      return
    }
    this.allowance--
    const fields: Record<string, unknown> = { context: this.path.join(' > '), source: 'output' }
    if (this.dropped > 0) fields['dropped'] = this.dropped
    this.dropped = 0
    this.book.write('info', fields, escapeControls(line.slice(0, LINE)))
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
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u2028\u2029]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
}
