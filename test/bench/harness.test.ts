import { expect, test, vi } from 'vitest'
import { atLeast, brokenRow, compare, faster, interleave, print, rowOf, unmeasuredRow, within } from '../../bench/harness.ts'
import { cleanEnv } from '../../bench/processes.ts'
import { quantile, ratioOf } from '../../bench/stats.ts'

test('quantiles lie between neighbours, in whatever order samples come', () => {
  expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5)
  expect(quantile([5], 0.99)).toBe(5)
  expect(quantile([], 0.5)).toBeNaN()
})

test('a ratio is the median of those of the rounds, and its spread lies around it', () => {
  expect(ratioOf([[1], [2], [3]], [[2], [2], [2]])).toEqual({ value: 1, spread: [0.75, 1.25] })
  // A machine that was slow for half of the time: over all samples the one would be half of the other.
  expect(ratioOf([[1, 1, 1], [8, 8], [9, 9]], [[1], [8, 8, 8], [9, 9, 9]])).toEqual({ value: 1, spread: [1, 1] })
})

test('who takes part in fewer rounds is compared in those: what the machine did later fell on the other alone', () => {
  expect(ratioOf([[4], [1], [4], [1], [4]], [[], [2], [], [2], []])).toEqual({ value: 0.5, spread: [0.5, 0.5] })
  expect(ratioOf([[], [2], [], [2], []], [[4], [1], [4], [1], [4]])).toEqual({ value: 2, spread: [2, 2] })
})

test('what a caller tells one interpreter or one peer alone reaches none of them', () => {
  const own = { NODE_EXTRA_CA_CERTS: '/x', NODE_DISABLE_COMPILE_CACHE: '1', PYTHONUNBUFFERED: '1', PYTHONDONTWRITEBYTECODE: '1', PSSH_PAR: '1', SSH_AUTH_SOCK: '/x', RAMET_TEST_KEPT: 'yes' }
  for (const [name, value] of Object.entries(own)) vi.stubEnv(name, value)
  const env = cleanEnv()
  vi.unstubAllEnvs()
  expect(Object.keys(own).filter((name) => name in env)).toEqual(['RAMET_TEST_KEPT'])
  expect(env['PATH']).toBe(process.env['PATH'])
})

test('rounds interleave, the first is dropped, and a side that fails leaves the others running', async () => {
  const order: string[] = []
  const series = await interleave([
    { name: 'a', round: () => Promise.resolve(order.push('a')) },
    { name: 'b', round: () => (order.push('b'), order.length > 3 ? Promise.reject(new Error('broke')) : Promise.resolve([1, 2])) },
    { name: 'c', missing: 'is not installed' },
  ], 2)
  expect(order).toEqual(['a', 'b', 'a', 'b', 'a'])
  expect(series).toEqual([
    { name: 'a', rounds: [[3], [5]] },
    { name: 'b', rounds: [], missing: 'failed in round 1: broke' },
    { name: 'c', rounds: [], missing: 'is not installed' },
  ])
})

test('a side that wants fewer rounds takes part in some that are spread over all, beside the others, and does not warm up', async () => {
  const order: string[] = []
  const series = await interleave([
    { name: 'quick', round: () => Promise.resolve(order.push('quick')) },
    { name: 'slow', rounds: 2, round: () => Promise.resolve(order.push('slow')) },
  ], 3)
  expect(order).toEqual(['quick', 'quick', 'slow', 'quick', 'quick', 'slow'])
  expect(series.map(({ rounds }) => rounds)).toEqual([[[2], [4], [5]], [[3], [], [6]]])
  const part = async (parts: number, rounds: number): Promise<string> => {
    const [one] = await interleave([{ name: 'slow', rounds: parts, round: () => Promise.resolve(1) }], rounds)
    return one!.rounds.map(({ length }) => length).join('')
  }
  expect([await part(3, 9), await part(5, 9), await part(1, 3), await part(3, 3)]).toEqual(['010010010', '101010101', '010', '111'])
})

test('primed, each side runs once unmeasured before each of its samples, but for those with fewer rounds', async () => {
  const order: string[] = []
  const series = await interleave([
    { name: 'quick', round: () => Promise.resolve(order.push('quick')) },
    { name: 'slow', rounds: 1, round: () => Promise.resolve(order.push('slow')) },
  ], 2, { primed: true, warmUp: false })
  expect(order).toEqual(['quick', 'quick', 'quick', 'quick', 'slow'])
  expect(series.map(({ rounds }) => rounds)).toEqual([[[2], [4]], [[], [5]]])
})

test('verdicts follow their bounds, and a missing peer gives none', () => {
  const row = rowOf('r', 'a figure', 'ms', [
    { name: 'ours', rounds: [[50]] }, { name: 'peer', rounds: [[100]] }, { name: 'gone', rounds: [], missing: 'is not installed' },
  ])
  compare(row, 'ours', 'peer', 0.5)
  compare(row, 'ours', 'peer', 0.49)
  compare(row, 'ours', 'peer')
  compare(row, 'ours', 'gone', 0.5)
  faster(row, 'ours', 'peer', 2)
  atLeast(row, 'ours', 'peer', 1)
  within(row, 'ours', 50, 'the limit')
  within(row, 'ours', 49, 'the limit')
  within(row, 'gone', 49, 'the limit')
  expect(row.checks.map(({ met }) => met)).toEqual([true, false, undefined, undefined, true, false, true, false, undefined])
  expect(row.checks[3]?.missing).toBe('gone: is not installed')
  expect(print(row)).toContain('no verdict  ours ≤ 0.5 × gone: gone: is not installed')
})

test('a benchmark that breaks off has no verdict on any of its figures, and says why', () => {
  const row = brokenRow('r', new Error('sshd is not installed'))
  expect(row.checks.map(({ met, missing }) => [met, missing])).toEqual([[undefined, 'failed: sshd is not installed']])
  expect(print(row)).toBe('r: it broke off\n  no verdict  all of its figures: failed: sshd is not installed')
})

test('a row whose server is not here has no verdict either, and names the server', () => {
  const row = unmeasuredRow('r', 'a figure', 'dropbear', 'dropbear is not installed')
  expect(row.checks.map(({ met, missing }) => [met, missing])).toEqual([[undefined, 'dropbear is not installed']])
  expect(print(row)).toBe('r: a figure\n  dropbear  not measured: dropbear is not installed\n  no verdict  all of its figures: dropbear is not installed')
})
