/**
 * Names that a known_hosts file holds only as `|1|salt|HMAC-SHA1(salt, name)`: to find one, each has to be tried.
 *
 * A Hmac object of node:crypto costs 1.3 to 2.5 us, a try here 0.35 us after the first (the salt's half is kept): with 10,000
 * lines and 32 hosts that is 0.1 s against half a second.
 */
export class HashedNames {
  private count = 0
  private readonly salts: string[] = []
  private readonly hashes: string[] = []
  private readonly lines: number[] = []
  /** Per name five words of the inner state and five of the outer one, and the five words looked for. */
  private words = new Int32Array(0)
  private prepared = 0
  private readonly found = new Map<string, readonly number[]>()

  get length(): number {
    return this.count
  }

  /** `field` is the whole name field of a line. False when it is no hash that can be used. */
  add(field: string, line: number): boolean {
    const end = field.indexOf('|', 3)
    if (!field.startsWith('|1|') || end === -1) return false
    const salt = field.slice(3, end)
    const hash = field.slice(end + 1)
    // 20 bytes each; anything else is no HMAC-SHA1.
    if (!BASE64_OF_20.test(salt) || !BASE64_OF_20.test(hash)) return false
    this.salts.push(salt)
    this.hashes.push(hash)
    this.lines.push(line)
    this.count++
    return true
  }

  /** The lines whose name is `name`, in their order. */
  find(name: string): readonly number[] {
    const known = this.found.get(name)
    if (known !== undefined) return known
    this.prepare()
    const message = messageBlocks(name)
    const lines: number[] = []
    for (let i = 0; i < this.count; i++) if (this.matches(i, message)) lines.push(this.lines[i] as number)
    if (this.found.size >= 10_000) this.found.clear()
    this.found.set(name, lines)
    return lines
  }

  /** Is this one line's name `name`? Cheap where few lines come into question. */
  test(line: number, name: string): boolean {
    const known = this.found.get(name)
    if (known !== undefined) return known.includes(line)
    this.prepare()
    // Lines were added in rising order.
    let low = 0
    let high = this.count - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.lines[middle] as number) < line) low = middle + 1
      else high = middle
    }
    return this.lines[low] === line && this.matches(low, messageBlocks(name))
  }

  private prepare(): void {
    if (this.prepared === this.count) return
    this.words = new Int32Array(this.count * 15)
    const ipad = new Int32Array(16).fill(0x36363636)
    const opad = new Int32Array(16).fill(0x5c5c5c5c)
    const bytes = Buffer.alloc(20)
    for (let i = 0; i < this.count; i++) {
      const at = i * 15
      bytes.write(this.salts[i] as string, 'base64')
      for (let w = 0; w < 5; w++) {
        const word = bytes.readInt32BE(w * 4)
        ipad[w] = word ^ 0x36363636
        opad[w] = word ^ 0x5c5c5c5c
      }
      compress(INITIAL, 0, ipad, 0, this.words, at)
      compress(INITIAL, 0, opad, 0, this.words, at + 5)
      bytes.write(this.hashes[i] as string, 'base64')
      for (let w = 0; w < 5; w++) this.words[at + 10 + w] = bytes.readInt32BE(w * 4)
    }
    this.prepared = this.count
  }

  private matches(index: number, message: Int32Array): boolean {
    const at = index * 15
    compress(this.words, at, message, 0, inner, 0)
    for (let block = 16; block < message.length; block += 16) compress(inner, 0, message, block, inner, 0)
    compress(this.words, at + 5, inner, 0, outer, 0)
    for (let w = 0; w < 5; w++) if (outer[w] !== this.words[at + 10 + w]) return false
    return true
  }
}

const BASE64_OF_20 = /^[A-Za-z0-9+/]{27}=$/
const INITIAL = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0)
/** Five words of digest, padded as the second block of the outer hash: 64 + 20 bytes. */
const inner = new Int32Array(16)
inner[5] = 0x80000000 | 0
inner[15] = (64 + 20) * 8
const outer = new Int32Array(5)
const schedule = new Int32Array(80)

/** The name as padded SHA-1 blocks that follow the 64 bytes of the inner key. */
function messageBlocks(name: string): Int32Array {
  const bytes = Buffer.from(name, 'utf8')
  const padded = Buffer.alloc(Math.ceil((bytes.length + 9) / 64) * 64)
  bytes.copy(padded)
  padded[bytes.length] = 0x80
  padded.writeUInt32BE((64 + bytes.length) * 8, padded.length - 4)
  const words = new Int32Array(padded.length / 4)
  for (let i = 0; i < words.length; i++) words[i] = padded.readInt32BE(i * 4)
  return words
}

/** One SHA-1 block: state at `from` and sixteen words at `block` give five words at `to`. */
function compress(from: Int32Array, fromAt: number, block: Int32Array, blockAt: number, to: Int32Array, toAt: number): void {
  const w = schedule
  for (let i = 0; i < 16; i++) w[i] = block[blockAt + i] as number
  for (let i = 16; i < 80; i++) {
    const x = (w[i - 3] as number) ^ (w[i - 8] as number) ^ (w[i - 14] as number) ^ (w[i - 16] as number)
    w[i] = (x << 1) | (x >>> 31)
  }
  let a = from[fromAt] as number
  let b = from[fromAt + 1] as number
  let c = from[fromAt + 2] as number
  let d = from[fromAt + 3] as number
  let e = from[fromAt + 4] as number
  // Four loops, not one with a choice inside: it is three times as fast.
  let i = 0
  for (; i < 20; i++) {
    const t = (((a << 5) | (a >>> 27)) + ((b & c) | (~b & d)) + e + 0x5a827999 + (w[i] as number)) | 0
    e = d; d = c; c = (b << 30) | (b >>> 2); b = a; a = t
  }
  for (; i < 40; i++) {
    const t = (((a << 5) | (a >>> 27)) + (b ^ c ^ d) + e + 0x6ed9eba1 + (w[i] as number)) | 0
    e = d; d = c; c = (b << 30) | (b >>> 2); b = a; a = t
  }
  for (; i < 60; i++) {
    const t = (((a << 5) | (a >>> 27)) + ((b & c) | (b & d) | (c & d)) + e + 0x8f1bbcdc + (w[i] as number)) | 0
    e = d; d = c; c = (b << 30) | (b >>> 2); b = a; a = t
  }
  for (; i < 80; i++) {
    const t = (((a << 5) | (a >>> 27)) + (b ^ c ^ d) + e + 0xca62c1d6 + (w[i] as number)) | 0
    e = d; d = c; c = (b << 30) | (b >>> 2); b = a; a = t
  }
  to[toAt] = ((from[fromAt] as number) + a) | 0
  to[toAt + 1] = ((from[fromAt + 1] as number) + b) | 0
  to[toAt + 2] = ((from[fromAt + 2] as number) + c) | 0
  to[toAt + 3] = ((from[fromAt + 3] as number) + d) | 0
  to[toAt + 4] = ((from[fromAt + 4] as number) + e) | 0
}
