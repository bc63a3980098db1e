import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib'
import { Assembler } from './assembler.ts'
import { decode, encode } from './codec.ts'
import { RametError } from './errors.ts'
import type { Frame } from './frame.ts'
import type { Link } from './link.ts'
import { FLAG, MAX_BULK, MAX_PACK, PACK, TYPE } from './protocol.ts'

/** A module that a context may have: what its loader has to know besides the text. */
export interface Offer {
  /** Given out by the root; one number is one instance in every context. */
  number: number
  /** Hash of the text, hex. */
  hash: string
  /** Shown in stacks. */
  name: string
  /** What the text requires: specifier and module number. Everything else is the target's own. */
  imports: [specifier: string, number: number][]
}

/** Of brotli: what is compressed while somebody waits for it. */
export const QUICK = 5

/**
 * Texts packed for one push, by brotli of this quality (1 to 11), or as they are (0). Compressing pays from a few hundred bytes on;
 * to a Worker it never does.
 */
export function packTexts(texts: readonly Uint8Array[], quality: number): Uint8Array {
  const plain = encode(texts)
  const body = quality ? brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: quality, [constants.BROTLI_PARAM_LGWIN]: 20 } }) : plain
  const pack = new Uint8Array(1 + body.length)
  pack[0] = quality ? PACK.BROTLI : PACK.STORED
  pack.set(body, 1)
  return pack
}

/** The texts of a pack. Throws RametError 'protocol-error' when it is none or larger than MAX_PACK once unpacked. */
export function unpackTexts(pack: Uint8Array): Uint8Array[] {
  let body = pack.subarray(1)
  if (pack[0] === PACK.BROTLI) {
    try {
      body = brotliDecompressSync(body, { maxOutputLength: MAX_PACK })
    } catch (cause) {
      throw new RametError('protocol-error', 'a pack of modules could not be decompressed', { cause })
    }
  }
  const texts = decode(body)
  if (!Array.isArray(texts) || !texts.every((text) => text instanceof Uint8Array)) {
    throw new RametError('protocol-error', 'a pack of modules holds something else')
  }
  return texts
}

export interface OfferMessage {
  /** The contexts the modules are for. */
  dsts: readonly number[]
  /** For its Worker, or for its main thread. */
  user: boolean
  offers: Offer[]
  /** Hashes among them that are on their way in a PUSH over this link. */
  pushed: Set<string>
}

export function encodeOffer(message: OfferMessage): Uint8Array {
  const { dsts, user, offers, pushed } = message
  const rows = offers.map(({ number, hash, name, imports }) => [number, fromHex(hash), name, imports, pushed.has(hash) ? 1 : 0])
  return encode([dsts, user ? 1 : 0, rows])
}

export function decodeOffer(bytes: Uint8Array): OfferMessage {
  const content = decode(bytes)
  const pushed = new Set<string>()
  try {
    const [dsts, user, rows] = content as [number[], number, [number, Uint8Array, string, [string, number][], number][]]
    const offers = rows.map(([number, hash, name, imports, push]) => {
      const hex = toHex(hash)
      if (push === 1) pushed.add(hex)
      return { number, hash: hex, name, imports }
    })
    return { dsts, user: user === 1, offers, pushed }
  } catch (cause) {
    throw new RametError('protocol-error', 'an OFFER was malformed', { cause })
  }
}

export function encodeNeed(hashes: readonly string[]): Uint8Array {
  return encode(hashes.map(fromHex))
}

/** Each hash once, however often it stands there: modules may share a text, and one that came twice would be one that nobody announced. */
export function decodeNeed(bytes: Uint8Array): string[] {
  const content = decode(bytes)
  if (!Array.isArray(content) || !content.every((hash) => hash instanceof Uint8Array && hash.length === 32)) {
    throw new RametError('protocol-error', 'a NEED was malformed')
  }
  return [...new Set(content.map((hash) => toHex(hash as Uint8Array)))]
}

/** What the neighbour on a link has been sent, and the parts of what it is sending us. */
export class CodeLink {
  readonly link: Link
  modulesSent = 0
  modulesReused = 0
  codeBytes = 0
  private readonly sent = new Set<string>()
  private readonly assemblers = new Map<number, Assembler>()

  constructor(link: Link) {
    this.link = link
  }

  /** The hashes among these that the neighbour has not been sent over this link. */
  lacking(hashes: Iterable<string>): string[] {
    const lacking: string[] = []
    for (const hash of new Set(hashes)) if (!this.sent.has(hash)) lacking.push(hash)
    return lacking
  }

  /** Sends a pack made of these texts. */
  push(hashes: readonly string[], pack: Uint8Array): void {
    for (const hash of hashes) this.sent.add(hash)
    this.modulesSent += hashes.length
    this.codeBytes += pack.length
    this.inParts(TYPE.PUSH, pack)
  }

  offer(message: OfferMessage): void {
    for (const { hash } of message.offers) if (!message.pushed.has(hash)) this.modulesReused++
    this.inParts(TYPE.OFFER, encodeOffer(message))
  }

  need(hashes: readonly string[]): void {
    this.inParts(TYPE.NEED, encodeNeed(hashes))
  }

  /** The neighbour has lost these (its cache is bounded, too): they may be sent again. */
  forget(hashes: readonly string[]): void {
    for (const hash of hashes) this.sent.delete(hash)
  }

  /** Whether this text was ever sent over this link: only such a text may be asked for. */
  wasSent(hash: string): boolean {
    return this.sent.has(hash)
  }

  /** Joins frames of one kind into their message of at most `limit` bytes; undefined until it is whole. */
  join(frame: Frame, limit = MAX_PACK): Uint8Array | undefined {
    let assembler = this.assemblers.get(frame.type)
    if (assembler === undefined) this.assemblers.set(frame.type, (assembler = new Assembler()))
    const message = assembler.add(frame.payload, (frame.flags & FLAG.MORE) !== 0, limit)
    if (message === 'too-large') throw new RametError('protocol-error', `more than ${limit} bytes about code were sent`)
    return message
  }

  private inParts(type: typeof TYPE.OFFER | typeof TYPE.PUSH | typeof TYPE.NEED, message: Uint8Array): void {
    for (let at = 0; ; at += MAX_BULK) {
      const last = message.length - at <= MAX_BULK
      this.link.sendNeighbour(type, message.subarray(at, at + MAX_BULK), 0, last ? 0 : FLAG.MORE)
      if (last) return
    }
  }
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}

function fromHex(hash: string): Uint8Array {
  return new Uint8Array(Buffer.from(hash, 'hex'))
}
