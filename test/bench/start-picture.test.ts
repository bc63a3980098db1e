import { expect, test } from 'vitest'
import { median, picture } from '../../bench/start-picture.ts'

const fresh = { commands: [10, 12, 11], functions: [40, 42], elapsed: 4000, connections: 100, bytes: 2 ** 20 }
const ramet = { commands: [1, 2, 3], functions: [0.25], elapsed: 40, connections: 3, bytes: 10 * 1024 }

test('the picture shows both sides of each figure, the bars in proportion, and never a bar of nothing for something', () => {
  expect(picture(fresh, ramet, '#')).toEqual([
    '                        a fresh SSH connection       ramet',
    '  a command, median                    11.0 ms     2.00 ms',
    '  a function, median                   41.0 ms     0.25 ms',
    '  all 5 calls                           4.00 s     40.0 ms',
    '  connections                              100           3',
    '  bytes on the wire                    1.0 MiB    10.0 KiB',
    '',
    `  time         fresh  ${'#'.repeat(50)} 4.00 s`,
    '               ramet  # 40.0 ms',
    '',
    `  connections  fresh  ${'#'.repeat(50)} 100`,
    '               ramet  ## 3',
    '',
    `  bytes        fresh  ${'#'.repeat(50)} 1.0 MiB`,
    '               ramet  # 10.0 KiB',
    '',
  ])
})

test('the median of an even number of values lies between the middle two, and the values keep their order', () => {
  const values = [4, 1, 3, 2]
  expect(median(values)).toBe(2.5)
  expect(values).toEqual([4, 1, 3, 2])
})
