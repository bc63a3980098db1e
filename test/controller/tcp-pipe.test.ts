import { createHash, randomFillSync } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { pino } from 'pino'
import { Controller, type Context } from '../../src/controller/index.ts'
import { coreOf } from '../../src/controller/context.ts'
import { throughContext } from '../../src/controller/jump-context.ts'
import type { JumpWay } from '../../src/controller/jump-way.ts'
import { PIPE_LOW_WATER, type Pipe } from '../../src/router/pipe.ts'
import type { Router } from '../../src/router/router.ts'
import { NODE_VERSIONS, nodeBinary } from '../helpers/node-binaries.ts'
import { Collector } from '../helpers/process-io.ts'
import { freePort } from '../helpers/sshd.ts'
import { startTcp } from '../helpers/tcp.ts'

const MIB = 1024 * 1024
const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const versions = [undefined, NODE_VERSIONS[0], NODE_VERSIONS[1], NODE_VERSIONS[2], NODE_VERSIONS[6]] as const

describe.each(versions.map((version) => [version ?? 'our own version', version] as const))('TCP from a machine of Node %s (left out where .cache/node lacks it)', (_, version) => {
  const node = version === undefined ? process.execPath : nodeBinary(version)
  describe.skipIf(node === undefined)('over a channel', () => {
    let ramet: Controller
    let context: Context
    let way: JumpWay
    beforeEach(async () => {
      ramet = new Controller({ logger: pino({ level: 'silent' }) })
      context = await ramet.connect('local:', { node: node as string, runtime: 'node' })
      const core = coreOf(context)
      if (core === undefined) throw new Error('no core')
      way = throughContext(core, (ramet as unknown as { router: Router }).router)
    })
    afterEach(async () => {
      await vi.waitFor(() => expect(ramet.describe()['channels']).toHaveLength(1))
      await ramet.close()
    })
    const dial = (port: number, signal = new AbortController().signal): Promise<Pipe> => way.dial('127.0.0.1', port, signal)

    it('carries bytes both ways, whole and in order', async () => {
      await using echo = await startTcp((socket) => void socket.pipe(socket))
      const sent = randomFillSync(Buffer.alloc(12 * MIB))
      const pipe = await dial(echo.port)
      const io = new Collector(pipe)
      for (let at = 0, size = 1; at < sent.length; at += size) {
        size = Math.min(1 + (at * 7) % 50_000, sent.length - at)
        pipe.write(sent.subarray(at, at + size))
        const { drains } = io
        if (pipe.pending > PIPE_LOW_WATER) await io.until(() => io.drains > drains || pipe.pending <= PIPE_LOW_WATER)
      }
      await io.until(() => io.bytes === sent.length)
      expect(digest(io.buffer)).toBe(digest(sent))
      pipe.close()
      await io.until(() => io.closed === 1)
      await vi.waitFor(() => expect(echo.sockets.size).toBe(0))
    })

    it('tells the end of file of either side', async () => {
      await using server = await startTcp((socket) => socket.on('data', (bytes) => bytes.toString() === 'bye' && socket.end('goodbye')))
      const io = new Collector(await dial(server.port).then((pipe) => (pipe.write(Buffer.from('bye')), pipe)))
      await io.until(() => io.closed === 1)
      expect([io.text, io.cause]).toEqual(['goodbye', undefined])
      let received = 0
      let ended = 0
      await using sink = await startTcp((socket) => socket.on('data', (bytes) => (received += bytes.length)).on('end', () => ended++))
      const other = await dial(sink.port)
      const last = new Collector(other)
      other.write(Buffer.alloc(3 * MIB))
      other.end()
      await vi.waitFor(() => expect([received, ended]).toEqual([3 * MIB, 1]))
      other.close()
      await last.until(() => last.closed === 1)
    })

    it('holds a bounded number of bytes of what nobody reads, here and there, and others go on', async () => {
      let written = 0
      const block = Buffer.alloc(64 * 1024)
      await using flood = await startTcp((socket) => {
        const more = (): void => {
          while (!socket.destroyed) {
            written += block.length
            if (!socket.write(block)) return
          }
        }
        socket.on('drain', more)
        more()
      })
      const pipe = await dial(flood.port)
      const io = new Collector(pipe)
      pipe.pause()
      await using calm = await startTcp((socket) => void socket.pipe(socket))
      const other = await dial(calm.port)
      const heard = new Collector(other)
      for (let round = 1; round <= 30; round++) {
        other.write(Buffer.alloc(50_000))
        await heard.until(() => heard.bytes === round * 50_000)
      }
      const before = io.bytes
      // Our window, the module's one chunk, and what the kernel keeps for a loopback socket on both sides.
      expect(written).toBeLessThan(16 * MIB)
      pipe.resume()
      await io.until(() => io.bytes > before + 20 * MIB)
      pipe.close()
      other.close()
      await io.until(() => io.closed === 1)
    })

    it('counts what the other side does not take as pending, and says when there is room', async () => {
      await using stuck = await startTcp((socket) => void socket.pause())
      const pipe = await dial(stuck.port)
      const io = new Collector(pipe)
      let sent = 0
      while (sent < 64 * MIB && pipe.pending < 4 * MIB) {
        pipe.write(Buffer.alloc(256 * 1024))
        sent += 256 * 1024
        await new Promise((resolve) => setImmediate(resolve))
      }
      expect(pipe.pending).toBeGreaterThanOrEqual(4 * MIB)
      const { drains } = io
      for (const socket of stuck.sockets) socket.resume()
      await io.until(() => io.drains > drains)
      expect(pipe.pending).toBeLessThan(PIPE_LOW_WATER)
      pipe.close()
      await io.until(() => io.closed === 1)
    })

    it('what cannot be reached', async () => {
      const port = await freePort()
      await expect(dial(port)).rejects.toMatchObject({ code: 'connect-refused', stage: 'tcp', message: `local: nothing listens at 127.0.0.1 port ${port}` })
      await expect(way.dial('no-such-host.invalid', 22, new AbortController().signal)).rejects.toMatchObject({ code: 'resolve-failed' })
    })

    it('an abort ends the attempt; a reset is an error; a port that is closed at once is no error', async () => {
      await using quiet = await startTcp((socket) => void socket.resume())
      const abort = new AbortController()
      const opening = dial(quiet.port, abort.signal)
      abort.abort(new Error('enough'))
      await expect(opening).rejects.toThrow('enough')
      await expect(dial(quiet.port, abort.signal)).rejects.toThrow('enough')
      await using resets = await startTcp((socket) => void socket.once('data', () => socket.resetAndDestroy()))
      const pipe = await dial(resets.port)
      const io = new Collector(pipe)
      pipe.write(Buffer.from('x'))
      await io.until(() => io.closed === 1)
      expect(io.cause).toMatchObject({ code: 'link-lost', message: `local: the connection to 127.0.0.1 port ${resets.port} broke (ECONNRESET)` })
      await using hangsUp = await startTcp((socket) => void socket.end())
      const short = new Collector(await dial(hangsUp.port))
      await short.until(() => short.closed === 1)
      expect([short.bytes, short.cause]).toEqual([0, undefined])
      await vi.waitFor(() => expect(quiet.sockets.size).toBe(0))
    })

    it('its context\'s end ends it, with the context\'s error as the cause', async () => {
      await using quiet = await startTcp((socket) => void socket.resume())
      const io = new Collector(await dial(quiet.port))
      process.kill(context.info?.pid ?? 0, 'SIGKILL')
      await io.until(() => io.closed === 1)
      expect(io.cause).toMatchObject({ code: 'link-lost' })
      await vi.waitFor(() => expect(quiet.sockets.size).toBe(0))
      ramet = new Controller({ logger: pino({ level: 'silent' }) })
      await ramet.connect('local:')
    })
  })
})
