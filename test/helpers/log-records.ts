import type { Logger } from 'pino'

export interface LogRecord {
  level: string
  fields: Record<string, unknown>
  text: string
}

/** A logger that keeps what it is given, and lets a test wait for a record. */
export class LogRecords {
  readonly all: LogRecord[] = []
  private waiting: (() => void)[] = []

  get logger(): Logger {
    const write = (level: string) => (fields: Record<string, unknown>, text: string): void => {
      this.all.push({ level, fields, text })
      for (const look of this.waiting.splice(0)) look()
    }
    return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') } as unknown as Logger
  }

  /** The first record, past or to come, that `wanted` accepts. */
  async first(wanted: (record: LogRecord) => boolean): Promise<LogRecord> {
    for (;;) {
      const found = this.all.find(wanted)
      if (found !== undefined) return found
      await new Promise<void>((look) => this.waiting.push(look))
    }
  }
}
