import { isUtf8 } from 'node:buffer'

/**
 * Makes what came from a target harmless to a terminal: C0 and C1 controls (CSI and OSC begin with one of them), DEL, and the
 * characters that reorder or break lines without being seen. Newline and tab stay.
 */
const HARMFUL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/g

/** Text of several lines for a terminal or a log. */
export function visible(text: string): string {
  return text.replaceAll('\r\n', '\n').replace(HARMFUL, escapeOne)
}

/** Text that must stay on its line: names, messages in a header, the status line. */
export function visibleLine(text: string): string {
  return text.replace(HARMFUL, escapeOne).replaceAll('\n', '\\n').replaceAll('\t', '\\t')
}

/** Inside JSON text, where an escape of this form loses nothing; JSON.stringify leaves DEL, C1 and the invisible ones as they are. */
export function visibleJson(json: string): string {
  return json.replace(HARMFUL, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Bytes as text; a byte that is no UTF-8 is shown as \xNN. */
export function decode(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (isUtf8(buffer)) return buffer.toString('utf8')
  let text = ''
  let good = 0
  let at = 0
  while (at < buffer.length) {
    const length = sequenceLength(buffer, at)
    if (length > 0) {
      at += length
      continue
    }
    text += `${buffer.toString('utf8', good, at)}\\x${buffer[at]!.toString(16).padStart(2, '0')}`
    at++
    good = at
  }
  return text + buffer.toString('utf8', good)
}

function escapeOne(char: string): string {
  const code = char.charCodeAt(0)
  if (char === '\r') return '\\r'
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`
}

/** Bytes of the character that begins here, or 0 when none does. */
function sequenceLength(buffer: Buffer, at: number): number {
  const first = buffer[at]!
  if (first < 0x80) return 1
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2
  return at + length <= buffer.length && isUtf8(buffer.subarray(at, at + length)) ? length : 0
}
