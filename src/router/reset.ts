import { decode, encode } from './codec.ts'
import { RametError } from './errors.ts'
import { REASON, type Reason } from './protocol.ts'

const CODES: Reason[] = []
for (const [name, number] of Object.entries(REASON)) CODES[number] = name as Reason

/** Payload of a RESET. */
export function encodeReset(reason: Reason, text: string): Uint8Array {
  return encode([REASON[reason], text])
}

/** The error for whoever waited on a channel that its peer reset. `path`: the peer's. */
export function resetError(payload: Uint8Array, path: readonly string[]): RametError {
  let reason: Reason = 'protocol-error'
  let text = ''
  const content = decode(payload)
  if (Array.isArray(content)) {
    const [number, words] = content as unknown[]
    reason = (typeof number === 'number' ? CODES[number] : undefined) ?? 'protocol-error'
    if (typeof words === 'string') text = words
  }
  const where = path.join(' > ')
  const unknown = reason === 'worker-exited' || reason === 'link-lost' || reason === 'overflow'
  return new RametError(reason, text === '' ? `${where} ended the call: ${reason}` : `${where}: ${text}`, {
    path,
    outcome: unknown ? 'unknown' : 'failed',
  })
}
