import { expect, test } from 'vitest'
import { shares } from '../../bench/profile-shares.ts'

const frame = (id: number, functionName: string, url = '', lineNumber = 0): { id: number; callFrame: { functionName: string; url: string; lineNumber: number } } =>
  ({ id, callFrame: { functionName, url, lineNumber } })

test('a profile is told in shares of busy time and by function; idle time counts for nothing', () => {
  const text = shares({
    nodes: [frame(1, '(idle)'), frame(2, 'writeBuffer'), frame(3, 'route', 'file:///a/b/dist/chunk.js', 41), frame(4, '(garbage collector)'), frame(5, 'update', 'node:internal/crypto/cipher', 9)],
    samples: [1, 2, 3, 3, 4, 5, 2],
    timeDeltas: [50_000, 3000, 1000, 1000, 1000, 1000, 3000],
  }, 100)
  expect(text.split('\n')).toEqual([
    '  busy 10 ms, 100.0 us each',
    '  writes to the system 60 %, the program (with ssh2) 20 %, garbage 10 %, encryption 10 %',
    '      60.00 us   60 %  writeBuffer',
    '      20.00 us   20 %  route dist/chunk.js:42',
    '      10.00 us   10 %  (garbage collector)',
    '      10.00 us   10 %  update crypto/cipher:10',
  ])
})
