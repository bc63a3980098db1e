import { randomFillSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { CommandEnd, RunningCommand } from '../../src/connect/command.ts'
import { deferred } from '../../src/base/deferred.ts'
import { spawnCommand } from '../../src/controller/spawn.ts'
import { RametError } from '../../src/router/errors.ts'
import { settle } from '../helpers/test-clock.ts'

describe('a spawned command', () => {
  it('whose output a listener of the program throws at is that program\'s uncaught error, and nobody else\'s', async () => {
    let consumed = 0
    const running = {
      state: 'running',
      onOutput: undefined,
      onWritable: undefined,
      pid: Promise.resolve(1),
      ended: new Promise<CommandEnd>(() => {}),
      consumed: (bytes: number) => (consumed += bytes),
    } as unknown as RunningCommand
    const { stdout } = spawnCommand({ start: () => running }, 'cat', {}, { path: ['web1'] } as never)
    stdout.on('data', () => {
      throw new RangeError('mine')
    })
    await settle(2)
    const listeners = process.rawListeners('uncaughtException') as ((error: Error) => void)[]
    process.removeAllListeners('uncaughtException')
    const uncaught: Error[] = []
    process.on('uncaughtException', (error) => uncaught.push(error))
    try {
      expect(() => running.onOutput?.('stdout', new Uint8Array(100))).not.toThrow()
      await settle(2)
    } finally {
      process.removeAllListeners('uncaughtException')
      for (const listener of listeners) process.on('uncaughtException', listener)
    }
    expect(uncaught).toMatchObject([{ name: 'RangeError', message: 'mine' }])
    expect(consumed).toBe(100)
  })

  it.each(['unknown', 'not-sent', 'failed'] as const)('that was cancelled has the outcome that its lane tells: %s', async (outcome) => {
    const ended = deferred<CommandEnd>()
    const running = {
      pid: ended.promise, ended: ended.promise, endStdin() {}, closeOutput() {},
      terminate: () => ended.reject(new RametError('cancelled', 'web1: it was to be ended', { outcome })),
    } as unknown as RunningCommand
    const stop = new AbortController()
    const child = spawnCommand({ start: () => running }, 'cat', { signal: stop.signal }, { name: 'web1', path: ['web1'] } as never)
    const failed = new Promise((resolve) => child.stdout.on('error', resolve))
    stop.abort()
    for (const told of [child.exited, child.pid]) await expect(told).rejects.toMatchObject({ code: 'cancelled', outcome, path: ['web1'] })
    expect(await failed).toMatchObject({ code: 'cancelled', outcome })
  })

  it('gets what was written, though the program fills its buffer anew for each piece', async () => {
    const kept: Uint8Array[] = []
    const running = {
      state: 'running', onOutput: undefined, onWritable: undefined, pid: Promise.resolve(1), ended: new Promise<CommandEnd>(() => {}),
      write: (bytes: Uint8Array) => kept.push(bytes) > 0, endStdin() {},
    } as unknown as RunningCommand
    const { stdin } = spawnCommand({ start: () => running }, 'cat', {}, { path: ['web1'] } as never)
    const sent = randomFillSync(Buffer.alloc(200_000))
    const buffer = Buffer.alloc(50_000)
    for (let at = 0; at < sent.length; at += buffer.length) {
      sent.copy(buffer, 0, at)
      await new Promise((resolve) => stdin.write(buffer, resolve))
    }
    expect(Buffer.concat(kept).equals(sent)).toBe(true)
  })
})
