import { expect, test } from 'vitest'
import { count, judge } from '../../bench/guard.ts'

test('a ratio fails beyond twice its accepted value in three of three runs, and warns when the middle one is above it', () => {
  expect(judge('r', 0.5, [1.01, 2, 1.5])).toEqual({ failed: true, text: 'MISSED  r: 1.01, 2.00, 1.50 (accepted: 0.5)' })
  expect(judge('r', 0.5, [NaN, NaN, NaN]).failed).toBe(true)
  expect(judge('r', 0.5, [1, 2, 2])).toMatchObject({ failed: false, text: expect.stringMatching(/^WARNING/) as string })
  expect(judge('r', 0.5, [0.4, 0.5, 2])).toMatchObject({ failed: false, text: expect.stringMatching(/^met/) as string })
})

test('a count fails when it grows, and when nothing was counted where something must have been', () => {
  expect([140, 140.1, 0, -1, NaN].map((value) => count('bytes', value, 140).checks[0]?.met)).toEqual([true, false, undefined, undefined, undefined])
  expect([0, 1].map((value) => count('processes left', value, 0).checks[0]?.met)).toEqual([true, false])
})
