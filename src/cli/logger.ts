import type { Logger } from 'pino'
import type { LogRecord } from './format/reporter.ts'

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const

/**
 * A logger for the controller that hands records to a format instead of writing them. It has what the controller calls of a pino
 * logger, its level methods: pino itself takes longer to load than a command on a near machine takes.
 */
export function recordLogger(level: string, write: (record: LogRecord) => void): Logger {
  const lowest = level === 'silent' ? LEVELS.length : Math.max(0, LEVELS.findIndex((name) => name === level))
  const methods = LEVELS.map((name, index) => [name, (fields: Record<string, unknown>, text: string): void => {
    if (index >= lowest) write(recordOf(name, fields, text))
  }])
  return { level, ...Object.fromEntries(methods) as object } as unknown as Logger
}

function recordOf(level: string, fields: Record<string, unknown>, text: string): LogRecord {
  const { context, dropped, err } = fields
  const cause = err instanceof Error ? `: ${err.message}` : ''
  const lost = typeof dropped === 'number' && dropped > 0 ? ` (${dropped} dropped)` : ''
  return { target: typeof context === 'string' ? context : undefined, level, message: `${text}${cause}${lost}` }
}
