/** Text between two marks at most; longer is not ours. */
const FRAME_MAX = 4096

/** Finds the reporter's frames in a stream that also carries the command's own output, which passes through unchanged. */
export class MarkScanner {
  private readonly mark: Buffer
  private readonly onBytes: (bytes: Buffer) => void
  private readonly onFrame: (text: string) => void
  private carry: Buffer = Buffer.alloc(0)
  private inside = false

  constructor(mark: string, onBytes: (bytes: Buffer) => void, onFrame: (text: string) => void) {
    this.mark = Buffer.from(mark, 'latin1')
    this.onBytes = onBytes
    this.onFrame = onFrame
  }

  push(bytes: Uint8Array): void {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let data = this.carry.length === 0 ? chunk : Buffer.concat([this.carry, chunk])
    this.carry = Buffer.alloc(0)
    for (;;) {
      const at = data.indexOf(this.mark)
      if (at < 0) break
      const before = data.subarray(0, at)
      data = data.subarray(at + this.mark.length)
      if (this.inside) this.onFrame(before.toString('latin1'))
      else if (before.length > 0) this.onBytes(before)
      this.inside = !this.inside
    }
    if (this.inside && data.length <= FRAME_MAX) {
      this.carry = Buffer.from(data)
      return
    }
    // Not ended and too long: no frame of ours. The mark is lost, the bytes are not.
    this.inside = false
    const held = this.beginning(data)
    if (data.length > held) this.onBytes(data.subarray(0, data.length - held))
    if (held > 0) this.carry = Buffer.from(data.subarray(data.length - held))
  }

  /** The stream has ended: what looked like the beginning of a mark was none. */
  end(): void {
    if (this.carry.length > 0 && !this.inside) this.onBytes(this.carry)
    this.carry = Buffer.alloc(0)
  }

  /** Bytes at the end of `data` that may be the beginning of a mark. */
  private beginning(data: Buffer): number {
    for (let n = Math.min(this.mark.length - 1, data.length); n > 0; n--) {
      if (data[data.length - n] === this.mark[0] && data.compare(this.mark, 0, n, data.length - n) === 0) return n
    }
    return 0
  }
}

/** Bytes that login scripts may print before the command. */
export const NOISE_MAX = 64 * 1024
/** Characters of it that an error quotes. */
const NOISE_QUOTED = 200

/** What came before the command. */
export class LoginNoise {
  private bytes = 0
  private text = ''

  /** True once it is more than NOISE_MAX. */
  add(bytes: Buffer): boolean {
    this.bytes += bytes.length
    if (this.text.length < NOISE_QUOTED) this.text += bytes.toString('utf8', 0, NOISE_QUOTED * 4)
    return this.bytes > NOISE_MAX
  }

  /** ': the first words of it', for the end of a message; nothing when there was nothing to read. */
  toString(): string {
    const line = this.text.slice(0, NOISE_QUOTED).replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ').trim()
    return line === '' ? '' : `: ${line}`
  }
}
