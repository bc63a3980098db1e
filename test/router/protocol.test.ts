import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { encodeFrame } from '../../src/router/frame.ts'
import * as protocol from '../../src/router/protocol.ts'

const page = readFileSync(new URL('../../src/router/PROTOCOL.md', import.meta.url), 'utf8')

/** The rows of the table that follows a line which begins with `heading`. */
function table(heading: string): Map<string, number> {
  const from = page.indexOf(heading)
  expect(from, `PROTOCOL.md has ${heading}`).toBeGreaterThan(-1)
  const lines = page.slice(from).split('\n')
  const start = lines.findIndex((line) => line.startsWith('| ---'))
  const rows = new Map<string, number>()
  for (const line of lines.slice(start + 1)) {
    if (!line.startsWith('|')) break
    const [, name = '', number = ''] = line.split('|').map((cell) => cell.trim())
    rows.set(name, Number(number))
  }
  return rows
}

describe('PROTOCOL.md and protocol.ts', () => {
  it.each([
    ['## Frame types', protocol.TYPE],
    ['## Flags', protocol.FLAG],
    ['## What a channel is', protocol.OPEN_KIND],
    ['The answer to a CALL', protocol.ANSWER],
    ['## Reasons of a RESET', protocol.REASON],
  ])('agree on every number under %s', (heading, numbers) => {
    expect(Object.fromEntries(table(heading))).toEqual(numbers)
  })

  it('agree on the header and the limits that the prose names', () => {
    expect(page).toContain(`\`0x${protocol.MAGIC.toString(16)}\``)
    expect(page).toContain(`| ${protocol.HEADER_SIZE} | | payload |`)
    expect(page).toContain(`The opener starts with ${protocol.INITIAL_CREDIT / 1024} KiB`)
    expect(page).toContain(`OPEN and END carry up to ${protocol.MAX_INLINE / 1024} KiB`)
    expect(page).toContain(`(${protocol.PACK.STORED} stored, ${protocol.PACK.BROTLI} brotli)`)
    expect(page).toContain(`whose own is ${protocol.ROOT}`)
  })

  it('number frame types, reasons and kinds without a collision', () => {
    for (const numbers of [protocol.TYPE, protocol.FLAG, protocol.REASON, protocol.OPEN_KIND, protocol.ANSWER]) {
      const values = Object.values(numbers)
      expect(new Set(values).size).toBe(values.length)
    }
  })
})

describe('golden frames', () => {
  const payload = new Uint8Array([0x93, 1, 2, 3])
  it.each([
    [{ type: protocol.TYPE.OPEN, flags: protocol.FLAG.FIN | protocol.FLAG.USER, window: 16, dst: 2, src: 1, channel: 7, payload }, 'f8010610 00000004 00000002 00000001 00000007 93010203'],
    [{ type: protocol.TYPE.END, flags: 0, window: 0, dst: 1, src: 0xfffffffe, channel: 0xffffffff, payload: new Uint8Array(0) }, 'f8030000 00000000 00000001 fffffffe ffffffff'],
    [{ type: protocol.TYPE.CREDIT, flags: protocol.FLAG.WANT, window: 0, dst: 1, src: 2, channel: 3, payload: new Uint8Array(0) }, 'f8050800 00000000 00000001 00000002 00000003'],
    [{ type: protocol.TYPE.PING, flags: 0, window: 0, dst: 0, src: 0, channel: 0, payload: new Uint8Array(8) }, 'f8110000 00000008 00000000 00000000 00000000 0000000000000000'],
    [{ type: protocol.TYPE.NEED, flags: protocol.FLAG.MORE, window: 0, dst: 0, src: 0, channel: 0, payload }, 'f8220100 00000004 00000000 00000000 00000000 93010203'],
  ])('%o is written as it always was', (frame, hex) => {
    expect(Buffer.from(encodeFrame(frame)).toString('hex')).toBe(hex.replaceAll(' ', ''))
  })
})
