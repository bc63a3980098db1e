import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RametError } from '../../src/router/errors.ts'
import { encodeFrame, type Frame, FrameReader } from '../../src/router/frame.ts'
import { HEADER_SIZE, MAGIC, MAX_FRAME, TYPE } from '../../src/router/protocol.ts'

const u32 = fc.integer({ min: 0, max: 0xffffffff })
const frames = fc.array(
  fc.record({
    type: fc.constantFrom(...Object.values(TYPE)),
    flags: fc.integer({ min: 0, max: 255 }),
    window: fc.integer({ min: 0, max: 255 }),
    dst: u32,
    src: u32,
    channel: u32,
    payload: fc.uint8Array({ maxLength: 300 }),
  }),
  { maxLength: 20 },
)

function codeOf(run: () => void): string {
  try {
    run()
  } catch (error) {
    expect(error).toBeInstanceOf(RametError)
    return (error as RametError).code
  }
  return 'none'
}

function collect(reader: FrameReader, chunks: Uint8Array[]): Frame[] {
  const out: Frame[] = []
  for (const chunk of chunks) reader.push(chunk, (frame) => out.push({ ...frame, payload: frame.payload.slice() }))
  return out
}

describe('FrameReader', () => {
  it('gives back every frame however the bytes are cut', () => {
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1 }), (sent, cuts) => {
        const bytes = Buffer.concat(sent.map((frame) => encodeFrame(frame as Frame)))
        const chunks: Uint8Array[] = []
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const size = cuts[i % cuts.length] as number
          chunks.push(new Uint8Array(bytes.subarray(at, at + size)))
          at += size
        }
        expect(collect(new FrameReader(), chunks)).toEqual(sent)
      }),
    )
  })

  it('survives arbitrary bytes with a coded error or silence', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 100 })), (chunks) => {
        const reader = new FrameReader()
        const code = codeOf(() => collect(reader, chunks))
        expect(['none', 'protocol-error', 'frame-too-large']).toContain(code)
      }),
      { numRuns: 500 },
    )
  })

  it('refuses a frame of 4 GiB at its header, before anything is allocated for it', () => {
    const header = encodeFrame({ type: TYPE.DATA, flags: 0, window: 0, dst: 1, src: 2, channel: 3, payload: new Uint8Array(0) })
    header.fill(0xff, 4, 8)
    expect(codeOf(() => new FrameReader().push(header, () => {}))).toBe('frame-too-large')
  })

  it('takes the largest frame and refuses one byte more', () => {
    const largest = encodeFrame({ type: TYPE.DATA, flags: 0, window: 0, dst: 1, src: 2, channel: 3, payload: new Uint8Array(MAX_FRAME - HEADER_SIZE) })
    expect(collect(new FrameReader(), [largest])).toHaveLength(1)
    const over = encodeFrame({ type: TYPE.DATA, flags: 0, window: 0, dst: 1, src: 2, channel: 3, payload: new Uint8Array(MAX_FRAME - HEADER_SIZE + 1) })
    expect(codeOf(() => new FrameReader().push(over, () => {}))).toBe('frame-too-large')
  })

  it('finds junk at its first byte, without waiting for a whole header', () => {
    expect(codeOf(() => new FrameReader().push(new Uint8Array([0x48]), () => {}))).toBe('protocol-error')
  })

  it('refuses an unknown type', () => {
    const bytes = encodeFrame({ type: TYPE.DATA, flags: 0, window: 0, dst: 1, src: 2, channel: 3, payload: new Uint8Array(0) })
    bytes[1] = 99
    expect(bytes[0]).toBe(MAGIC)
    expect(codeOf(() => new FrameReader().push(bytes, () => {}))).toBe('protocol-error')
  })
})
