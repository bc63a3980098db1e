import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { once } from 'node:events'
import { afterEach, expect, test } from 'vitest'
import { Relay } from '../../bench/relay.ts'

const open: { close(): unknown }[] = []
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close()
})

async function serverThat(accept: (socket: Socket) => void): Promise<{ host: string; port: number }> {
  const sockets: Socket[] = []
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket.on('error', () => undefined))
    accept(socket)
  })
  open.push({ close: () => (sockets.forEach((socket) => socket.destroy()), server.close()) })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
}

function through(relay: Relay): Socket {
  const socket = connect({ port: relay.port, host: relay.host, allowHalfOpen: true }).on('error', () => undefined)
  open.push({ close: () => socket.destroy() })
  return socket
}

async function relayTo(target: { host: string; port: number }, options = {}): Promise<Relay> {
  const relay = await Relay.start(target, options)
  open.push(relay)
  return relay
}

test('a relay is never early: the round trip is at least twice its delay', async () => {
  const relay = await relayTo({ host: '127.0.0.1', port: 1 }, { delay: 20 })
  expect(await relay.roundTrip(5)).toBeGreaterThanOrEqual(40)
})

test('measuring the round trip leaves the counters as they were', async () => {
  const relay = await relayTo({ host: '127.0.0.1', port: 1 })
  await relay.roundTrip(3)
  expect(relay.traffic).toEqual({ connections: 0, bytesUp: 0, bytesDown: 0, packetsUp: 0, packetsDown: 0 })
})

test('a relay stops reading when what it holds reaches the limit, so a sender is held back', async () => {
  const target = await serverThat((socket) => socket.pause())
  let onFull = (): void => {}
  const full = new Promise<void>((resolve) => (onFull = resolve))
  const relay = await relayTo(target, { delay: 60_000, holds: 256 * 1024, onFull: () => onFull() })
  const socket = through(relay)
  socket.write(Buffer.alloc(64 * 1024 * 1024))
  await full
  // There is always more to read: a relay that still read would do so in each turn of the loop.
  for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve))
  expect(relay.traffic.bytesUp).toBeGreaterThanOrEqual(256 * 1024)
  expect(relay.traffic.bytesUp).toBeLessThan(256 * 1024 + 128 * 1024)
})

test('everything arrives in order and then the end, through delay and rate', async () => {
  const chunks: Buffer[] = []
  let ended: () => void
  const end = new Promise<void>((resolve) => (ended = resolve))
  const target = await serverThat((socket) => socket.on('data', (chunk) => chunks.push(chunk)).on('end', () => ended()))
  const relay = await relayTo(target, { delay: 5, rate: 10_000_000, holds: 64 * 1024 })
  const sent = Buffer.from(Array.from({ length: 500_000 }, (_, i) => i % 251))
  const begun = performance.now()
  through(relay).end(sent)
  await end
  expect(Buffer.concat(chunks).equals(sent)).toBe(true)
  expect(relay.traffic.bytesUp).toBe(sent.length)
  // 500 kB at 10 MB/s.
  expect(performance.now() - begun).toBeGreaterThanOrEqual(50)
})

test('a relay is quiet once no connection is open, and says so when one stays', async () => {
  const relay = await relayTo(await serverThat((socket) => socket.resume().on('end', () => socket.end())))
  const socket = through(relay)
  await once(socket, 'connect')
  socket.write('x')
  // The relay has it only when it has taken the connection.
  while (relay.traffic.bytesUp === 0) await new Promise((resolve) => setImmediate(resolve))
  await expect(relay.quiet(0)).rejects.toThrow('still open')
  socket.resume().end()
  await relay.quiet()
  expect(relay.traffic.bytesUp).toBe(1)
})

test('a side that breaks off breaks the other', async () => {
  const target = await serverThat((socket) => socket.once('data', () => socket.resetAndDestroy()))
  const relay = await relayTo(target)
  const socket = through(relay).resume()
  // Node ends a socket before it resets it. Where the system tells the two apart, only who writes hears of the reset.
  const write = (): void => {
    if (!socket.destroyed) socket.write('x', () => setImmediate(write))
  }
  write()
  const error = await once(socket, 'close').catch((reason: NodeJS.ErrnoException) => reason)
  expect(error).toMatchObject({ code: expect.stringMatching(/^(ECONNRESET|EPIPE)$/) as string })
})
