import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { encode } from '../../src/router/codec.ts'
import { encodeFrame } from '../../src/router/frame.ts'
import { type FrameType, NEIGHBOUR, TYPE } from '../../src/router/protocol.ts'

/** Bytes of one frame to the neighbour. */
export function neighbourFrame(type: FrameType, payload: Uint8Array): Uint8Array {
  return encodeFrame({ type, flags: 0, window: 0, dst: NEIGHBOUR, src: NEIGHBOUR, channel: 0, payload })
}

/** A HELLO as a real stub says it. */
export const HELLO = neighbourFrame(TYPE.HELLO, encode([4711, 'v20.0.0', 'linux', 'x64', 'fake']))

/**
 * A program that takes the place of Node on the target: it says the nonce as a stub does, then writes `once`, then `forever`
 * again and again, reading nothing. Returns the argv for the option `node`.
 */
export function fakeStub(dir: string, name: string, misbehaviour: { once?: Uint8Array[]; forever?: Uint8Array; nonce?: boolean }): string[] {
  const { once = [], forever, nonce = true } = misbehaviour
  const script = join(dir, `${name}.cjs`)
  writeFileSync(`${script}.once`, Buffer.concat(once))
  writeFileSync(`${script}.forever`, forever ?? new Uint8Array(0))
  writeFileSync(script, `
    const fs = require('fs')
    const [half, other] = process.argv.slice(-2)
    const write = (bytes) => { for (let at = 0; at < bytes.length;) at += fs.writeSync(4, bytes, at) }
    try {
      if (${nonce}) write(Buffer.from(half + other, 'hex'))
      write(fs.readFileSync(${JSON.stringify(`${script}.once`)}))
      const more = fs.readFileSync(${JSON.stringify(`${script}.forever`)})
      while (more.length > 0) write(more)
    } catch (error) {
      if (error.code !== 'EPIPE') throw error
      process.exit(0)
    }
    // Whoever is ended closes this; a program that stayed would be noticed.
    require('net').Socket({ fd: 3 }).on('data', () => {}).on('end', () => process.exit(0)).on('error', () => process.exit(0))
  `)
  return [process.execPath, script]
}
