import { expect, test } from 'vitest'
import { PROCESS_UP } from '../../src/connect/hop.ts'
import { HopProcess } from '../../src/controller/hop-process.ts'
import { encode } from '../../src/router/codec.ts'
import type { Channel } from '../../src/router/channel.ts'
import { RametError } from '../../src/router/errors.ts'
import { ANSWER } from '../../src/router/protocol.ts'

const wrong = (): RametError => new RametError('protocol-error', 'no end of a process')

/** A process behind a hop whose messages the test makes up, and what came out of it: stdout in capitals. */
function scripted() {
  const process = new HopProcess(wrong, wrong)
  const seen: string[] = []
  let used = 0
  process.attach({ consumed: (bytes: number) => (used += bytes), send: () => true, reset: () => {}, queued: 0 } as unknown as Channel)
  process.stderr((bytes) => seen.push(Buffer.from(bytes).toString()))
  process.start({ data: (bytes) => seen.push(Buffer.from(bytes).toString().toUpperCase()), drain: () => {}, closed: () => seen.push('closed') })
  const says = (stream: number, text: string): void => process.handler.message(Buffer.from([stream, ...Buffer.from(text)]), 1 + text.length)
  return { process, seen, says, used: () => used }
}

test('a process behind a hop whose output nobody takes is granted nothing more for stderr either, and what came is told in order', async () => {
  const { process, seen, says, used } = scripted()
  says(PROCESS_UP.STDERR, 'first')
  expect([seen, used()]).toEqual([['first'], 6])
  process.pause()
  says(PROCESS_UP.STDERR, 'held')
  says(PROCESS_UP.STDOUT, 'out')
  says(PROCESS_UP.STDERR, 'last')
  expect([seen, used()]).toEqual([['first'], 6])
  process.handler.end(encode([ANSWER.VALUE, [0, null]]))
  process.resume()
  await new Promise((resolve) => setImmediate(resolve))
  expect(seen).toEqual(['first', 'held', 'OUT', 'last', 'closed'])
  expect(await process.exited).toEqual({ exitCode: 0, signal: null })
})
