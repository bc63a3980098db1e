import { randomFillSync } from 'node:crypto'
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { deferred } from '../../src/base/deferred.ts'
import type { CommandEnd, CommandLane, CommandRequest, RunningCommand } from '../../src/connect/command.ts'
import type { ExecError, ExecOptions } from '../../src/controller/api.ts'
import { runCommand } from '../../src/controller/exec.ts'
import { LateLane } from '../../src/controller/late-lane.ts'
import { spawnCommand } from '../../src/controller/spawn.ts'
import { RametError } from '../../src/router/errors.ts'
import { TestClock } from '../helpers/test-clock.ts'

/** A lane whose one command does what the test says. */
class ScriptedLane implements CommandLane, RunningCommand {
  onOutput: RunningCommand['onOutput']
  onWritable: RunningCommand['onWritable']
  readonly log: string[] = []
  readonly input: Buffer[] = []
  room = Infinity
  given = 0
  request: CommandRequest | undefined
  private readonly pidKnown = deferred<number>()
  readonly end = deferred<CommandEnd>()
  readonly pid = this.pidKnown.promise
  readonly ended = this.end.promise

  start(request: CommandRequest): RunningCommand {
    this.request = request
    return this
  }

  print(stream: 'stdout' | 'stderr', data: string | Buffer): void {
    this.onOutput?.(stream, Buffer.from(data as string))
  }

  write(bytes: Uint8Array): boolean {
    this.input.push(Buffer.from(bytes))
    this.room -= bytes.length
    return this.room > 0
  }

  consumed(bytes: number): void { this.given += bytes }
  endStdin(): void { this.log.push('eof') }
  signal(name: string): void { this.log.push(name) }
  closeOutput(stream: 'stdout' | 'stderr'): void { this.log.push(`close ${stream}`) }
  terminate(grace: number): void { this.log.push(`terminate ${grace}`) }
}

function scene(options: ExecOptions = {}) {
  const lane = new ScriptedLane()
  const clock = new TestClock()
  const result = runCommand(lane, 'make all', options, { name: 'web1', path: ['web1'], clock })
  const error = result.then(() => { throw new Error('it succeeded') }, (reason: unknown) => reason as ExecError)
  error.catch(() => {})
  result.catch(() => {})
  return { lane, clock, result, error }
}

const done = (exitCode: number | null, signal: string | null = null): CommandEnd => ({ exitCode, signal, duration: 5 })

describe('exec over a lane', () => {
  test('gives every byte of output back as consumed, kept or not', async () => {
    const { lane, result } = scene({ maxOutput: 4 })
    lane.print('stdout', 'abc')
    lane.print('stderr', 'def')
    lane.print('stdout', 'ghi')
    lane.end.resolve(done(0))
    expect(await result).toEqual({
      stdout: 'abc', stderr: 'd', output: [{ stream: 'stdout', data: 'abc' }, { stream: 'stderr', data: 'd' }],
      exitCode: 0, signal: null, truncated: true, duration: 5,
    })
    expect(lane.given).toBe(9)
  })

  test('many small pieces make one run, in buffers that are the bytes themselves', async () => {
    const { lane, result } = scene({ encoding: 'buffer' })
    for (let i = 0; i < 70_000; i++) lane.print('stdout', 'x')
    lane.end.resolve(done(0))
    const { output, stdout, truncated } = await result
    expect(output).toHaveLength(1)
    expect((stdout as Buffer).equals(Buffer.alloc(70_000, 'x'))).toBe(true)
    expect(truncated).toBe(false)
  })

  test('a lost link rejects with its own error, and what had been printed', async () => {
    const { lane, error } = scene()
    lane.print('stdout', 'so far')
    lane.end.reject(new RametError('link-lost', 'web1: the link was lost', { outcome: 'unknown' }))
    expect(await error).toMatchObject({ code: 'link-lost', outcome: 'unknown', path: ['web1'], result: { stdout: 'so far', exitCode: null, signal: null } })
  })

  test('an error that is none of ours becomes link-lost with its cause', async () => {
    const { lane, error } = scene()
    const cause = new Error('boom')
    lane.end.reject(cause)
    expect(await error).toMatchObject({ code: 'link-lost', outcome: 'unknown', cause, path: ['web1'] })
  })

  test('a timeout terminates with 2 s of grace and waits for the end', async () => {
    const { lane, clock, error } = scene({ timeout: 1000 })
    lane.print('stdout', 'a')
    clock.advance(999)
    expect(lane.log).toEqual(['eof'])
    clock.advance(1)
    expect(lane.log).toEqual(['eof', 'terminate 2000'])
    lane.print('stdout', 'b')
    lane.end.resolve(done(null, 'SIGTERM'))
    const failed = await error
    expect(failed).toMatchObject({ code: 'timeout', outcome: 'failed', path: ['web1'], result: { stdout: 'ab', signal: 'SIGTERM' } })
    expect(failed.message).toBe("web1: 'make all' took longer than 1000 ms")
  })

  test('a timeout on a stalled link ends all the same, as unknown', async () => {
    const { lane, clock, error } = scene({ timeout: 1000 })
    clock.advance(1000)
    clock.advance(5000)
    expect(await error).toMatchObject({ code: 'timeout', outcome: 'unknown', result: { exitCode: null, signal: null } })
    lane.print('stdout', 'late')
    lane.end.resolve(done(0))
    expect(lane.given).toBe(4)
  })

  test('a signal that comes after the end changes nothing', async () => {
    const controller = new AbortController()
    const { lane, clock, result } = scene({ signal: controller.signal, timeout: 1000 })
    lane.end.resolve(done(0))
    expect(await result).toMatchObject({ exitCode: 0 })
    controller.abort()
    clock.advance(10_000)
    expect(lane.log).toEqual(['eof'])
  })

  test('stdin waits for room, and ends after the last byte', async () => {
    const lane = new ScriptedLane()
    lane.room = 40_000
    const stdin = randomFillSync(Buffer.alloc(200_000))
    const result = runCommand(lane, 'x', { stdin }, { name: 'a', path: [], clock: new TestClock() })
    expect(Buffer.concat(lane.input)).toHaveLength(2 * (32 * 1024 - 1))
    expect(lane.log).toEqual([])
    lane.room = Infinity
    lane.onWritable?.()
    expect(Buffer.concat(lane.input).equals(stdin)).toBe(true)
    expect(lane.log).toEqual(['eof'])
    lane.end.resolve(done(0))
    await result
  })

  test('a stdin stream is read only as fast as the command takes it', async () => {
    const lane = new ScriptedLane()
    lane.room = 10
    let read = 0
    const stdin = new Readable({ highWaterMark: 1, read() { read++; this.push(read <= 50 ? 'x'.repeat(10) : null) } })
    const result = runCommand(lane, 'x', { stdin }, { name: 'a', path: [], clock: new TestClock() })
    await new Promise((resolve) => setImmediate(resolve))
    expect(Buffer.concat(lane.input).length).toBeLessThanOrEqual(20)
    lane.room = Infinity
    lane.onWritable?.()
    await new Promise((resolve) => stdin.once('close', resolve))
    expect(Buffer.concat(lane.input)).toHaveLength(500)
    expect(lane.log).toEqual(['eof'])
    lane.end.resolve(done(0))
    await result
  })

  test('spawn gives credit back only for what was read', async () => {
    const lane = new ScriptedLane()
    const child = spawnCommand(lane, 'x', {}, { name: 'a', path: [], clock: new TestClock() })
    lane.print('stdout', Buffer.alloc(100_000))
    lane.print('stdout', Buffer.alloc(50_000))
    await new Promise((resolve) => setImmediate(resolve))
    expect(lane.given).toBe(0)
    child.stdout.resume()
    await new Promise((resolve) => setImmediate(resolve))
    expect(lane.given).toBe(150_000)
    child.stderr.destroy()
    lane.print('stderr', 'nobody reads')
    expect(lane.given).toBe(150_012)
    lane.end.resolve(done(0))
    expect(await child.exited).toEqual({ exitCode: 0, signal: null })
  })

  test('spawn on a link that is lost fails the streams and exited, and nothing is thrown where nobody looks', async () => {
    const lane = new ScriptedLane()
    const child = spawnCommand(lane, 'x', {}, { name: 'a', path: ['a'], clock: new TestClock() })
    lane.end.reject(new RametError('link-lost', 'a: lost', { outcome: 'unknown' }))
    await expect(child.exited).rejects.toMatchObject({ code: 'link-lost', path: ['a'] })
    expect(child.stdout.errored).toMatchObject({ code: 'link-lost' })
    expect(child.stdin.destroyed).toBe(true)
  })
})

test('a command that is given up before there was a connection was not sent, and says so', async () => {
  const clock = new TestClock()
  const context = { name: 'web1', path: ['web1'], clock }
  const abort = new AbortController()
  const lane = new LateLane(new Promise(() => {}), ['web1'])
  const outcomes = [{ timeout: 50 }, { signal: abort.signal }].map((options: ExecOptions) => runCommand(lane, 'date', options, context).catch((error: unknown) => error))
  abort.abort(new Error('enough'))
  clock.advance(50)
  const hint = 'Nothing was run: there was no connection yet.'
  expect(await Promise.all(outcomes)).toMatchObject([
    { code: 'timeout', outcome: 'not-sent', path: ['web1'], message: "web1: 'date' took longer than 50 ms", hint },
    { code: 'cancelled', outcome: 'not-sent', path: ['web1'], message: "web1: 'date' was cancelled", hint, cause: { message: 'enough' } },
  ])
})

test('a command that was to be ended, of which its lane cannot say that it has, ends with what its caller asked for', async () => {
  const clock = new TestClock()
  const lane = new ScriptedLane()
  const outcome = runCommand(lane, 'date', { timeout: 50 }, { name: 'web1', path: ['web1'], clock }).catch((error: unknown) => error)
  clock.advance(50)
  lane.end.reject(new RametError('cancelled', 'the target did not say that it has ended', { outcome: 'unknown' }))
  expect(await outcome).toMatchObject({ code: 'timeout', outcome: 'unknown', message: "web1: 'date' took longer than 50 ms, and nobody could say whether it has ended" })
})
