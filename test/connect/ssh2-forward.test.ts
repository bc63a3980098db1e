import { createHash, randomFillSync } from 'node:crypto'
import type { Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Ssh2Options, connectSsh2 } from '../../src/connect/ssh2.ts'
import { privateKey } from '../../src/connect/ssh2-key.ts'
import type { Connection } from '../../src/connect/transport.ts'
import { type RametError, isRametError } from '../../src/router/errors.ts'
import { PIPE_LOW_WATER, type Pipe } from '../../src/router/pipe.ts'
import { Collector } from '../helpers/process-io.ts'
import { type TestServer, freePort, haveDropbear, haveSshd, startDropbear, startSshd } from '../helpers/sshd.ts'
import { startTcp } from '../helpers/tcp.ts'

const MIB = 1024 * 1024
const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const to = (server: TestServer, more: Partial<Ssh2Options> = {}): Connection => connectSsh2({
  host: server.host, port: server.port, user: server.user, keys: [privateKey(server.key, { comment: 'id' })], name: 'gate',
  verifyHostKey: () => true, ...more,
})
const dial = (connection: Connection, port: number, signal?: AbortSignal, host = '127.0.0.1'): Promise<Pipe> => {
  if (connection.dial === undefined) throw new Error('it cannot dial')
  return connection.dial(host, port, signal)
}
const refused = async (work: Promise<unknown>): Promise<RametError> => {
  const error: unknown = await work.then(() => new Error('it succeeded'), (reason: unknown) => reason)
  if (!isRametError(error)) throw error
  expect([error.message.startsWith('gate: '), error.hint.length > 20, error.outcome]).toEqual([true, true, 'not-sent'])
  return error
}
const echo = () => startTcp((socket) => void socket.pipe(socket))

const noShell = ['ForceCommand /bin/false', 'PermitTTY no']
const kinds: { name: string; here: boolean; start: () => Promise<TestServer> }[] = [
  { name: 'sshd', here: haveSshd, start: () => startSshd() },
  { name: 'sshd that starts no process', here: haveSshd, start: () => startSshd({ config: noShell }) },
  { name: 'sshd that rekeys all the time', here: haveSshd, start: () => startSshd({ config: ['RekeyLimit 512K'] }) },
  { name: 'dropbear', here: haveDropbear, start: () => startDropbear() },
]

for (const kind of kinds) {
  describe.skipIf(!kind.here)(`TCP through ${kind.name} (left out where it is not installed)`, () => {
    let server: TestServer
    let gate: Connection
    beforeAll(async () => {
      server = await kind.start()
      gate = to(server)
    })
    afterAll(async () => {
      await gate.close()
      await server.stop()
    })

    it('carries bytes both ways, whole and in order, 24 MiB of them', async () => {
      await using server = await echo()
      const sent = randomFillSync(Buffer.alloc(24 * MIB))
      const pipe = await dial(gate, server.port)
      const io = new Collector(pipe)
      for (let at = 0; at < sent.length;) {
        const size = Math.min(37_777, sent.length - at)
        pipe.write(sent.subarray(at, at + size))
        at += size
        const { drains } = io
        if (pipe.pending > PIPE_LOW_WATER) await io.until(() => io.drains > drains || pipe.pending <= PIPE_LOW_WATER)
      }
      await io.until(() => io.bytes === sent.length)
      expect(digest(io.buffer)).toBe(digest(sent))
      pipe.close()
      await io.until(() => io.closed === 1)
      await vi.waitFor(() => expect(server.sockets.size).toBe(0))
    })

    it('asked for before the login leaves with it', async () => {
      await using server2 = await echo()
      const connection = to(server)
      const io = new Collector(await dial(connection, server2.port))
      expect(connection.stage).toBe('launch')
      expect(io.closed).toBe(0)
      await connection.close()
      await io.until(() => io.closed === 1)
    })

    it('tells the end of file of either side', async () => {
      await using server = await startTcp((socket) => socket.on('data', (bytes) => bytes.toString() === 'bye' && socket.end('goodbye')))
      const pipe = await dial(gate, server.port)
      const io = new Collector(pipe)
      pipe.write(Buffer.from('bye'))
      await io.until(() => io.closed === 1)
      expect([io.text, io.cause]).toEqual(['goodbye', undefined])
      pipe.close()
      let ended = 0
      await using sink = await startTcp((socket) => socket.on('end', () => ended++).resume())
      const other = await dial(gate, sink.port)
      other.start({ data() {}, drain() {}, closed() {} })
      other.write(Buffer.alloc(300_000))
      other.end()
      await vi.waitFor(() => expect(ended).toBe(1))
      other.close()
    })

    it('a port at which nothing listens', async () => {
      const port = await freePort()
      expect(await refused(dial(gate, port))).toMatchObject({ code: 'connect-refused', stage: 'tcp',
        message: `gate: nothing listens at 127.0.0.1 port ${port}, seen from there` })
    })

    it('a name that the server does not know', async () => {
      expect(await refused(dial(gate, 22, undefined, 'no-such-host.invalid'))).toMatchObject({ code: 'resolve-failed', stage: 'resolve' })
    })

    it('an abort ends the attempt, and what is opened later by the server is closed', async () => {
      await using server = await echo()
      const abort = new AbortController()
      const opening = dial(gate, server.port, abort.signal)
      abort.abort(new Error('enough'))
      await expect(opening).rejects.toThrow('enough')
      await expect(dial(gate, server.port, abort.signal)).rejects.toThrow('enough')
      await vi.waitFor(() => expect([server.sockets.size, gate.stats().bytesIn > 0]).toEqual([0, true]))
    })

    it('an SSH connection through it: twenty at once over the one', async () => {
      await using target = await startSshd()
      const io = await Promise.all(Array.from({ length: 20 }, async (_, at) => {
        const inner = to(target, { name: `web${at}`, dial: (signal) => dial(gate, target.port, signal) })
        const process = inner.open(`echo ${at}`)
        const io = new Collector(process)
        await process.exited
        expect(inner.stats().bytesIn).toBeGreaterThan(500)
        await inner.close()
        return io.text
      }))
      expect(io).toEqual(Array.from({ length: 20 }, (_, at) => `${at}\n`))
    })
  })
}

describe.skipIf(!haveSshd)('what an sshd would hold back until it hears of us (Nagle; left out where there is none)', () => {
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  /** A port that says a letter when told to. */
  const speaker = async () => {
    const sockets: Socket[] = []
    const server = await startTcp((socket) => void sockets.push(socket))
    return { port: server.port, say: () => (sockets[0] as Socket).write('x'), [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
  }

  it('is called for by a packet without meaning where nothing was written in the same turn', async () => {
    await using server = await startSshd()
    await using far = await speaker()
    const gate = to(server)
    const pipe = await dial(gate, far.port)
    const io = new Collector(pipe)
    // What the login and the channel called for has left.
    await turn()
    const sent: number[] = [gate.stats().bytesOut]
    for (let round = 1; round <= 5; round++) {
      await vi.waitFor(far.say)
      await io.until(() => io.bytes === round)
      await vi.waitFor(() => expect(gate.stats().bytesOut).toBeGreaterThan(sent.at(-1) as number))
      sent.push(gate.stats().bytesOut)
    }
    // 36 bytes are the least that a packet can have.
    expect(sent.slice(1).map((bytes, at) => bytes - (sent[at] as number))).toEqual(Array(5).fill(36))
    await gate.close()
  })

  it('comes by itself where an answer was written, and where sshd has turned that delay off for a process', async () => {
    await using server = await startSshd()
    await using far = await echo()
    const answering = to(server)
    const pipe = await dial(answering, far.port)
    await turn()
    let left = 20
    const ended = new Promise<void>((resolve) => pipe.start({ drain() {}, closed() {}, data: (bytes) => left-- === 0 ? resolve() : pipe.write(bytes) }))
    const before = answering.stats().bytesOut
    pipe.write(Buffer.from('x'))
    await ended
    const each = (answering.stats().bytesOut - before) / 21
    expect(Number.isInteger(each)).toBe(true)
    await answering.close()

    const busy = to(server)
    const process = busy.open('cat')
    const quiet = await dial(busy, far.port)
    const io = new Collector(quiet)
    const heard = new Collector(process)
    await turn()
    const start = busy.stats().bytesOut
    quiet.write(Buffer.from('x'))
    await io.until(() => io.bytes === 1)
    process.pipe.write(Buffer.from('y'))
    await heard.until(() => heard.bytes === 1)
    expect(busy.stats().bytesOut - start).toBe(2 * each)
    await busy.close()
  })
})

describe.skipIf(!haveSshd)('what an sshd refuses (left out where there is none)', () => {
  it.each([
    ['AllowTcpForwarding no', 'gate: it does not let connections through to 127.0.0.1 port PORT'],
    ['DisableForwarding yes', 'gate: it does not let connections through to 127.0.0.1 port PORT'],
    ['PermitOpen 127.0.0.1:1', 'gate: it does not let connections through to 127.0.0.1 port PORT'],
  ])('%s: says so, and what has to be changed', async (line, message) => {
    await using target = await echo()
    await using server = await startSshd({ config: [line] })
    const gate = to(server)
    const error = await refused(dial(gate, target.port))
    expect(error).toMatchObject({ code: 'not-allowed', stage: 'tcp', message: message.replace('PORT', String(target.port)) })
    expect(error.hint).toMatch(/AllowTcpForwarding.*PermitOpen/s)
    expect(target.taken()).toBe(0)
    await gate.close()
  })

  it('PermitOpen lets through what it names', async () => {
    await using target = await echo()
    await using server = await startSshd({ config: [...noShell, `PermitOpen 127.0.0.1:${target.port}`] })
    const gate = to(server)
    const pipe = await dial(gate, target.port)
    const io = new Collector(pipe)
    pipe.write(Buffer.from('x'))
    await io.until(() => io.bytes === 1)
    expect(io.text).toBe('x')
    await gate.close()
  })

  it('a connection that ends takes what goes through it along, with its error as the cause', async () => {
    await using target = await echo()
    const server = await startSshd()
    const gate = to(server)
    const io = new Collector(await dial(gate, target.port))
    await server.stop()
    await io.until(() => io.closed === 1)
    expect(io.cause).toMatchObject({ code: 'link-lost' })
    expect(io.cause?.message).toMatch(/^gate: /)
    expect((await refused(dial(gate, target.port).catch((error: RametError) => { throw Object.assign(error, { outcome: 'not-sent' }) }))).code).toBe('link-lost')
    await gate.close()
  })

  it('holds at most a window of what nobody reads, and other channels go on', async () => {
    const block = Buffer.alloc(256 * 1024, 1)
    await using flood = await startTcp((socket) => {
      const more = (): void => {
        while (!socket.destroyed && socket.write(block)) { /* until it is full */ }
      }
      socket.on('drain', more)
      more()
    })
    await using calm = await echo()
    await using server = await startSshd()
    const gate = to(server)
    const held = await dial(gate, flood.port)
    const io = new Collector(held)
    held.pause()
    const other = await dial(gate, calm.port)
    const heard = new Collector(other)
    for (let round = 1; round <= 20; round++) {
      other.write(Buffer.alloc(100_000, round))
      await heard.until(() => heard.bytes === round * 100_000)
    }
    const before = gate.stats().bytesIn - heard.bytes
    expect(before).toBeLessThan(3 * MIB)
    held.resume()
    await io.until(() => io.bytes > 8 * MIB)
    await gate.close()
  })
})
