import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { Processes } from '../../src/remote-stub/processes.ts'
import { TestClock } from '../helpers/test-clock.ts'

test('what ignores TERM is killed when its time is over, and waited for', async () => {
  const clock = new TestClock()
  const processes = new Processes()
  const child = spawn('/bin/sh', ['-c', 'trap "" TERM; echo ready; exec sleep 60'], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] })
  const exited = once(child, 'exit')
  await once(child.stdout, 'data')
  processes.add(child.pid as number)
  let done = false
  processes.end(clock, 2000, () => (done = true))
  clock.advance(1990)
  expect([processes.state, done]).toEqual(['ending', false])
  // It is killed, and has not been collected as long as we stay in this turn.
  clock.advance(10)
  expect([processes.state, done]).toEqual(['closed', false])
  expect(await exited).toEqual([null, 'SIGKILL'])
  clock.advance(10)
  expect(done).toBe(true)
  expect(clock.pending).toBe(0)
})

test('what cannot be ended is given up half a second after it was killed', () => {
  const clock = new TestClock()
  const processes = new Processes()
  const child = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' })
  processes.add(child.pid as number)
  let done = false
  processes.end(clock, 2000, () => (done = true))
  // Nothing is collected as long as we stay in this turn.
  clock.advance(2490)
  expect(done).toBe(false)
  clock.advance(10)
  expect(done).toBe(true)
  expect(clock.pending).toBe(0)
})
