import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { groupGone } from '../../src/connect/process-group.ts'
import { settle, TestClock } from '../helpers/test-clock.ts'

/** A group of its own that does nothing for a minute. */
function group(): { pid: number; end(): Promise<unknown> } {
  const child = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' })
  const pid = child.pid as number
  return { pid, end: () => (process.kill(-pid, 'SIGKILL'), once(child, 'exit')) }
}

test('a group that goes on is waited for no longer than it was given', async () => {
  const clock = new TestClock()
  const { pid, end } = group()
  let over = false
  const gone = groupGone(pid, 1000, clock).then(() => (over = true))
  for (let ms = 0; ms < 995; ms += 5) {
    clock.advance(5)
    await settle(1)
  }
  expect(over).toBe(false)
  clock.advance(5)
  await gone
  expect(clock.pending).toBe(0)
  await end()
})

test('a group that has ended is not waited for', async () => {
  const clock = new TestClock()
  const { pid, end } = group()
  await end()
  await groupGone(pid, 1000, clock)
  expect(clock.pending).toBe(0)
})
