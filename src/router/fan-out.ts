import { joinBytes } from '../base/bytes.ts'
import { decode, encode } from './codec.ts'
import { RametError } from './errors.ts'

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

/** Throws RametError 'protocol-error' for what is no such payload. */
export function readSeveral(payload: Uint8Array): Several {
  const end = 2 + (((payload[0] ?? 0) << 8) | (payload[1] ?? 0))
  const row = end > payload.length ? undefined : decode(payload.subarray(2, end))
  if (!Array.isArray(row) || row.length % 2 !== 1 || !row.every((item) => Number.isInteger(item))) {
    throw new RametError('protocol-error', 'an OPEN for several contexts was malformed')
  }
  const [src, ...rest] = row as [number, ...number[]]
  const targets: [number, number][] = []
  let [id, number] = [0, 0]
  for (let at = 0; at < rest.length; at += 2) {
    id += rest[at] as number
    number += rest[at + 1] as number
    targets.push([id, number])
  }
  return { src, targets, message: payload.subarray(end) }
}
