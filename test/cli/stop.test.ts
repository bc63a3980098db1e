import { describe, expect, it } from 'vitest'
import { deferred } from '../../src/base/deferred.ts'
import { RametError } from '../../src/router/errors.ts'
import type { ExecOptions, ExecResult } from '../../src/controller/api.ts'
import { FakeDesk, settle } from './fake-desk.ts'
import { ended } from './fake-tree.ts'
import type { FakeTarget } from './fake-tree.ts'

/** A command that runs until it is cancelled, and what the engine then says of it. */
function until(outcome: 'failed' | 'unknown'): FakeTarget {
  return {
    exec: (_, { signal }: ExecOptions) => new Promise((_resolve, reject) => {
      signal?.addEventListener('abort', () => reject(new RametError('cancelled', 'the command was cancelled', { outcome })))
    }),
  }
}

const deaf: FakeTarget = { exec: () => new Promise(() => {}) }

describe('the first ^C', () => {
  it('cancels on every target, starts no more, and names the targets whose outcome is unknown', async () => {
    const desk = new FakeDesk({ a: { exec: async () => ended({ stdout: 'done\n' }) }, b: until('failed'), c: until('unknown') })
    const done = desk.run('run', 'sleep 9', '-t', 'a,b,c,d,e', '-c', '2')
    await settle()
    desk.clock.move(1500)
    desk.raise('SIGINT')
    expect(await done).toBe(130)
    expect(desk.tree.connects.map(({ target }) => target)).toEqual(['a', 'b', 'c'])
    expect(desk.tree.connects.map(({ options }) => options.signal?.aborted)).toEqual([false, true, true])
    expect(desk.stderr.text).toBe([
      'cancelling on 2 targets; once more leaves at once',
      '5 targets: 1 ok, 3 cancelled, 1 unknown in 1.50 s',
      'cancelled: b', 'not started: d, e', 'outcome unknown (may have run, may still run): c', '',
    ].join('\n'))
    expect(desk.stdout.text).toContain('b: cancelled (1.50 s)')
    expect(desk.stdout.text).toContain('c: outcome unknown (1.50 s)')
    expect(desk.stdout.text).not.toMatch(/^d:/m)
    expect(desk.tree.closed).toBe(1)
    expect(desk.listening).toBe(0)
  })

  it('leaves valid JSON with one item per target, and the unknown ones on stderr', async () => {
    const desk = new FakeDesk({ a: until('unknown') })
    const done = desk.run('run', 'x', '-t', 'a,b', '-c', '1', '--format', 'json')
    await settle()
    desk.raise('SIGINT')
    expect(await done).toBe(130)
    expect(JSON.parse(desk.stdout.text)).toMatchObject({
      items: [
        { target: 'a', status: 'failure', value: { _error: { code: 'cancelled', details: { outcome: 'unknown' } } } },
        { target: 'b', status: 'failure', value: { _error: { code: 'cancelled', details: { outcome: 'not-sent', hint: expect.stringMatching(/\w+ \w+/) as string } } } },
      ],
      target_count: 2,
    })
    expect(desk.stderr.text).toContain('outcome unknown (may have run, may still run): a\n')
  })

  it.each([['SIGTERM', 143], ['SIGHUP', 129]] as const)('and %s alike: exit code %i', async (signal, code) => {
    const desk = new FakeDesk({ a: until('failed') })
    const done = desk.run('run', 'x', '-t', 'a')
    await settle()
    desk.raise(signal)
    expect(await done).toBe(code)
  })
})

describe('the second ^C', () => {
  it('leaves at once, though targets do not answer', async () => {
    const desk = new FakeDesk({ a: deaf, b: deaf })
    const done = desk.run('run', 'x', '-t', 'a,b,c', '-c', '2', '--format', 'jsonl')
    await settle()
    desk.raise('SIGINT')
    await settle()
    desk.raise('SIGINT')
    expect(await done).toBe(130)
    const results = desk.stdout.text.trimEnd().split('\n').map((line) => JSON.parse(line) as { type: string; target?: string; verdict?: string })
    expect(results.filter(({ type }) => type === 'result').map(({ target, verdict }) => [target, verdict])).toEqual([['a', 'unknown'], ['b', 'unknown'], ['c', 'cancelled']])
    expect(results.at(-1)).toMatchObject({ type: 'summary', unknown: 2, cancelled: 1, exit_code: 130 })
    expect(desk.stderr.text).toContain('outcome unknown (may have run, may still run): a, b\n')
  })

  it('leaves at once while connections are being closed', async () => {
    const desk = new FakeDesk({ a: until('failed') })
    desk.tree.closing = new Promise(() => {})
    const done = desk.run('run', 'x', '-t', 'a')
    await settle()
    desk.raise('SIGINT')
    await settle()
    desk.raise('SIGINT')
    expect(await done).toBe(130)
  })

  it('drops what comes later', async () => {
    const gate = deferred<ExecResult<Buffer>>()
    const desk = new FakeDesk({ a: { exec: () => gate.promise } })
    const done = desk.run('run', 'x', '-t', 'a')
    await settle()
    desk.raise('SIGINT')
    desk.raise('SIGINT')
    await done
    const text = desk.stdout.text
    gate.resolve(ended({ stdout: 'late' }))
    await settle()
    expect(desk.stdout.text).toBe(text)
  })
})

describe('a reader of stdout that has gone', () => {
  it('cancels what is left and says nothing', async () => {
    const desk = new FakeDesk({ a: { exec: async () => ended({}) }, b: until('failed') })
    const done = desk.run('run', 'x', '-t', 'a,b')
    await settle()
    desk.stdout.break()
    expect(await done).toBe(1)
    expect(desk.stderr.text).toBe('')
    expect(desk.tree.closed).toBe(1)
  })
})

describe('the status line', () => {
  function liveDesk(): FakeDesk {
    const desk = new FakeDesk({ a: { exec: async () => ended({ stdout: 'out\n' }) }, b: until('failed'), 'c': { connect: () => Promise.reject(new RametError('auth-failed', 'c: no', { stage: 'auth', outcome: 'not-sent' })) } })
    desk.stderr.isTTY = true
    return desk
  }

  it('shows the progress on a terminal, in place, and is gone at the end', async () => {
    const desk = liveDesk()
    const done = desk.run('run', 'x', '-t', 'a,b,c')
    await settle()
    expect(desk.stderr.text).toBe('')
    desk.clock.move(250)
    expect(desk.stderr.text).toBe('2/3 done · 1 unreachable · 0.25 s · waiting for b')
    desk.clock.move(250)
    expect(desk.stderr.text).toMatch(/waiting for b\r\u001b\[2K2\/3 done · 1 unreachable · 0\.50 s · waiting for b$/)
    desk.raise('SIGINT')
    await done
    expect(desk.stderr.text.split('\r\u001b[2K').at(-1)).toBe('3 targets: 1 ok, 1 unreachable, 1 cancelled in 0.50 s\nunreachable: c\ncancelled: b\n')
    expect(desk.clock.waiting).toBe(0)
  })

  it('waits for a terminal that has not taken what was written', async () => {
    const desk = liveDesk()
    const done = desk.run('run', 'x', '-t', 'a,b,c')
    await settle()
    desk.clock.move(250)
    const shown = desk.stderr.text
    desk.stderr.behind = true
    desk.clock.move(60_000)
    expect(desk.stderr.text).toBe(shown)
    desk.stderr.behind = false
    desk.clock.move(250)
    expect(desk.stderr.text.slice(shown.length)).toMatch(/^\r\u001b\[2K2\/3 done .* waiting for b$/)
    desk.raise('SIGINT')
    await done
  })

  it('is cut to the width of the terminal', async () => {
    const desk = liveDesk()
    desk.stderr.columns = 20
    const done = desk.run('run', 'x', '-t', 'a,b,c')
    await settle()
    desk.clock.move(250)
    expect(desk.stderr.text).toBe('2/3 done · 1 unreac')
    desk.raise('SIGINT')
    await done
  })

  it.each([['off a terminal', false, 'xterm'], ['on a dumb one', true, 'dumb']])('is not there %s', async (_, isTTY, term) => {
    const desk = liveDesk()
    desk.stderr.isTTY = isTTY
    desk.env.TERM = term
    const done = desk.run('run', 'x', '-t', 'a,b,c')
    await settle()
    desk.clock.move(5000)
    expect(desk.stderr.text).toBe('')
    desk.raise('SIGINT')
    await done
    expect(desk.stderr.text).not.toContain('\u001b')
  })
})
