import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import type { Contender, Door } from '../../../src/cli/bench/contender.ts'
import { count } from '../../../src/cli/bench/count.ts'
import type { Able } from '../../../src/cli/bench/count.ts'
import { CountingRelay } from '../../../src/cli/bench/counting-relay.ts'
import { readCpu } from '../../../src/cli/bench/cpu.ts'

const servers: Server[] = []

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => void server.close(resolve))))
})

/** Answers each piece with so many bytes. */
async function server(answer: number): Promise<Door> {
  const listener = createServer((socket) => socket.on('data', () => socket.write(Buffer.alloc(answer))).on('error', () => {}).on('end', () => socket.end()))
  servers.push(listener)
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  return { host: '127.0.0.1', port: (listener.address() as AddressInfo).port }
}

async function dial(door: Door): Promise<Socket> {
  const socket = connect({ ...door, noDelay: true })
  await once(socket, 'connect')
  return socket
}

async function ask(socket: Socket, bytes: number, answer: number): Promise<void> {
  socket.write(Buffer.alloc(bytes))
  for (let got = 0; got < answer;) got += ((await once(socket, 'data')) as [Buffer])[0].length
}

/** Who does commands, each of which takes so many ms when it is alone. */
function able(id: string, fresh: boolean, alone: number, make: (door: Door) => Contender): Able {
  return { entry: { id, label: id, what: '', fresh, make: (door) => make(door!) }, kinds: new Map([['command', alone]]) }
}

test('the relay counts connections, bytes, packets and round trips, the TCP handshake being one', async () => {
  const relay = await CountingRelay.start(await server(3000), systemClock)
  const start = { ...relay.counts }
  const socket = await dial(relay.door)
  await ask(socket, 100, 3000)
  await ask(socket, 100, 3000)
  expect(await relay.since(start)).toEqual({ connections: 1, bytesOut: 200, bytesIn: 6000, packetsOut: 2, packetsIn: 6, roundTrips: 3 })
  expect(relay.handshakes).toHaveLength(1)
  socket.end()
  await once(socket, 'close')
  await relay.close()
  await relay.close()
  await expect(dial(relay.door)).rejects.toThrow(/ECONNREFUSED/)
})

test('a target that does not answer ends the connection', async () => {
  const { port } = await server(1)
  await new Promise((resolve) => void servers.pop()!.close(resolve))
  const relay = await CountingRelay.start({ host: '127.0.0.1', port }, systemClock)
  const socket = await dial(relay.door)
  socket.resume()
  await once(socket, 'close')
  expect(relay.handshakes).toEqual([])
  await relay.close()
})

test('each call is counted, opening apart, and a contender that fails is named', async () => {
  const target = await server(50)
  const open: Socket[] = []
  const entry = (id: string, fresh: boolean, make: (door: Door) => Contender): Able => able(id, fresh, 1, make)
  const warm = entry('warm', false, (door) => {
    let calls = 0
    return {
      open: async () => void open.push(await dial(door)),
      // The first call brings something along.
      call: async () => ask(open[0]!, calls++ === 0 ? 1010 : 10, 50),
      close: async () => void open[0]!.destroy(),
    }
  })
  const fresh = entry('fresh', true, (door) => ({
    open: async () => {},
    call: async () => {
      const socket = await dial(door)
      await ask(socket, 20, 50)
      return async () => {
        socket.end()
        await once(socket, 'close')
      }
    },
    close: async () => {},
  }))
  const broken = entry('broken', false, () => ({ open: () => Promise.reject(new Error('no way')), call: async () => {}, close: async () => {} }))
  const unmade = entry('unmade', true, () => { throw new Error('no room for its file') })
  const { counted, problems, handshakes } = await count({ clock: systemClock, entries: [unmade, broken, warm, fresh], target, stop: new AbortController().signal, progress: () => {} })
  expect(problems).toEqual(['unmade: no room for its file', 'broken: no way'])
  expect(handshakes).toHaveLength(3)
  expect(counted.get('warm')).toMatchObject({
    opening: { connections: 1, bytesOut: 1000, bytesIn: 0 }, calls: { command: { connections: 0, bytesOut: 10, bytesIn: 50, packetsOut: 1, packetsIn: 1, roundTrips: 1 } },
  })
  expect(counted.get('fresh')!.calls.command).toEqual({ connections: 1, bytesOut: 20, bytesIn: 50, packetsOut: 1, packetsIn: 1, roundTrips: 2 })
})

test('what is sent beside while the target works on its answer makes no further round trip', async () => {
  const work = 60
  const listener = createServer((socket) => {
    socket.on('error', () => {}).once('data', () => {
      socket.write('started')
      setTimeout(() => socket.end('done'), work)
    })
  })
  servers.push(listener)
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const working = able('working', true, work, (door) => ({
    open: async () => {},
    call: async () => {
      const socket = await dial(door)
      socket.write('begin')
      let said = ''
      for await (const bytes of socket.setEncoding('utf8')) {
        if (said === '') socket.write('thanks')
        said += bytes as string
      }
      expect(said).toBe('starteddone')
    },
    close: async () => {},
  }))
  const { counted, problems } = await count({ clock: systemClock, entries: [working], target: { host: '127.0.0.1', port: (listener.address() as AddressInfo).port }, stop: new AbortController().signal, progress: () => {} })
  expect(problems).toEqual([])
  expect(counted.get('working')!.calls.command!.roundTrips).toBe(2)
})

test('counting stops at once when it is told to', async () => {
  const target = await server(0)
  const stop = new AbortController()
  const hangs = able('a', false, 1, () => ({ open: () => new Promise(() => {}), call: async () => {}, close: async () => {} }))
  const counting = count({ clock: systemClock, entries: [hangs], target, stop: stop.signal, progress: () => {} })
  stop.abort(new Error('stopped'))
  expect((await counting).problems).toEqual([])
})

test.skipIf(process.platform !== 'linux')('CPU of children counts while they live and when they have ended, and not of those that are named', async () => {
  const before = readCpu(new Set())
  const child = spawn(process.execPath, ['-e', 'const end=Date.now()+300;while(Date.now()<end);console.log("done");process.stdin.resume()'], { stdio: ['pipe', 'pipe', 'ignore'] })
  await once(child.stdout, 'data')
  const alive = readCpu(new Set()).children! - before.children!
  expect(alive).toBeGreaterThan(20)
  expect(readCpu(new Set([child.pid!])).children! - before.children!).toBeLessThan(alive)
  child.stdin.end()
  await once(child, 'close')
  expect(readCpu(new Set()).children! - before.children!).toBeGreaterThan(20)
})
