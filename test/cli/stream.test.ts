import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { deferred } from '../../src/base/deferred.ts'
import type { Deferred } from '../../src/base/deferred.ts'
import { RametError } from '../../src/router/errors.ts'
import type { RemoteChild, SpawnOptions } from '../../src/controller/api.ts'
import { FakeDesk, settle } from './fake-desk.ts'
import type { FakeTarget } from './fake-tree.ts'

/** A command that prints what the test says, when it says so. */
class FakeChild {
  readonly stdout = new PassThrough()
  readonly stderr = new PassThrough()
  readonly stdin = new PassThrough()
  readonly pid: Deferred<number> = deferred()
  readonly end: Deferred<{ exitCode: number | null; signal: string | null }> = deferred()
  options: SpawnOptions | undefined

  readonly target: FakeTarget = {
    spawn: (_command, options) => {
      this.options = options
      options.signal?.addEventListener('abort', () => this.lost(new RametError('cancelled', 'web1: it was cancelled', { path: ['web1'], outcome: 'unknown' })))
      return { stdin: this.stdin, stdout: this.stdout, stderr: this.stderr, pid: this.pid.promise, exited: this.end.promise } as unknown as RemoteChild
    },
  }

  ended(exitCode: number): void {
    this.stdout.end()
    this.stderr.end()
    this.end.resolve({ exitCode, signal: null })
  }

  lost(error: Error): void {
    this.end.promise.catch(() => {})
    this.end.reject(error)
    for (const stream of [this.stdout, this.stderr]) stream.on('error', () => {}).destroy(error)
  }
}

describe('ramet run --stream', () => {
  it('shows whole lines as they come, each behind its target, and the verdict at the end', async () => {
    const [web1, web2] = [new FakeChild(), new FakeChild()]
    const desk = new FakeDesk({ web1: web1.target, web2: web2.target })
    const done = desk.run('run', 'x', '-t', 'web1,web2', '--stream')
    await settle()
    web1.stdout.write('one\ntw')
    web2.stderr.write('bad\u001b[2J\n')
    await settle()
    expect(desk.stdout.text).toBe('web1 | one\nweb2 | err| bad\\x1b[2J\n')
    web1.stdout.write('o\r\n\nthree\n')
    await settle()
    expect(desk.stdout.text).toBe('web1 | one\nweb2 | err| bad\\x1b[2J\nweb1 | two\nweb1 | \nweb1 | three\n')
    desk.clock.move(1000)
    web2.stdout.write('no end')
    web2.ended(0)
    await settle()
    web1.ended(3)
    expect(await done).toBe(1)
    expect(desk.stdout.text.split('\n').slice(5)).toEqual(['web2 | no end', 'web2: ok (1.00 s)', 'web1: failed: exit code 3 (1.00 s)', ''])
  })

  it('writes output events to jsonl, with the bytes where they are no text; connecting is no part of the duration', async () => {
    const web1 = new FakeChild()
    const desk = new FakeDesk({ web1: web1.target })
    const done = desk.run('run', 'x', '-t', 'web1', '--stream', '--format', 'jsonl')
    await settle()
    desk.clock.move(700)
    web1.pid.resolve(4711)
    web1.stderr.write(Buffer.from([0x61, 0xff, 10]))
    await settle()
    desk.clock.move(50)
    web1.ended(0)
    expect(await done).toBe(0)
    const events = desk.stdout.text.trimEnd().split('\n').map((line) => JSON.parse(line) as unknown)
    expect(events.slice(2, 4)).toEqual([
      { v: 1, type: 'output', target: 'web1', elapsed: 0.7, stream: 'stderr', text: 'a\\xff\n', text_base64: 'Yf8K' },
      expect.objectContaining({ type: 'result', verdict: 'ok', value: { stdout: '', stderr: '', merged_output: '', exit_code: 0, duration: 0.05 } }),
    ])
  })

  it('takes no more from the command while stdout has not taken what was written', async () => {
    const web1 = new FakeChild()
    const desk = new FakeDesk({ web1: web1.target })
    const taken = deferred<void>()
    desk.stdout.flush = () => taken.promise
    const done = desk.run('run', 'x', '-t', 'web1', '--stream')
    await settle()
    web1.stdout.write('one\n')
    await settle()
    const room = web1.stdout.write(Buffer.alloc(1024 * 1024, 'two\n'))
    await settle()
    expect(room).toBe(false)
    expect(web1.stdout.readableLength).toBe(1024 * 1024)
    expect(desk.stdout.text).toBe('web1 | one\n')
    taken.resolve()
    web1.ended(0)
    expect(await done).toBe(0)
    expect(desk.stdout.text).toMatch(/web1 \| two\nweb1: ok/)
  })

  it('shows a line that does not end in pieces, and cuts no character in two', async () => {
    const web1 = new FakeChild()
    const desk = new FakeDesk({ web1: web1.target })
    const done = desk.run('run', 'x', '-t', 'web1', '--stream')
    await settle()
    const text = `x${'\u20ac'.repeat(22_000)}`
    for (const piece of [0, 30_000, 60_000].map((at) => Buffer.from(text).subarray(at, Math.min(at + 30_000, 65_537)))) web1.stdout.write(piece)
    await settle()
    expect(desk.stdout.text).toMatch(/^web1 \| x\u20ac{21845}\n$/)
    web1.stdout.write(Buffer.from(text).subarray(65_537))
    web1.ended(0)
    expect(await done).toBe(0)
    expect(desk.stdout.text).toMatch(/^web1 \| x\u20ac{21845}\nweb1 \| \u20ac{155}\nweb1: ok/)
  })

  it('cancels the command when the reader of stdout has gone, and says nothing', async () => {
    const web1 = new FakeChild()
    const desk = new FakeDesk({ web1: web1.target })
    const done = desk.run('run', 'yes', '-t', 'web1', '--stream')
    await settle()
    desk.stdout.break()
    expect(await done).toBe(1)
    expect(web1.options?.signal?.aborted).toBe(true)
    expect(desk.stderr.text).toBe('')
  })

  it('ends the command after --timeout, with the outcome that the target told', async () => {
    const web1 = new FakeChild()
    const desk = new FakeDesk({ web1: web1.target })
    desk.files.in = 'input'
    const done = desk.run('run', 'x', '-t', 'web1', '--stream', '--timeout', '1.5', '--cwd', '/srv', '--env', 'A=1', '--stdin', 'in')
    await settle()
    expect(web1.options).toEqual({ cwd: '/srv', env: { A: '1' }, signal: expect.any(AbortSignal) as AbortSignal })
    expect(web1.stdin.read()?.toString()).toBe('input')
    web1.stdout.write('half')
    await settle()
    desk.clock.move(1500)
    expect(await done).toBe(1)
    expect(desk.stdout.text.split('\n').slice(0, 4)).toEqual([
      'web1 | half', 'web1: outcome unknown (1.50 s)', '  timeout: web1: the command took longer than 1.5 s', '  path: web1',
    ])
    expect(desk.clock.waiting).toBe(0)
  })

  it.each([
    [['--fold'], '--stream and --fold exclude each other'],
    [['--format', 'json'], '--stream is for --format human and jsonl'],
  ])('is refused with %j before anything is contacted', async (words, message) => {
    const desk = new FakeDesk()
    expect(await desk.run('run', 'x', '-t', 'a', '--stream', ...words)).toBe(1)
    expect(desk.stderr.text).toContain(message)
    expect(desk.opened).toEqual([])
  })
})
