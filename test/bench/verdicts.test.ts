import { expect, test } from 'vitest'
import { brokenRow, rowOf, within, type Row } from '../../bench/harness.ts'
import { verdicts } from '../../bench/verdicts.ts'

function rowWith(limit: number): Row {
  const row = rowOf('warm', 'a call', 'us', [{ name: 'ours', rounds: [[50]] }])
  within(row, 'ours', limit, 'the limit')
  return row
}

test('a run is well when every figure is met; one that is missed, and a benchmark that broke off, are named', () => {
  expect(verdicts([rowWith(50)], { short: false })).toEqual({ lines: ['1 figures met, 0 missed, 0 without a verdict'], allMet: true })
  expect(verdicts([rowWith(49)], { short: false })).toEqual({ lines: ['0 figures met, 1 missed, 0 without a verdict', '  missed      warm: ours ≤ the limit = 49.0 us: 50.0'], allMet: false })
  expect(verdicts([brokenRow('warm', new Error('no sshd'))], { short: false })).toEqual({
    lines: ['0 figures met, 0 missed, 1 without a verdict', '  no verdict  warm: all of its figures'], allMet: false })
})

test('what a quick look misses is said to be worth little; what it meets needs no word', () => {
  expect(verdicts([rowWith(49)], { short: true }).lines.at(-1)).toMatch(/^A quick look makes a tenth of the calls: .* may be met/)
  expect(verdicts([rowWith(50)], { short: true }).lines).toHaveLength(1)
})
