import { expect, test } from 'vitest'
import { cpuOf, parentOf, reaped } from '../../bench/cpu.ts'
import { fitLine } from '../../bench/fit.ts'
import { plot } from '../../bench/plot.ts'

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
