import { PassThrough, Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { StreamPipe } from '../../src/connect/stream-pipe.ts'
import { PIPE_LOW_WATER } from '../../src/router/pipe.ts'
import { Collector } from '../helpers/process-io.ts'
import { settle } from '../helpers/test-clock.ts'

/** A stream that takes a write only when the test says so. */
class Slow extends Writable {
  writes: number[] = []
  release: (() => void) | undefined
  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.writes.push(chunk.length)
    this.release = done
  }
  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.writes.push(chunks.reduce((sum, { chunk }) => sum + chunk.length, 0))
    this.release = done
  }
}

describe('a pipe over streams', () => {
  it('lets what is written in one tick leave in one write', async () => {
    const out = new Slow()
    const pipe = new StreamPipe(new PassThrough(), out)
    for (const size of [4, 300, 16]) pipe.write(Buffer.alloc(size))
    expect([out.writes, pipe.pending, pipe.bytesOut]).toEqual([[], 320, 320])
    await settle(1)
    expect(out.writes).toEqual([320])
    out.release?.()
    await settle(1)
    for (let i = 0; i < 3; i++) pipe.write(Buffer.alloc(10_000))
    await settle(1)
    expect(out.writes).toEqual([320, 30_000])
    out.release?.()
    await settle(1)
    expect(pipe.pending).toBe(0)
  })

  it('says drain once after it had been full, and not before', async () => {
    const out = new Slow()
    const pipe = new StreamPipe(new PassThrough(), out)
    const io = new Collector(pipe)
    pipe.write(Buffer.alloc(PIPE_LOW_WATER))
    await settle(1)
    out.release?.()
    await settle(1)
    expect(io.drains).toBe(0)
    pipe.write(Buffer.alloc(PIPE_LOW_WATER + 1))
    await settle(1)
    expect([io.drains, pipe.pending]).toEqual([0, PIPE_LOW_WATER + 1])
    out.release?.()
    await settle(1)
    expect([io.drains, pipe.pending]).toEqual([1, 0])
  })

  it('goes on reading when the other side of writing breaks, and lets nobody wait for room', async () => {
    const [source, out] = [new PassThrough(), new Slow()]
    const pipe = new StreamPipe(source, out)
    const io = new Collector(pipe)
    pipe.write(Buffer.alloc(PIPE_LOW_WATER * 2))
    out.destroy(new Error('EPIPE'))
    await settle(2)
    expect([io.drains, pipe.pending, io.closed]).toEqual([1, 0, 0])
    pipe.write(Buffer.alloc(10))
    source.end('rest')
    await settle(2)
    expect([io.text, io.closed, io.cause]).toEqual(['rest', 1, undefined])
  })

  it('tells a break once, with its cause, also to a sink that comes late', async () => {
    const both = new PassThrough()
    const pipe = new StreamPipe(both, both)
    const cause = new Error('reset')
    both.destroy(cause)
    await settle(2)
    const io = new Collector(pipe)
    await settle(2)
    expect([io.closed, io.cause]).toEqual([1, cause])
    pipe.close()
    pipe.close()
    await settle(2)
    expect(io.closed).toBe(1)
  })

  it('loses nothing before start, and delivers nothing after close', async () => {
    const source = new PassThrough()
    const pipe = new StreamPipe(source, new PassThrough())
    source.write('early')
    await settle(2)
    const io = new Collector(pipe)
    await settle(2)
    expect(io.text).toBe('early')
    pipe.close()
    source.write('late')
    await settle(2)
    expect([io.text, io.closed, io.cause]).toEqual(['early', 1, undefined])
  })
})
