import { expect, test } from 'vitest'
import { current } from '../src/remote.ts'

test.each(['signal', 'deadline', 'log', 'path'] as const)('reading current.%s outside of a call throws an error that says where it exists', property => {
  expect(() => current[property]).toThrow(expect.objectContaining({
    code: 'usage',
    message: expect.stringContaining(`current.${property}`) as string,
    hint: expect.stringContaining('context.use()') as string,
  }))
})
