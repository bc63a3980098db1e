import { joinBytes } from '../base/bytes.ts'
import { decode, encode } from './codec.ts'
import { RametError } from './errors.ts'
import type { Link } from './link.ts'
import { NEIGHBOUR, TYPE } from './protocol.ts'

/** The same first message for channels of several contexts, in one OPEN to the neighbour. */
export interface Several {
  src: number
  targets: [dst: number, channel: number][]
  message: Uint8Array
}

/**
 * u16 length of a msgpack array, that array, the message. The array: source, then for each context how much its id and its channel
 * are above those of the one before: mostly one byte each.
 */
export function writeSeveral({ src, targets, message }: Several): Uint8Array {
  const row = [src]
  let [id, number] = [0, 0]
  for (const [dst, channel] of targets) {
    row.push(dst - id, channel - number)
    ;[id, number] = [dst, channel]
  }
  const list = encode(row)
  return joinBytes([Uint8Array.of(list.length >>> 8, list.length & 255), list, message])
}

/** Bytes that may wait at a link while what is sent now leaves without waiting for anything: half of what a link hands its pipe ahead. */
const PROMPT = 32 * 1024

/**
 * Sends it as one OPEN. False, and nothing was sent, where it would have to wait for the pipe: what waits can be taken back one by
 * one only, and a RESET goes ahead of it.
 */
export function sendSeveral(link: Link, flags: number, window: number, several: Several): boolean {
  if (link.queued > PROMPT) return false
  const { framesOut } = link
  const payload = writeSeveral(several)
  link.send(TYPE.OPEN, flags, window, NEIGHBOUR, NEIGHBOUR, 0, payload)
  if (link.framesOut > framesOut) return true
  // Much was sent in this tick already.
  link.sift((frame) => frame.payload === payload)
  return false
}

/** Throws RametError 'protocol-error' for what is no such payload. */
export function readSeveral(payload: Uint8Array): Several {
  const end = 2 + (((payload[0] ?? 0) << 8) | (payload[1] ?? 0))
  const row = end > payload.length ? undefined : decode(payload.subarray(2, end))
  if (!Array.isArray(row) || row.length % 2 !== 1) throw malformed()
  const [src, ...rest] = row as unknown[]
  const targets: [number, number][] = []
  let [id, number] = [0, 0]
  for (let at = 0; at < rest.length; at += 2) {
    id = above(id, rest[at])
    number = above(number, rest[at + 1])
    targets.push([id, number])
  }
  return { src: above(0, src), targets, message: payload.subarray(end) }
}

/** The number that is `difference` above another; both are numbers of a frame's header. */
function above(number: number, difference: unknown): number {
  const sum = typeof difference === 'number' ? number + difference : NaN
  if (sum >>> 0 !== sum) throw malformed()
  return sum
}

function malformed(): RametError {
  return new RametError('protocol-error', 'an OPEN for several contexts was malformed')
}
