import { type Frame, FrameReader } from '../router/frame.ts'
import type { Pipe, PipeSink } from '../router/pipe.ts'
import { TYPE } from '../router/protocol.ts'

const NAMES: string[] = []
for (const [name, number] of Object.entries(TYPE)) NAMES[number] = name

/** RAMET_TRACE=frames: one line per frame of this process's links on stderr, headers and sizes, never a payload. */
export function traced(pipe: Pipe, path: readonly string[]): Pipe {
  return process.env['RAMET_TRACE'] === 'frames' ? new TracePipe(pipe, path) : pipe
}

/** A pipe of a link, whose frames are read a second time: the engine itself carries no code for it. */
class TracePipe implements Pipe {
  private readonly pipe: Pipe
  private readonly path: string
  private readonly sent = new FrameReader()
  private readonly received = new FrameReader()

  constructor(pipe: Pipe, path: readonly string[]) {
    this.pipe = pipe
    this.path = path.join('>')
  }

  get pending(): number {
    return this.pipe.pending
  }

  start(sink: PipeSink): void {
    this.pipe.start({
      data: (bytes) => {
        this.show('<', this.received, bytes)
        sink.data(bytes)
      },
      drain: () => sink.drain(),
      closed: (cause) => sink.closed(cause),
    })
  }

  write(bytes: Uint8Array): void {
    this.show('>', this.sent, bytes)
    this.pipe.write(bytes)
  }

  pause(): void {
    this.pipe.pause()
  }

  resume(): void {
    this.pipe.resume()
  }

  end(): void {
    this.pipe.end()
  }

  close(): void {
    this.pipe.close()
  }

  private show(direction: '<' | '>', reader: FrameReader, bytes: Uint8Array): void {
    const line = ({ type, flags, dst, src, channel, payload }: Frame): void => {
      process.stderr.write(`${direction} ${this.path} ${NAMES[type]} flags=${flags} ${src}->${dst} #${channel} ${payload.length}\n`)
    }
    try {
      reader.push(bytes, line)
    } catch {
      // Bytes that are no frame cost the link, which says so itself.
    }
  }
}
