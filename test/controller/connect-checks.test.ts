import { describe, expect, test } from 'vitest'
import type { ConnectOptions } from '../../src/controller/api.ts'
import { checkConnect } from '../../src/controller/connect-checks.ts'

const check = (options: object): (() => void) => () => checkConnect('root:hunter2@web1', options)

describe('what a program without types may get wrong', () => {
  test.each([['timeOut', 5], ['hostkeys', 'ignore'], ['via ', undefined], ['toString', 1], ['\u001b[2J', 1]])('a name that is no option is refused: %j', (name, value) => {
    expect(check({ [name]: value })).toThrow(expect.objectContaining({ code: 'usage', outcome: 'not-sent', hint: expect.stringMatching(/^Nothing was opened\. .*hostKeys.*timeout/) }))
    expect(check({ [name]: value })).toThrow(/^web1: '.*' is no option of connect\(\)$/)
    expect(check({ [name]: value })).not.toThrow(/hunter2|\u001b/)
  })

  test('every option passes', () => {
    const whole: Required<Omit<ConnectOptions, 'via' | 'jump'>> & ConnectOptions = {
      identityFile: 'key', password: 'x', passphrase: 'x', prompt: () => Promise.resolve(''), hostKeys: 'enforce', knownHosts: 'file', sshConfig: false, transport: 'ssh2', agent: false,
      node: 'node', runtime: 'auto', keepalive: { interval: 1, count: 1 }, timeout: 0, signal: new AbortController().signal, reconnect: { delay: 1, attempts: 1 }, fresh: true, jump: 'gate',
    }
    expect(check(whole)).not.toThrow()
    expect(check({ via: undefined })).not.toThrow()
  })
})
