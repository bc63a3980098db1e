import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { pino } from 'pino'
import { ReadyProcess } from '../../src/connect/ready-process.ts'
import { type Context, Controller } from '../../src/controller/index.ts'
import { RametError } from '../../src/router/errors.ts'
import { type FakePrograms, fakePrograms } from '../helpers/fake-program.ts'
import { MemoryTree } from '../helpers/memory-tree.ts'
import { ownChildren } from '../helpers/sshd.ts'
import { TestClock } from '../helpers/test-clock.ts'
import { alive, pidOf, soon } from '../helpers/tree-lab.ts'

/*
 * sudo and su stop themselves when what they run is stopped, and stay so when only that goes on: then they hold its pipes after its
 * end. Time stands still here: what only patience ends does not end.
 */

const PATH = process.env['PATH']
const quiet = { logger: pino({ level: 'silent' }) }
let fakes: FakePrograms
let children: number[]
/** Programs that were stopped, each of which leads a process group. */
const stopped: number[] = []

beforeEach(() => {
  children = ownChildren()
  fakes = fakePrograms()
  // As the real one does it stays, and waits for what it runs.
  fakes.add('su', 'while [ "$1" != -- ]; do shift; done; shift 2; /bin/sh "$@"; exit $?')
  process.env['PATH'] = fakes.env['PATH']
})

afterEach(async () => {
  process.env['PATH'] = PATH
  fakes[Symbol.dispose]()
  for (const program of stopped.splice(0)) if (alive(program)) process.kill(-program, 'SIGKILL')
  await soon(() => expect(ownChildren().filter((pid) => !children.includes(pid))).toEqual([]))
})

function stop(program: number): number {
  stopped.push(program)
  process.kill(program, 'SIGSTOP')
  return program
}

/** The program by which the context's stub was started, stopped. */
function stoppedProgram(context: Context): number {
  const program = Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pidOf(context)}/status`, 'utf8'))?.[1])
  expect(readFileSync(`/proc/${program}/cmdline`, 'latin1')).toContain('/su\0')
  return stop(program)
}

const why = process.platform === 'linux' ? undefined : 'needs /proc'

describe.skipIf(why !== undefined)(`a stopped program that holds a stub's pipes${why === undefined ? '' : ` (left out: ${why})`}`, () => {
  test('goes on when the context is closed, since only its end tells of the stub\'s', async () => {
    const ramet = new Controller(quiet, new TestClock())
    const context = await ramet.connect('su:root')
    const program = stoppedProgram(context)
    await context.close()
    expect(alive(program)).toBe(false)
    await ramet.close()
  })

  test('goes on when the context is closed behind a hop', async () => {
    const tree = new MemoryTree(quiet)
    const context = await tree.connect('su:root', { via: await tree.connect('web1') })
    const program = stoppedProgram(context)
    await context.close()
    expect(alive(program)).toBe(false)
    await tree.leftovers()
  })

  test('does not outlive the hop that started it', async () => {
    const tree = new MemoryTree(quiet)
    const program = stoppedProgram(await tree.connect('su:root', { via: await tree.connect('web1') }))
    tree.target('web1').stub?.end(0)
    await soon(() => expect(alive(program)).toBe(false))
    await tree.leftovers()
  })

  test('goes on when its process is ended', async () => {
    const failure = (): RametError => new RametError('launch-failed', 'it did not start')
    const argv = (half: string, other: string): string[] => ['/bin/sh', '-c', `echo ${half}${other} $$; read nothing`]
    const started = new ReadyProcess({ argv, localPid: true, env: undefined, path: ['test'], clock: new TestClock(), hold: false, failure })
    const ended = vi.fn<() => void>()
    void started.exited.then(ended)
    await started.ready
    stop(started['inner'].child.pid as number)
    started.kill()
    await soon(() => expect(ended).toHaveBeenCalled())
  })
})
