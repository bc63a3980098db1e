import { expect, test } from 'vitest'
import { cpuOf, parentOf, reaped } from '../../bench/cpu.ts'
import { fitLine } from '../../bench/fit.ts'
import type { Sample } from '../../bench/growth-figures.ts'
import { kernelShare, sizes, table, undisturbed } from '../../bench/growth-table.ts'
import type { Row } from '../../bench/harness.ts'
import { plot } from '../../bench/plot.ts'
import { simulationRows } from '../../bench/rows/simulation.ts'
import { fedFrom } from '../../bench/simulation/measured.ts'

test('a line through points on a line is that line, and explains all of them', () => {
  const { intercept, slope, r2 } = fitLine([[1, 5], [10, 23], [60, 123], [200, 403]])
  expect([intercept, slope, r2].map((value) => Number(value.toFixed(9)))).toEqual([3, 2, 1])
})

test('what a line does not explain lowers R²; what does not vary is explained', () => {
  expect(fitLine([[0, 0], [1, 1], [2, 0]]).r2).toBe(0)
  expect(fitLine([[0, 4], [1, 4]])).toEqual({ intercept: 4, slope: 0, r2: 1 })
})

test('a plot has the first curve on top, both ends of each axis, and leaves out what no logarithm has', () => {
  const lines = plot([
    { name: 'ours', mark: 'o', points: [[1, 10], [100, 1000]] },
    { name: 'theirs', mark: 't', points: [[1, 10], [10, 100], [10, 0]] },
  ], { width: 11, height: 5, x: 'contexts', y: 'ms' })
  expect(lines).toEqual([
    'ms; both axes logarithmic',
    '    1,000 |          o',
    '          |',
    '          |     t',
    '          |',
    '       10 |o',
    '          +-----------',
    '           1       100 contexts',
    '           o ours   t theirs',
  ])
  expect(plot([{ name: 'none', mark: 'n', points: [] }], { x: '', y: '' })).toEqual([])
})

test('the ended children of a process are read whatever its name holds, with half of the tick that was cut off', () => {
  const rest = (user: number, system: number): string => `S 17 18 19 0 -1 4194304 1 2 3 4 900 901 ${user} ${system} 20 0`
  expect(reaped(`123 (a) b) ${rest(3, 4)}`)).toBe(75)
  expect(reaped(`123 (sshd) ${rest(0, 0)}`)).toBe(0)
})

test.runIf(process.platform === 'linux')('a process of one\'s own has used CPU and has a parent; one that is gone has neither', () => {
  const used = process.cpuUsage()
  const own = cpuOf(process.pid)
  // Its workers' threads may have ended, whose time is in no thread any more.
  expect(own).toBeGreaterThan(0)
  expect(own).toBeLessThanOrEqual((process.cpuUsage(used).user + used.user + used.system) / 1000 + 100)
  expect(parentOf(process.pid)).toBe(process.ppid)
  expect([cpuOf(2 ** 30), parentOf(2 ** 30)]).toEqual([0, 0])
})

/** Every one takes 40 ms here, 4 of the controller's CPU and 50 of its target's, whatever else is said. */
const sample = (count: number, more: Partial<Sample> = {}): Sample => ({
  count, connect: 40 * count, connectCpu: { controller: 2 + 4 * count, hops: [3 * count], hopSessions: [count], targets: 50 * count }, connectOther: 7 * count,
  call: count, callCpu: { controller: 0.1 * count, hops: [0.2 * count], hopSessions: [0.1 * count], targets: 0.3 * count }, callOther: 0, ...more })

test('the median of each size stands for it', () => {
  expect(sizes([sample(10, { connect: 5 }), sample(1, { connect: 1 }), sample(10, { connect: 9 }), sample(10, { connect: 6 })], ({ connect }) => connect)).toEqual([[1, 1], [10, 6]])
})

test('samples during which others had much of the machine are left out; of a size without a better one the best is kept', () => {
  const quiet = [sample(1), sample(60), sample(200)]
  // A tenth of two cores' time is none that matters; a quarter is.
  const samples = [...quiet, sample(60, { connectOther: 420 + 480 }), sample(60, { connectOther: 420 + 1200 }), sample(200, { callOther: 100 }), sample(10, { connectOther: 500 }), sample(10, { connectOther: 400 })]
  const kernel = kernelShare(samples)
  expect(kernel).toEqual({ connect: 7, call: 0 })
  expect(undisturbed(samples, kernel, 2)).toEqual([sample(1), sample(60), sample(60, { connectOther: 900 }), sample(200), sample(10, { connectOther: 400 })])
})

test('a table has a column for each size and the growth per context, and no line of what nobody has', () => {
  const flat = [1, 10].map((count) => sample(count, { connectCpu: { controller: 2 + 4 * count, hops: [], hopSessions: [], targets: 50 * count } }))
  const lines = table({ shape: 'flat', samples: flat, memory: [] })
  expect(lines[0]).toMatch(/^flat, contexts: +1 +10 +fit +R²$/)
  expect(lines.find((line) => line.includes('controller CPU [ms]'))).toMatch(/6\.00 +42\.0 +2\.00 \+ 4\.00 each +1\.000$/)
  expect(lines.some((line) => line.includes('hop CPU, all hops'))).toBe(false)
})

/** A hundred that cost their targets so much each, where thirty cost 0.3 ms a call and 50 ms a login. */
const hundred = (call: number, connect: number): Sample => {
  const { callCpu, connectCpu } = sample(100)
  return sample(100, { callCpu: { ...callCpu, targets: 100 * call }, connectCpu: { ...connectCpu, targets: 100 * connect } })
}

test('the simulation is fed with what one and ten contexts cost, and with how much more they cost in a crowd', () => {
  const samples = [1, 10, 30, 100].map((count) => sample(count))
  const { together, alone, crowded } = fedFrom({ flat: [...samples.slice(0, 3), hundred(0.37, 57)], behind: [...samples.slice(0, 3), hundred(0.37, 57)], deep: samples })
  expect(together.direct.connect).toEqual({ fixed: 2, each: 4 })
  expect([together.target.connect, alone.target.connect]).toEqual([57, 57])
  // From thirty to a hundred 0.07 and 7 ms more: as much again from there to 333.3.
  expect([together, crowded(30), crowded(100), crowded(1000 / 3)].map(({ target }) => Number(target.call.toFixed(9)))).toEqual([0.3, 0.3, 0.37, 0.44])
  expect([together, crowded(30), crowded(100), crowded(1000 / 3)].map(({ target }) => Number(target.connect.toFixed(9)))).toEqual([57, 57, 64, 71])
  expect(crowded(120).target.call - crowded(60).target.call).toBeCloseTo(crowded(60).target.call - crowded(30).target.call, 9)
  expect([crowded(60).direct, crowded(60).behind, crowded(60).hop]).toEqual([together.direct, together.behind, together.hop])
  expect([together.hop.connect.each, together.session.connect.each, together.forward.connect.each].map(Math.round)).toEqual([3, 1, 3])
})

test('where a hundred cost no more each than thirty, no crowd costs more', () => {
  const samples = [1, 10, 30].map((count) => sample(count))
  const { crowded } = fedFrom({ flat: [...samples, hundred(0.28, 45)], behind: [...samples, hundred(0.28, 45)], deep: samples })
  expect([60, 200].map((count) => crowded(count).target).map(({ call, connect }) => [call, connect])).toEqual([[0.28, 52], [0.28, 52]])
})

test('what the kernel computes for a call without charging anybody is told from a hundred contexts: ten are done within a tick', () => {
  const samples = [1, 10, 30].map((count) => sample(count, { callOther: 10 }))
  const all = [...samples, sample(100, { callOther: 2 })]
  expect(fedFrom({ flat: all, behind: all, deep: samples }).together.target.call).toBeCloseTo(0.32, 9)
})

test('a machine that took longer for a hundred than their CPU adds up to is taken to do so with all', () => {
  const said = (times: number): number[] => {
    const samples = [1, 10, 30, 100].map((count) => sample(count)).map((one): Sample => one.count === 100 ? { ...one, connect: times * one.connect, call: 2 * times * one.call } : one)
    const grown = { shape: 'flat', samples: [...samples, sample(60), sample(200)], memory: [] }
    const row = simulationRows({ flat: grown, one: grown, four: grown, deep: samples }, '').next().value as Row
    return (row.data as { predictions: { predicted: number }[] }).predictions.map(({ predicted }) => predicted)
  }
  const [once, twice] = [said(1), said(2)]
  expect(once).toHaveLength(12)
  for (const [index, predicted] of twice.entries()) expect(predicted / once[index]!).toBeCloseTo(2, 9)
})

test('what 60 and 200 cost has no say in what is predicted of them', () => {
  const predictedOf = (dear: number[]): unknown => {
    const samples = [...[1, 10, 30, 60, 200].map((count) => sample(count)), hundred(0.37, 57)].map((one): Sample => !dear.includes(one.count) ? one : {
      ...one, connectCpu: { ...one.connectCpu, controller: 1e6, targets: 1e6 }, callCpu: { ...one.callCpu, controller: 1e6, targets: 1e6 } })
    const grown = { shape: 'flat', samples, memory: [] }
    const row = simulationRows({ flat: grown, one: grown, four: grown, deep: samples }, '').next().value as Row
    return (row.data as { predictions: { predicted: number }[] }).predictions.map(({ predicted }) => predicted)
  }
  expect(predictedOf([60, 200])).toEqual(predictedOf([]))
  expect(predictedOf([100])).not.toEqual(predictedOf([]))
})
