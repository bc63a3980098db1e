import type { Paint } from './paint.ts'
import type { LogRecord } from './reporter.ts'
import { visible, visibleLine } from './escape.ts'

/** A record for people: who, what if it is bad, and the text; further lines of it are indented. */
export function logText({ target, level, message }: LogRecord, paint: Paint): string {
  const who = visibleLine(target ?? 'ramet')
  const bad = level === 'warn' ? paint.odd('warn: ') : level === 'error' || level === 'fatal' ? paint.bad(`${level}: `) : ''
  const text = visible(message).replace(/\n$/, '').replaceAll('\n', `\n${' '.repeat(who.length)} | `)
  return `${paint.dim(`${who} |`)} ${bad}${text}\n`
}
