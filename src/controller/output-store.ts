import { StringDecoder } from 'node:string_decoder'
import type { ExecResult } from './api.ts'

type Stream = 'stdout' | 'stderr'

/**
 * What a command printed: the bytes of both streams in order of arrival, in one buffer that grows (many small pieces would
 * cost far more than their bytes), and where each run of one stream begins.
 */
export class OutputStore {
  private buffer = Buffer.alloc(0)
  private length = 0
  private readonly runs: { stream: Stream; start: number }[] = []
  private readonly limit: number
  truncated = false

  /** `limit`: bytes of both streams together that are kept. */
  constructor(limit: number) {
    this.limit = limit
  }

  add(stream: Stream, bytes: Uint8Array): void {
    const room = this.limit - this.length
    const kept = bytes.length > room ? bytes.subarray(0, room) : bytes
    if (kept.length < bytes.length) this.truncated = true
    if (kept.length === 0) return
    if (this.runs.at(-1)?.stream !== stream) this.runs.push({ stream, start: this.length })
    this.reserve(this.length + kept.length)
    this.buffer.set(kept, this.length)
    this.length += kept.length
  }

  result(end: { exitCode: number | null; signal: string | null; duration: number }, encoding: 'utf8' | 'buffer'): ExecResult<string | Buffer> {
    const output = encoding === 'buffer' ? this.bytes() : this.text()
    const { exitCode, signal, duration } = end
    const all = (stream: Stream) => {
      const parts = output.filter((run) => run.stream === stream).map((run) => run.data)
      return encoding === 'buffer' ? Buffer.concat(parts as Buffer[]) : parts.join('')
    }
    return { stdout: all('stdout'), stderr: all('stderr'), output, exitCode, signal, truncated: this.truncated, duration }
  }

  /** The last line of stderr that holds anything, for a message. */
  lastErrorLine(): string {
    const parts = this.bytes().filter((run) => run.stream === 'stderr').slice(-8).map((run) => run.data)
    const tail = Buffer.concat(parts).subarray(-4096).toString('utf8')
    return tail.split('\n').map((line) => line.trim()).filter((line) => line !== '').at(-1) ?? ''
  }

  private bytes(): { stream: Stream; data: Buffer }[] {
    return this.runs.map((run, i) => ({ stream: run.stream, data: this.buffer.subarray(run.start, this.runs[i + 1]?.start ?? this.length) }))
  }

  /** A character cut in two by the other stream's output stands whole in the later run. */
  private text(): { stream: Stream; data: string }[] {
    const decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') }
    const output = this.bytes().map((run) => ({ stream: run.stream, data: decoders[run.stream].write(run.data) }))
    for (const stream of ['stdout', 'stderr'] as const) {
      const rest = decoders[stream].end()
      // Half a character at the end of what was kept is our doing when more had come.
      if (rest === '' || this.truncated) continue
      const last = output.filter((run) => run.stream === stream).at(-1)
      if (last !== undefined) last.data += rest
    }
    return output.filter((run) => run.data !== '')
  }

  private reserve(size: number): void {
    if (size <= this.buffer.length) return
    const larger = Buffer.alloc(Math.min(Math.max(size, this.buffer.length * 2, 1024), Math.max(this.limit, size)))
    larger.set(this.buffer.subarray(0, this.length))
    this.buffer = larger
  }
}
