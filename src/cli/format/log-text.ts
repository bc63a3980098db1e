import type { Paint } from './paint.ts'
import type { LogRecord } from './reporter.ts'
import { visible, visibleLine } from './escape.ts'

const LEVELS: Record<number, string> = { 10: 'trace', 20: 'debug', 30: 'info', 40: 'warn', 50: 'error', 60: 'fatal' }

/** A line as pino writes it, as a record. What is no such line is a record of its own. */
export function recordOf(line: string): LogRecord {
  const fields = parse(line)
  if (fields === undefined) return { target: undefined, level: 'info', message: line.trimEnd() }
  const { level, msg, context, dropped, err } = fields
  const target = typeof context === 'string' ? context : Array.isArray(context) ? context.join(' > ') : undefined
  const cause = typeof err === 'object' && err !== null && 'message' in err ? String(err.message) : undefined
  const lost = typeof dropped === 'number' && dropped > 0 ? ` (${dropped} dropped)` : ''
  const message = [typeof msg === 'string' ? msg : undefined, cause].filter((part) => part !== undefined && part !== '').join(': ') + lost
  return { target, level: LEVELS[Number(level)] ?? String(level), message }
}

/** A record for people: who, what if it is bad, and the text; further lines of it are indented. */
export function logText({ target, level, message }: LogRecord, paint: Paint): string {
  const who = visibleLine(target ?? 'ramet')
  const bad = level === 'warn' ? paint.odd('warn: ') : level === 'error' || level === 'fatal' ? paint.bad(`${level}: `) : ''
  const text = visible(message).replace(/\n$/, '').replaceAll('\n', `\n${' '.repeat(who.length)} | `)
  return `${paint.dim(`${who} |`)} ${bad}${text}\n`
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    const fields: unknown = JSON.parse(line)
    return typeof fields === 'object' && fields !== null && !Array.isArray(fields) ? fields as Record<string, unknown> : undefined
  } catch {
    return undefined
  }
}
