import { RametError } from './errors.ts'
import { type FrameType, HEADER_SIZE, MAGIC, MAX_FRAME, TYPE } from './protocol.ts'

export interface Frame {
  type: FrameType
  flags: number
  /** On OPEN: 2^window bytes of credit for the answer, 0 for none. */
  window: number
  dst: number
  src: number
  channel: number
  payload: Uint8Array
}

const KNOWN: boolean[] = []
for (const type of Object.values(TYPE)) KNOWN[type] = true

/** Writes the header and payload of a frame at `at`; the target has room for HEADER_SIZE + payload.length bytes. */
export function writeFrame(
  into: Uint8Array,
  at: number,
  type: FrameType,
  flags: number,
  window: number,
  dst: number,
  src: number,
  channel: number,
  payload: Uint8Array,
): void {
  into[at] = MAGIC
  into[at + 1] = type
  into[at + 2] = flags
  into[at + 3] = window
  writeU32(into, at + 4, payload.length)
  writeU32(into, at + 8, dst)
  writeU32(into, at + 12, src)
  writeU32(into, at + 16, channel)
  into.set(payload, at + HEADER_SIZE)
}

export function encodeFrame(frame: Frame): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE + frame.payload.length)
  writeFrame(bytes, 0, frame.type, frame.flags, frame.window, frame.dst, frame.src, frame.channel, frame.payload)
  return bytes
}

/**
 * Cuts a byte stream into frames. Payloads are views on the chunks (or on a joined copy where a frame spans two).
 * A wrong magic byte, an unknown type or a length beyond MAX_FRAME throws before anything is allocated for it.
 */
export class FrameReader {
  private rest: Uint8Array | undefined

  /** Calls `deliver` for every complete frame. Throws RametError 'protocol-error' or 'frame-too-large'. */
  push(chunk: Uint8Array, deliver: (frame: Frame) => void): void {
    let bytes = chunk
    if (this.rest !== undefined) {
      bytes = new Uint8Array(this.rest.length + chunk.length)
      bytes.set(this.rest)
      bytes.set(chunk, this.rest.length)
      this.rest = undefined
    }
    let at = 0
    while (bytes.length - at >= HEADER_SIZE) {
      if (bytes[at] !== MAGIC) throw junk(bytes, at)
      const type = bytes[at + 1] as number
      const length = readU32(bytes, at + 4)
      if (length > MAX_FRAME - HEADER_SIZE) {
        throw new RametError('frame-too-large', `a frame of ${length} bytes was announced; the limit is ${MAX_FRAME}`)
      }
      if (!KNOWN[type]) throw new RametError('protocol-error', `a frame of unknown type ${type} came over the link`)
      const end = at + HEADER_SIZE + length
      if (end > bytes.length) break
      deliver({
        type: type as FrameType,
        flags: bytes[at + 2] as number,
        window: bytes[at + 3] as number,
        dst: readU32(bytes, at + 8),
        src: readU32(bytes, at + 12),
        channel: readU32(bytes, at + 16),
        payload: bytes.subarray(at + HEADER_SIZE, end),
      })
      at = end
    }
    if (at < bytes.length) {
      if (bytes[at] !== MAGIC) throw junk(bytes, at)
      this.rest = bytes.subarray(at)
    }
  }
}

function junk(bytes: Uint8Array, at: number): RametError {
  let hex = ''
  for (let i = at; i < bytes.length && i < at + 16; i++) hex += (bytes[i] as number).toString(16).padStart(2, '0')
  return new RametError('protocol-error', `bytes that are no frame came over the link: ${hex}`, {
    hint: 'Look at what login scripts and the SSH server print.',
  })
}

export function readU32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) | ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)) >>> 0
  )
}

export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}
