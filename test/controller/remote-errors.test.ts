import { describe, expect, test } from 'vitest'
import { hopFailure } from '../../src/controller/hop-failure.ts'
import type { Library } from '../../src/controller/library.ts'
import { remoteError } from '../../src/controller/remote-errors.ts'

const library = { sources: new Map() } as unknown as Library
const NO_CODES = ['', 'x', 'Link-Lost', 'link lost', 'link_lost', 'link-lost\n', '\x1b[31m', 'a'.repeat(41), 7, null]

describe('a code that a target names', () => {
  test('is kept where it has the form of one', () => {
    const error = remoteError({ name: 'RametError', message: 'no', code: 'not-allowed', hint: 'ask' }, ['web1'], library)
    expect(error).toMatchObject({ code: 'not-allowed', message: 'web1: no', path: ['web1'], hint: 'ask' })
  })

  test.each(['MODULE_NOT_FOUND', 'ERR_MODULE_NOT_FOUND'])('is ours where our loader says %s as Node does, and nobody else', (code) => {
    const wire = { message: 'no', code, hint: 'ask' }
    expect(remoteError({ ...wire, name: 'RametError' }, ['web1'], library)).toMatchObject({ code: 'module-not-found', message: 'web1: no', path: ['web1'], hint: 'ask' })
    expect(remoteError({ ...wire, name: 'Error' }, ['web1'], library)).toMatchObject({ code: 'remote-error', cause: { code } })
  })

  test.each(NO_CODES)('is none of ours where it is %j: the error is the function\'s own', (code) => {
    const error = remoteError({ name: 'RametError', message: 'no', code }, ['web1'], library)
    expect(error).toMatchObject({ code: 'remote-error', message: 'web1: RametError: no', path: ['web1'] })
    expect(error.cause).toMatchObject({ name: 'RametError', message: 'no' })
  })

  test.each(NO_CODES)('and a hop that names %j has lost the context', (code) => {
    expect(hopFailure([code, 'no', 'tcp', 'not-sent', 'ask'], ['web1'])).toMatchObject({ code: 'link-lost', stage: 'tcp', hint: 'ask' })
  })
})
