import { describe, expect, test } from 'vitest'
import type { ConnectOptions, Context } from '../../src/controller/api.ts'
import { poolKey } from '../../src/controller/pool-key.ts'
import { secret } from '../../src/controller/secret.ts'

describe('two connects share a context', () => {
  const same: [string, ConnectOptions, ConnectOptions][] = [
    ['without options', {}, {}],
    ['whatever the order of their options', { node: '/n', runtime: 'node' }, { runtime: 'node', node: '/n' }],
    ['when an option is given as undefined', { hostKeys: 'accept' }, { hostKeys: 'accept', ...({ node: undefined } as object) }],
    ['though they wait for different times or signals', { timeout: 1 }, { timeout: 2, signal: new AbortController().signal }],
    ['with equal lists', { identityFile: ['a', 'b'] }, { identityFile: ['a', 'b'] }],
  ]
  test.each(same)('%s', (_name, a, b) => expect(poolKey('web1', a)).toBe(poolKey('web1', b)))

  const password = secret('hidden')
  const via = {} as Context
  test('with the same secret, function or context', () => {
    const hostKeys = (): boolean => true
    expect(poolKey('web1', { password, via, hostKeys })).toBe(poolKey('web1', { password, via, hostKeys }))
  })
})

describe('two connects do not share a context', () => {
  const different: [string, ConnectOptions, ConnectOptions][] = [
    ['with different values', { runtime: 'node' }, { runtime: 'raw' }],
    ['where only one has the option', { hostKeys: 'accept' }, {}],
    ['with lists of another order', { identityFile: ['a', 'b'] }, { identityFile: ['b', 'a'] }],
    ['with two functions of the same text', { hostKeys: () => true }, { hostKeys: () => true }],
    ['with two secrets, though their text be equal', { password: secret('x') }, { password: secret('x') }],
    ['by way of different contexts', { via: {} as Context }, { via: Object.create({}) as Context }],
    ['with another liveness', { keepalive: { interval: 1 } }, { keepalive: { interval: 2 } }],
  ]
  test.each(different)('%s', (_name, a, b) => expect(poolKey('web1', a)).not.toBe(poolKey('web1', b)))

  test('to another target', () => expect(poolKey('web1', {})).not.toBe(poolKey('web2', {})))
})

test('a secret is not in the key', () => {
  expect(poolKey('web1', { password: secret('horse') })).not.toContain('horse')
})
