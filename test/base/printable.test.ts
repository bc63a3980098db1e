import { expect, test } from 'vitest'
import { printable, printableLine } from '../../src/base/printable.ts'

const EVIL = 'a\x1b[31m\x07\r\t\x7f\x9bb\u202e\u2028\u200b\ud800c\nd\u00e4\u{1f600}'

test('what a terminal would act on is a question mark, what people read stays', () => {
  expect(printable(EVIL)).toBe('a?[31m?????b????c\nd\u00e4\u{1f600}')
  expect(printableLine(EVIL, 100)).toBe('a?[31m?????b????c?d\u00e4\u{1f600}')
})

test('no more is shown than was asked for, and no half of a character', () => {
  expect(printable('x'.repeat(2000))).toHaveLength(1000)
  expect(printable('abc', 2)).toBe('ab')
  expect(printableLine('ab\u{1f600}', 3)).toBe('ab?')
})
