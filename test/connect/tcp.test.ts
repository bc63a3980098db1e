import { createServer, type Server, type Socket } from 'node:net'
import { once } from 'node:events'
import { afterEach, describe, expect, it } from 'vitest'
import { dialEarly, dialTcp } from '../../src/connect/tcp.ts'
import type { StreamPipe } from '../../src/connect/stream-pipe.ts'

const open: { close(): unknown }[] = []
afterEach(() => {
  for (const thing of open.splice(0).reverse()) thing.close()
})

/** A pipe and the server's end of it. */
async function pair(): Promise<{ pipe: StreamPipe; far: Socket }> {
  const server: Server = createServer().listen(0, '127.0.0.1')
  open.push(server)
  await once(server, 'listening')
  const accepted = once(server, 'connection')
  const pipe = await dialTcp({ host: '127.0.0.1', port: (server.address() as { port: number }).port, name: 'here' })
  open.push(pipe)
  const [far] = (await accepted) as [Socket]
  open.push({ close: () => far.destroy() })
  return { pipe, far }
}

/** Everything that comes out of a pipe until it is closed. */
function all(pipe: StreamPipe): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  return new Promise((resolve) => pipe.start({ data: (bytes) => void chunks.push(bytes), drain() {}, closed: () => resolve(Buffer.concat(chunks)) }))
}

const pattern = (size: number, first: number): Buffer => Buffer.from(Array.from({ length: size }, (_, i) => (i + first) % 251))

describe('a TCP connection', () => {
  it('keeps what comes before the start, and its end', async () => {
    const { pipe, far } = await pair()
    const sent = pattern(300_000, 1)
    far.end(sent)
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
    expect((await all(pipe)).equals(sent)).toBe(true)
  })

  it('keeps the bytes of connections apart that read at the same time', async () => {
    const pairs = await Promise.all(Array.from({ length: 5 }, () => pair()))
    const received = pairs.map(({ pipe }) => all(pipe))
    const sent = pairs.map((_, i) => pattern(200_000, 40 * i))
    for (const [i, { far }] of pairs.entries()) far.end(sent[i] as Buffer)
    for (const [i, bytes] of (await Promise.all(received)).entries()) expect(bytes.equals(sent[i] as Buffer)).toBe(true)
  })

  it('reads nothing while it pauses', async () => {
    const { pipe, far } = await pair()
    let paused = 0
    const chunks: Uint8Array[] = []
    const closed = new Promise<void>((resolve) => pipe.start({
      data: (bytes) => {
        chunks.push(bytes)
        pipe.pause()
        paused++
      },
      drain() {},
      closed: () => resolve(),
    }))
    const sent = pattern(1_000_000, 7)
    far.end(sent)
    while (Buffer.concat(chunks).length < sent.length) {
      const before = chunks.length
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
      expect(chunks.length).toBeLessThanOrEqual(before + 1)
      pipe.resume()
      while (chunks.length === before) await new Promise((resolve) => setImmediate(resolve))
    }
    pipe.resume()
    await closed
    expect(Buffer.concat(chunks).equals(sent)).toBe(true)
    expect(paused).toBe(chunks.length)
  })

  it('that is made early tells its stage to who takes it, and is closed when nobody does', async () => {
    const server: Server = createServer().listen(0, '127.0.0.1')
    open.push(server)
    await once(server, 'listening')
    const target = { host: '127.0.0.1', port: (server.address() as { port: number }).port, name: 'here' }
    const { signal } = new AbortController()
    const accepted = once(server, 'connection')
    const taken = dialEarly(target, Promise.resolve(), signal)
    await accepted
    const stages: string[] = []
    const pipe = await taken.pipe((stage) => void stages.push(stage))
    open.push(pipe)
    expect(stages).toEqual(['tcp'])

    const again = once(server, 'connection')
    const dropped = dialEarly(target, Promise.resolve(), signal)
    const [far] = (await again) as [Socket]
    dropped.drop()
    await once(far.resume(), 'close')
  })

  it('that is made early and cannot be made fails for who takes it, and for nobody else', async () => {
    const refused = { host: '127.0.0.1', port: 1, name: 'here' }
    const { signal } = new AbortController()
    dialEarly(refused, Promise.resolve(), signal).drop()
    await expect(dialEarly(refused, Promise.resolve(), signal).pipe(() => {})).rejects.toMatchObject({ code: 'connect-refused', stage: 'tcp' })
    const gaveUp = new AbortController()
    gaveUp.abort(new Error('given up'))
    await expect(dialEarly(refused, Promise.resolve(), gaveUp.signal).pipe(() => {})).rejects.toThrow('given up')
  })
})
