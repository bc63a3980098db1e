import { spawnSync } from 'node:child_process'
import { closeSync, constants, existsSync, fstatSync, openSync, readdirSync, writeSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { Pipes } from '../../src/modules/pipes.ts'

const opened: Pipes[] = []
function newPipes(shell?: string[]): Pipes {
  const pipes = new Pipes(shell)
  opened.push(pipes)
  return pipes
}
afterEach(() => {
  for (const pipes of opened.splice(0)) pipes.close()
})

function take(pipes: Pipes, count: number): Promise<number[] | undefined> {
  return new Promise((resolve) => pipes.take(count, resolve))
}
/** One pipe, when the shell that made it is gone: until then that can read it, too. */
async function one(pipes: Pipes): Promise<number> {
  const [end] = (await take(pipes, 1)) as [number]
  while (process.getActiveResourcesInfo().includes('ProcessWrap')) await new Promise((resolve) => setImmediate(resolve))
  return end
}
/** Everything that comes out of a pipe into which `write` writes. */
async function drained(pipes: Pipes, end: number, write: (end: number) => void = () => {}): Promise<string> {
  const outlet = pipes.outlet(end)
  let text = ''
  outlet.listen((piece) => (text += String(piece)))
  write(end)
  expect(outlet.drain()).toBe(true)
  outlet.release()
  // The pipe is looked at in the next turn.
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  return text
}
/** Which pipes are the next; closes them. */
function identities(pipes: Pipes, count: number): Promise<number[]> {
  return take(pipes, count).then((ends) => (ends ?? []).map((end) => {
    const { ino } = fstatSync(end)
    closeSync(end)
    return ino
  }))
}

describe.skipIf(process.platform !== 'linux')('pipes', () => {
  test('are the operating system\'s, empty, and blocking for who writes', async () => {
    const pipes = newPipes()
    const ends = (await take(pipes, 3)) as number[]
    for (const end of ends) {
      expect(fstatSync(end).isFIFO()).toBe(true)
      expect(await drained(pipes, end, () => writeSync(end, 'all of it'))).toBe('all of it')
    }
  })

  test('come back when all of it has been read, and are new again', async () => {
    const pipes = newPipes()
    const end = await one(pipes)
    const { ino } = fstatSync(end)
    await drained(pipes, end, () => writeSync(end, 'x'.repeat(50_000)))
    const again = await one(pipes)
    expect(fstatSync(again).ino).toBe(ino)
    expect(await drained(pipes, again, () => writeSync(again, 'second'))).toBe('second')
  })

  test('do not come back while somebody else can read them', async () => {
    const pipes = newPipes()
    const end = await one(pipes)
    const { ino } = fstatSync(end)
    const other = openSync(`/proc/self/fd/${end}`, constants.O_RDONLY)
    await drained(pipes, end)
    expect(await identities(pipes, 6)).not.toContain(ino)
    closeSync(other)
  })

  test('whoever needs more than wait gets them when they are made, in order', async () => {
    const pipes = newPipes()
    const order: number[] = []
    const counts = [1, 8, 3, 3]
    const got = await Promise.all(counts.map((count, i) => take(pipes, count).then((ends) => {
      order.push(i)
      return ends as number[]
    })))
    expect(got.map((ends) => ends.length)).toEqual(counts)
    expect(order).toEqual([0, 1, 2, 3])
    expect(new Set(got.flat().map((end) => fstatSync(end).ino)).size).toBe(15)
    pipes.giveBack(got.flat())
  })

  test('at most 32 wait', async () => {
    const pipes = newPipes()
    const before = readdirSync('/proc/self/fd').length
    const ends = (await take(pipes, 60)) as number[]
    pipes.giveBack(ends)
    expect(readdirSync('/proc/self/fd').length - before).toBeLessThan(32 + 4)
  })

  test('are not inherited by a child that was not given them', async () => {
    const pipes = newPipes()
    const end = await one(pipes)
    const outlet = pipes.outlet(end)
    const { ino } = fstatSync(end)
    expect(String(spawnSync('ls', ['-l', '/proc/self/fd']).stdout)).not.toContain(`pipe:[${ino}]`)
    outlet.release()
  })

  for (const shell of [['/bin/dash'], ['/bin/bash'], ['/usr/bin/busybox', 'sh']]) {
    test.skipIf(!existsSync(shell[0] ?? ''))(`are made by ${shell.join(' ')}`, async () => {
      expect(await take(newPipes(shell), 2)).toHaveLength(2)
    })
  }

  for (const shell of ['/usr/bin/mksh', '/usr/bin/zsh', '/bin/true']) {
    test.skipIf(!existsSync(shell))(`are left out where the shell is ${shell}, and it is not asked again`, async () => {
      const pipes = newPipes([shell])
      expect(await take(pipes, 2)).toBeUndefined()
      expect(pipes.state).toBe('none')
    })
  }

  test('a shell that cannot be started now is tried again', async () => {
    const pipes = newPipes(['/no/such/shell'])
    expect(await take(pipes, 2)).toBeUndefined()
    expect(pipes.state).toBe('open')
  })
})
