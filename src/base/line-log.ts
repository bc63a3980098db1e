import type { RateLimit } from './rate-limit.ts'

/** Characters of a line at most; a longer one comes in pieces. */
export const LINE = 8 * 1024

const NEWLINE = 10

/** Cuts printed bytes into lines and gives those to `line` that the limit lets pass. */
export class LineLog {
  private readonly limit: RateLimit
  private readonly line: (text: string) => void
  private decoder = new TextDecoder()
  private rest = ''

  constructor(limit: RateLimit, line: (text: string) => void) {
    this.limit = limit
    this.line = line
  }

  /** Whether a line has begun and not ended. */
  get unfinished(): boolean {
    return this.rest !== ''
  }

  take(bytes: Uint8Array): void {
    const from = this.limit.exhausted ? this.skip(bytes) : 0
    const lines = (this.rest + this.decoder.decode(from === 0 ? bytes : bytes.subarray(from), { stream: true })).split('\n')
    this.rest = lines.pop() as string
    for (const text of lines) this.pieces(text)
    if (this.rest.length > LINE) {
      const whole = this.rest.length - (this.rest.length % LINE)
      this.pieces(this.rest.slice(0, whole))
      this.rest = this.rest.slice(whole)
    }
  }

  /** Takes what there is of an unfinished line for a line. */
  flush(): void {
    const { rest } = this
    this.rest = ''
    if (rest !== '') this.pieces(rest)
  }

  private pieces(text: string): void {
    for (let at = 0; at === 0 || at < text.length; at += LINE) if (this.limit.pass()) this.line(text.slice(at, at + LINE))
  }

  /** In a flood lines are only counted, which costs far less than making them. Returns where the last one begins. */
  private skip(bytes: Uint8Array): number {
    let count = 0
    let from = 0
    for (let i = 0; i < bytes.length; i++) {
      if (bytes[i] !== NEWLINE) continue
      count++
      from = i + 1
    }
    if (count === 0) return 0
    this.limit.drop(count)
    this.rest = ''
    this.decoder = new TextDecoder()
    return from
  }
}
