import type { Frame } from './frame.ts'
import { TYPE } from './protocol.ts'

const NAMES: string[] = []
for (const [name, number] of Object.entries(TYPE)) NAMES[number] = name

/** RAMET_TRACE=frames: one line per frame on stderr, headers and sizes, never a payload. */
export class FrameTrace {

  /** Undefined when the environment does not ask for it: the hot path then costs one comparison. */
  static fromEnvironment(): FrameTrace | undefined {
    return process.env['RAMET_TRACE'] === 'frames' ? new FrameTrace() : undefined
  }

  frame(direction: '<' | '>', path: readonly string[], frame: Frame): void {
    const { type, flags, dst, src, channel, payload } = frame
    const line = `${direction} ${path.join('>')} ${NAMES[type]} flags=${flags} ${src}->${dst} #${channel} ${payload.length}\n`
    process.stderr.write(line)
  }
}
