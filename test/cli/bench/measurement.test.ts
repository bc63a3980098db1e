import { describe, expect, test } from 'vitest'
import type { Contender, Entry, Kind } from '../../../src/cli/bench/contender.ts'
import { Measurement } from '../../../src/cli/bench/measurement.ts'
import { timeToCount } from '../../../src/cli/bench/counting-relay.ts'
import { deferred } from '../../../src/base/deferred.ts'
import { HandClock, settle } from '../fake-desk.ts'

interface FakeOptions {
  /** Milliseconds of one call. */
  takes?: number
  opens?: () => Promise<void>
  fails?: (kind: Kind, call: number) => string | undefined
  fresh?: boolean
  most?: number
  /** Never answers calls after so many. */
  hangsAfter?: number
}

class Lab {
  readonly clock = new HandClock()
  readonly stop = new AbortController()
  readonly calls: string[] = []
  readonly closed: string[] = []
  cpu = 0
  atOnce = 0
  mostAtOnce = 0

  entry(id: string, options: FakeOptions = {}): { entry: Entry; contender: Contender } {
    let count = 0
    const contender: Contender = {
      open: options.opens ?? (async () => {}),
      call: async (kind) => {
        count++
        this.calls.push(`${id} ${kind}`)
        this.atOnce++
        this.mostAtOnce = Math.max(this.mostAtOnce, this.atOnce)
        if (count > (options.hangsAfter ?? Infinity)) await new Promise(() => {})
        await settle()
        this.atOnce--
        this.clock.move(options.takes ?? 1)
        this.cpu += 3
        const failure = options.fails?.(kind, count)
        if (failure !== undefined) throw new Error(failure)
      },
      close: async () => void this.closed.push(id),
    }
    const most = options.most === undefined ? undefined : { count: options.most, why: 'a limit' }
    return { entry: { id, label: id.toUpperCase(), what: '', fresh: options.fresh ?? false, most, make: () => contender }, contender }
  }

  measurement(entries: readonly Entry[], options: { calls?: number; rounds?: number; concurrency?: number } = {}): Measurement {
    return new Measurement({
      entries, calls: options.calls ?? 4, rounds: options.rounds ?? 2, concurrency: options.concurrency ?? 1, clock: this.clock,
      readCpu: () => ({ own: this.cpu, children: undefined }), stop: this.stop.signal, patience: 5000, progress: () => {},
    })
  }
}

describe('a measurement', () => {
  test('lets everybody take turns in rounds, another one first in each, and counts no first calls', async () => {
    const lab = new Lab()
    const [a, b] = [lab.entry('a', { fresh: true, takes: 5 }), lab.entry('b', { takes: 2 })]
    const measurement = lab.measurement([a.entry, b.entry])
    for (const { entry } of [a, b]) await measurement.add(entry)
    lab.calls.length = 0
    expect(measurement.plan(10_000)).toBe(4 * 2 * (5 + 2))
    await measurement.run()
    expect(lab.calls.join(', ')).toBe([
      'a command, a command, b command, b command, a function, a function, b function, b function',
      'b command, b command, a command, a command, b function, b function, a function, a function',
    ].join(', '))
    expect(measurement.rows.map(({ id, kind, times, busy, cpuOwn }) => [id, kind, times, busy, cpuOwn])).toEqual([
      ['a', 'command', [5, 5, 5, 5], 20, 12], ['a', 'function', [5, 5, 5, 5], 20, 12], ['b', 'command', [2, 2, 2, 2], 8, 12], ['b', 'function', [2, 2, 2, 2], 8, 12],
    ])
    await measurement.close()
    expect(lab.closed).toEqual(['a', 'b'])
  })

  test('gives slow contenders fewer calls', async () => {
    const lab = new Lab()
    const [slow, fast] = [lab.entry('slow', { takes: 100 }), lab.entry('fast', { takes: 1 })]
    const measurement = lab.measurement([slow.entry, fast.entry], { calls: 10, rounds: 5 })
    for (const { entry } of [slow, fast]) await measurement.add(entry)
    measurement.plan(620)
    await measurement.run()
    expect(measurement.rows.map(({ id, planned, times }) => [id, planned, times.length])).toEqual([['slow', 3, 3], ['slow', 3, 3], ['fast', 10, 10], ['fast', 10, 10]])
  })

  test('names a contender that does not open or can not do one kind, and goes on with the others', async () => {
    const lab = new Lab()
    const entries = [
      lab.entry('closed', { opens: () => Promise.reject(new Error('no master\nfor you')) }),
      lab.entry('half', { fails: (kind) => (kind === 'function' ? 'node: not found' : undefined) }),
      lab.entry('none', { fails: () => 'refused' }),
      lab.entry('well'),
    ]
    const measurement = lab.measurement([...entries.map(({ entry }) => entry), { ...lab.entry('absent').entry, leftOut: 'there is no client' }])
    for (const { entry } of entries) await measurement.add(entry)
    expect(measurement.leftOut).toEqual([
      { id: 'absent', label: 'ABSENT', kinds: ['command', 'function'], reason: 'there is no client' },
      { id: 'closed', label: 'CLOSED', kinds: ['command', 'function'], reason: 'no master / for you' },
      { id: 'half', label: 'HALF', kinds: ['function'], reason: 'node: not found' },
      { id: 'none', label: 'NONE', kinds: ['command', 'function'], reason: 'refused' },
    ])
    expect(measurement.able.map(({ entry, kinds }) => [entry.id, [...kinds.keys()]])).toEqual([['half', ['command']], ['well', ['command', 'function']]])
  })

  test('names a contender that can not even be made, and goes on with the others', async () => {
    const lab = new Lab()
    const made = lab.entry('made').entry
    const entries = [{ ...lab.entry('unmade').entry, make: () => { throw new Error('no room for its file') } }, made]
    const measurement = lab.measurement(entries)
    for (const entry of entries) await measurement.add(entry)
    expect(measurement.leftOut).toEqual([{ id: 'unmade', label: 'UNMADE', kinds: ['command', 'function'], reason: 'no room for its file' }])
    expect(measurement.able.map(({ entry }) => entry.id)).toEqual(['made'])
  })

  test('leaves out one that hangs when it opens or at a first call, so that it has not the time of all', async () => {
    const lab = new Lab()
    const entries = [lab.entry('shut', { opens: () => new Promise(() => {}) }), lab.entry('mute', { hangsAfter: 0 }), lab.entry('half', { hangsAfter: 2 }), lab.entry('well')]
    const measurement = lab.measurement(entries.map(({ entry }) => entry))
    for (const { entry } of entries) {
      const adding = measurement.add(entry)
      for (let turn = 0; turn < 10; turn++) await settle()
      if (entry.id !== 'well') lab.clock.move(5000)
      await adding
    }
    expect(measurement.leftOut.map(({ id, kinds, reason }) => [id, kinds.join(), reason])).toEqual([
      ['shut', 'command,function', 'no answer within 5.00 s'], ['mute', 'command,function', 'no answer within 5.00 s'], ['half', 'function', 'no answer within 5.00 s'],
    ])
    expect(lab.calls.filter((call) => call.startsWith('mute'))).toEqual(['mute command'])
    expect(measurement.able.map(({ entry, kinds }) => [entry.id, kinds.size])).toEqual([['half', 1], ['well', 2]])
    expect(lab.clock.waiting).toBe(0)
  })

  test('waits for a person who has to be asked', async () => {
    const lab = new Lab()
    const asked = deferred<void>()
    const { entry } = lab.entry('asking', { opens: () => asked.promise })
    const measurement = lab.measurement([entry])
    const adding = measurement.add({ ...entry, asks: true })
    await settle()
    lab.clock.move(50_000)
    asked.resolve()
    await adding
    expect([measurement.leftOut, measurement.able.length]).toEqual([[], 1])
  })

  test('makes a second first call where what the first one brought along may matter', async () => {
    const lab = new Lab()
    const entries = [lab.entry('warm', { takes: 20 }), lab.entry('slow', { takes: 2000 }), lab.entry('fresh', { takes: 20, fresh: true })]
    const measurement = lab.measurement(entries.map(({ entry }) => entry))
    for (const { entry } of entries) await measurement.add(entry)
    expect(lab.calls).toEqual(['warm command', 'warm command', 'warm function', 'warm function', 'slow command', 'slow function', 'fresh command', 'fresh function'])
    expect(measurement.alone).toEqual([{ each: 20, fresh: false }, { each: 20, fresh: false }, { each: 2000, fresh: false }, { each: 2000, fresh: false }, { each: 20, fresh: true }, { each: 20, fresh: true }])
    expect(measurement.alone.reduce((sum, call) => sum + timeToCount(call), 0)).toBeGreaterThan(3 * 2 * (20 + 2000) + 2 * 2 * 20)
  })

  test('rejects when the one that is needed does not open', async () => {
    const lab = new Lab()
    const { entry, contender } = lab.entry('raw', { opens: () => Promise.reject(new Error('unreachable')) })
    await expect(lab.measurement([entry]).open(entry, contender, true)).rejects.toThrow('unreachable')
  })

  test('gives up on a contender that fails again and again, and says why', async () => {
    const lab = new Lab()
    const { entry } = lab.entry('a', { fails: (kind, call) => (kind === 'command' && call > 5 ? `failure ${call}` : undefined) })
    const measurement = lab.measurement([entry], { calls: 20, rounds: 2 })
    await measurement.add(entry)
    measurement.plan(10_000)
    await measurement.run()
    const [command, fn] = measurement.rows
    expect([command!.times.length, command!.failed, command!.failure]).toEqual([1, 3, 'failure 8'])
    expect(fn!.times.length).toBe(20)
  })

  test('makes as many calls at once as asked for, but no more than the server lets through', async () => {
    const lab = new Lab()
    for (const [most, expected] of [[undefined, 6], [2, 2]] as const) {
      lab.mostAtOnce = 0
      const { entry } = lab.entry('a', most === undefined ? {} : { most })
      const measurement = lab.measurement([entry], { calls: 12, rounds: 2, concurrency: 6 })
      await measurement.add(entry)
      measurement.plan(10_000)
      await measurement.run()
      expect(lab.mostAtOnce).toBe(expected)
      expect(measurement.rows[0]!.times).toHaveLength(12)
    }
  })

  test('ends in the middle of a call that hangs, keeps what there is, and closes everybody', async () => {
    const lab = new Lab()
    const { entry } = lab.entry('a', { hangsAfter: 6 })
    const measurement = lab.measurement([entry], { calls: 10, rounds: 1 })
    await measurement.add(entry)
    measurement.plan(10_000)
    const running = measurement.run()
    for (let turn = 0; turn < 10; turn++) await settle()
    lab.stop.abort(new Error('stopped'))
    await running
    expect(measurement.rows.map(({ times, failed }) => [times.length, failed])).toEqual([[2, 0], [0, 0]])
    await measurement.close()
    expect(lab.closed).toEqual(['a'])
  })

  test('does not wait for ever for one that does not close', async () => {
    const lab = new Lab()
    const { entry, contender } = lab.entry('a')
    const measurement = lab.measurement([entry])
    await measurement.add({ ...entry, make: () => ({ ...contender, close: () => new Promise(() => {}) }) })
    const closing = measurement.close()
    lab.clock.move(5000)
    await closing
    expect(measurement.state).toBe('over')
  })
})
