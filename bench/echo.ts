import type { Readable, Writable } from 'node:stream'

/** The bytes that an echo carries each way: what a small call has. */
export const echoBytes = 36

/** Microseconds of each of `calls` echoes of so many bytes, one after the other; rejects when `output` ends before. */
export function echoes(input: Writable, output: Readable, calls: number, bytes: number): Promise<number[]> {
  const message = Buffer.alloc(bytes, 'r')
  const times: number[] = []
  return new Promise((resolve, reject) => {
    let missing = bytes
    let begun = performance.now()
    const next = (): void => {
      missing = bytes
      begun = performance.now()
      input.write(message)
    }
    const ended = (): void => reject(new Error('the echo ended'))
    const onData = (chunk: Buffer): void => {
      missing -= chunk.length
      if (missing > 0) return
      times.push((performance.now() - begun) * 1000)
      if (times.length < calls) return next()
      output.off('data', onData)
      output.off('close', ended)
      resolve(times)
    }
    output.on('data', onData)
    output.once('close', ended)
    next()
  })
}
