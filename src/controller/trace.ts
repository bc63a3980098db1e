import { type Frame, FrameReader } from '../router/frame.ts'
import type { Pipe, PipeSink } from '../router/pipe.ts'
import { PipeAround } from '../router/pipe-around.ts'
import { TYPE } from '../router/protocol.ts'

const NAMES: string[] = []
for (const [name, number] of Object.entries(TYPE)) NAMES[number] = name

/** RAMET_TRACE=frames: one line per frame of this process's links on stderr, headers and sizes, never a payload. */
export function traced(pipe: Pipe, path: readonly string[]): Pipe {
  return process.env['RAMET_TRACE'] === 'frames' ? new TracePipe(pipe, path) : pipe
}

/** A pipe of a link, whose frames are read a second time: the engine itself carries no code for it. */
class TracePipe extends PipeAround {
  private readonly path: string
  private readonly sent = new FrameReader()
  private readonly came = new FrameReader()

  constructor(pipe: Pipe, path: readonly string[]) {
    super(pipe)
    this.path = path.join('>')
  }

  override write(bytes: Uint8Array): void {
    this.show('>', this.sent, bytes)
    super.write(bytes)
  }

  protected override received(bytes: Uint8Array, sink: PipeSink): void {
    this.show('<', this.came, bytes)
    super.received(bytes, sink)
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
