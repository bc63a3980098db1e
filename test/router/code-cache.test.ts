import { expect, test } from 'vitest'
import { CodeCache, hashOf } from '../../src/router/code-cache.ts'

const text = (name: string, length = 100): Uint8Array => new TextEncoder().encode(name.repeat(length))

test('a text is known by its own SHA-256, and kept once', () => {
  const cache = new CodeCache()
  expect(cache.add(text('a', 1))).toBe('ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb')
  cache.add(text('a', 1))
  expect(cache.bytes).toBe(1)
})

test('what is too much leaves when the cache is trimmed: the least recently used first, what is pinned never', () => {
  const cache = new CodeCache(250)
  const pinned = cache.add(text('p'), true)
  const [a, b, c] = [cache.add(text('a')), cache.add(text('b')), cache.add(text('c'))]
  expect(cache.bytes).toBe(400)
  cache.get(a)
  cache.trim()
  expect([pinned, a, b, c].map((hash) => cache.has(hash))).toEqual([true, true, false, false])
  expect(cache.bytes).toBe(200)
  expect(cache.get(hashOf(text('b')))).toBeUndefined()
})

test('a text that is larger than the limit lasts until the cache is trimmed', () => {
  const cache = new CodeCache(50)
  const hash = cache.add(text('a'))
  expect(cache.get(hash)).toHaveLength(100)
  cache.trim()
  expect([cache.has(hash), cache.bytes]).toEqual([false, 0])
})
