import type { HopQuestion, HostProof } from '../connect/hop.ts'

/** Bounds on what a hop may send with a question, in bytes and characters. */
const MAX_BLOB = 4096
const MAX_SESSION_ID = 64
/** A login request holds a session id, a user, an algorithm and our own key or certificate. */
const MAX_DATA = 72 * 1024
const MAX_TEXT = 4096
const MAX_NAME = 128

/** A question as it came from a hop, looked at field by field; undefined where it is none, or too large to be one. */
export function readHopQuestion(message: unknown): HopQuestion | undefined {
  const question = record(message)
  if (question === undefined) return undefined
  const { ask, key, algorithm, data, text } = question
  const proof = readProof(question['proof'])
  switch (ask) {
    case 'host':
      return proof === undefined ? undefined : { ask, proof }
    case 'sign':
      if (proof === undefined || !isIndex(key) || !isText(algorithm, MAX_NAME) || !isBytes(data, MAX_DATA)) return undefined
      return { ask, proof, key, algorithm, data }
    case 'password':
    case 'interactive':
      return proof === undefined || !isText(text, MAX_TEXT) ? undefined : { ask, proof, text }
    case 'become':
      return isText(text, MAX_TEXT) ? { ask, text } : undefined
    default:
      return undefined
  }
}

function readProof(value: unknown): HostProof | undefined {
  const { blob, signature, sessionId } = record(value) ?? {}
  if (!isBytes(blob, MAX_BLOB) || !isBytes(signature, MAX_BLOB) || !isBytes(sessionId, MAX_SESSION_ID)) return undefined
  // Copies: what is looked at now must be what is used later, whoever still holds the bytes.
  return { blob: Buffer.from(blob), signature: Buffer.from(signature), sessionId: Buffer.from(sessionId) }
}

function record(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined
}

function isBytes(value: unknown, most: number): value is Uint8Array {
  return value instanceof Uint8Array && value.length > 0 && value.length <= most
}

function isText(value: unknown, most: number): value is string {
  return typeof value === 'string' && value.length <= most
}

function isIndex(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0
}
