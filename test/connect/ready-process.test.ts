import { expect, test, vi } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { ReadyProcess } from '../../src/connect/ready-process.ts'
import { RametError } from '../../src/router/errors.ts'

test.each(['before', 'after'] as const)('a reader that stops %s stdout has ended, and goes on later, still gets stderr, and hears of the end', async (when) => {
  const script = (half: string, other: string): string => `echo ${half}${other} $$; echo out; exec >&-; read go; head -c 300000 /dev/zero >&2`
  const failure = (): RametError => new RametError('launch-failed', 'it did not start')
  const process = new ReadyProcess({ argv: (half, other) => ['/bin/sh', '-c', script(half, other)], localPid: true, env: undefined, path: ['test'], clock: systemClock, hold: false, failure })
  let errors = 0
  let closed = false
  process.stderr((bytes) => {
    errors += bytes.length
    // A reader whose hands are full says so, and again that he is not.
    process.pause()
    setImmediate(() => process.resume())
  })
  process.start({ data: () => when === 'before' && process.pause(), drain: () => {}, closed: () => (closed = true) })
  await vi.waitFor(() => expect(closed).toBe(true))
  process.write(Buffer.from('go\n'))
  if (when === 'before') process.resume()
  let end: unknown
  void process.exited.then((how) => (end = how))
  try {
    await vi.waitFor(() => expect(end).toEqual({ exitCode: 0, signal: null }), { timeout: 5000 })
    expect(errors).toBe(300_000)
  } finally {
    await process.destroy()
  }
})
