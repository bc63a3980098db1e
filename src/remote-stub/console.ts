import { Writable } from 'node:stream'
import type { Clock } from '../base/clock.ts'
import { LineLog } from '../base/line-log.ts'
import type { RateLimit } from '../base/rate-limit.ts'
import type { Level } from '../router/protocol.ts'

/** ms after which an unfinished line is a line. */
const UNFINISHED = 100

/**
 * Makes records of what code prints on process.stdout and process.stderr. Node's own streams would not do: in a Worker they pile
 * up until it yields, which a loop never does, and on the main thread a slow network would block everything.
 */
export function captureConsole(clock: Clock, limit: RateLimit, print: (level: Level, source: string, text: string) => void): void {
  for (const [name, level, fd] of [['stdout', 'info', 1], ['stderr', 'warn', 2]] as const) {
    const lines = new LineLog(limit, (text) => print(level, name, text))
    let cancel: (() => void) | undefined
    const flush = (): void => {
      cancel = undefined
      lines.flush()
    }
    const stream = new Writable({
      write(chunk: Uint8Array, _encoding, done) {
        lines.take(chunk)
        cancel?.()
        cancel = lines.unfinished ? clock.after(UNFINISHED, flush) : undefined
        done()
      },
    })
    Object.defineProperty(process, name, { value: Object.assign(stream, { fd }), configurable: true, enumerable: true })
    process.on('exit', flush)
  }
}
