import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CONTAINER_TOOLS, checkPort, displayName, parseTarget } from '../../src/connect/target.ts'
import type { TargetAddress } from '../../src/connect/target.ts'
import { isRametError } from '../../src/router/errors.ts'
import type { RametError } from '../../src/router/errors.ts'

function refusal(text: string): RametError {
  try {
    parseTarget(text)
  } catch (error) {
    if (isRametError(error)) return error
    throw error
  }
  throw new Error(`"${text}" was accepted`)
}

describe('what a user writes as a target', () => {
  const accepted: [string, TargetAddress][] = [
    ['ssh://deploy@web1:2222', { kind: 'ssh', user: 'deploy', host: 'web1', port: 2222 }],
    ['ssh://web1/', { kind: 'ssh', host: 'web1' }],
    ['SSH://web1', { kind: 'ssh', host: 'web1' }],
    ['deploy@web1:2222', { kind: 'ssh', user: 'deploy', host: 'web1', port: 2222 }],
    ['web1:22', { kind: 'ssh', host: 'web1', port: 22 }],
    ['web1', { kind: 'ssh', host: 'web1' }],
    ['Alias_with.dots-1', { kind: 'ssh', host: 'Alias_with.dots-1' }],
    ['alice@example.org@web1', { kind: 'ssh', user: 'alice@example.org', host: 'web1' }],
    ['CORP\\alice@web1', { kind: 'ssh', user: 'CORP\\alice', host: 'web1' }],
    ['ssh://CORP%5Calice@web1', { kind: 'ssh', user: 'CORP\\alice', host: 'web1' }],
    ['::1', { kind: 'ssh', host: '::1' }],
    ['[::1]', { kind: 'ssh', host: '::1' }],
    ['[::1]:22', { kind: 'ssh', host: '::1', port: 22 }],
    ['root@[fe80::1%eth0]:2222', { kind: 'ssh', user: 'root', host: 'fe80::1%eth0', port: 2222 }],
    ['ssh://[fe80::1%25eth0]', { kind: 'ssh', host: 'fe80::1%eth0' }],
    ['ssh://[::1]', { kind: 'ssh', host: '::1' }],
    ['ssh://local', { kind: 'ssh', host: 'local' }],
    ['localhost', { kind: 'ssh', host: 'localhost' }],
    ['sudo', { kind: 'ssh', host: 'sudo' }],
    ['local', { kind: 'local' }],
    ['local:', { kind: 'local' }],
    ['local://', { kind: 'local' }],
    ['sudo:root', { kind: 'become', method: 'sudo', user: 'root' }],
    ['sudo:', { kind: 'become', method: 'sudo', user: 'root' }],
    ['su:', { kind: 'become', method: 'su', user: 'root' }],
    ['doas:www-data', { kind: 'become', method: 'doas', user: 'www-data' }],
    ['docker:web', { kind: 'container', tool: 'docker', name: 'web' }],
    ['docker://web', { kind: 'container', tool: 'docker', name: 'web' }],
    ['kubectl:shop/cart-6f/app', { kind: 'container', tool: 'kubectl', name: 'shop/cart-6f/app' }],
    ['nsenter:4711', { kind: 'container', tool: 'nsenter', name: '4711' }],
  ]
  test.each(accepted)('%s is understood', (text, address) => {
    expect(parseTarget(text)).toEqual(address)
  })

  test('every container tool has its own prefix', () => {
    for (const tool of CONTAINER_TOOLS) expect(parseTarget(`${tool}:x1`)).toEqual({ kind: 'container', tool, name: 'x1' })
  })

  const refused: [string, RegExp][] = [
    ['', /is empty/],
    ['ssh://', /empty host name/],
    ['@web1', /empty user name/],
    ['user@', /empty host name/],
    ['[]:22', /empty host name/],
    ['-oProxyCommand=touch /tmp/x', /begins with "-"/],
    ['ssh://-oProxyCommand=id', /begins with "-"/],
    ['-l@web1', /user name that begins with "-"/],
    ['root@-web', /host name that begins with "-"/],
    ['web 1', /space or a control character/],
    ['web1\n', /space or a control character/],
    ['web\u001b[31m', /space or a control character/],
    ['web\u202e1', /space or a control character/],
    ['de ploy@web1', /space or a control character/],
    ['ssh://a%0ab@web1', /space or a control character/],
    ['ssh://a%zz@web1', /broken %-escape/],
    ['$(id)@web1', /in its user name/],
    ['web1;id', /";" in its host name/],
    ['`id`', /in its host name/],
    ['web*', /"\*" in its host name/],
    ['web1,web2', /"," in its host name/],
    ['web%h', /"%" in its host name/],
    ['web1:', /no number from 1 to 65535/],
    ['web1:0', /no number from 1 to 65535/],
    ['web1:65536', /no number from 1 to 65535/],
    ['web1:22x', /no number from 1 to 65535/],
    ['web1:+22', /no number from 1 to 65535/],
    ['[::1]:', /no number from 1 to 65535/],
    ['[::1]x', /in its host name/],
    ['foo:bar', /no number from 1 to 65535/],
    ['ssh://web1/etc', /path behind its host/],
    ['web1/etc', /"\/" in its host name/],
    ['http://web1', /unknown scheme "http"/],
    ['local:web1', /behind "local:"/],
    ['docker:', /names no container/],
    ['docker:-v', /container name that begins with "-"/],
    ['kubectl:shop/-x', /container name that begins with "-"/],
    ['docker:a b', /space or a control character/],
    ['sudo:-i', /user name that begins with "-"/],
    ['sudo:a b', /space or a control character/],
    [`${'a'.repeat(1100)}`, /longer than 1024/],
  ]
  test.each(refused)('%j is refused with words', (text, words) => {
    const error = refusal(text)
    expect(error).toMatchObject({ code: 'target-invalid', outcome: 'not-sent' })
    expect(error.message).toMatch(words)
    expect(error.hint).not.toBe('')
    expect(error.message).not.toMatch(/[\u0000-\u001f\u007f\u202e]/)
  })

  test.each(['ssh://deploy:hunter2@web1', 'deploy:hunter2@web1', 'ssh://deploy:hun@ter2@web1'])(
    'a password in %s is refused, and is not repeated in the error',
    (text) => {
      const error = refusal(text)
      expect(error.code).toBe('target-invalid')
      expect(error.hint).toMatch(/password option or a prompt/)
      expect(error.message).toContain('deploy:***@web1')
      expect(`${error.message}${error.hint}${error.stack}`).not.toMatch(/hunter|hun@|ter2/)
    },
  )

  test('a port given as a number is held to the same range', () => {
    expect(checkPort(22)).toBe(22)
    for (const port of [0, -1, 1.5, Number.NaN, 70000]) expect(() => checkPort(port)).toThrow(/no number from 1 to 65535/)
  })
})

describe('the name shown for a target', () => {
  test.each([
    [{ kind: 'ssh', user: 'deploy', host: 'web1', port: 2222 }, 'deploy@web1:2222'],
    [{ kind: 'ssh', host: '::1', port: 22 }, '[::1]:22'],
    [{ kind: 'ssh', host: 'local' }, 'ssh://local'],
    [{ kind: 'ssh', host: 'docker', port: 2222 }, 'ssh://docker:2222'],
    [{ kind: 'local' }, 'local'],
    [{ kind: 'become', method: 'su', user: 'root' }, 'su:root'],
    [{ kind: 'container', tool: 'incus', name: 'db' }, 'incus:db'],
  ] as [TargetAddress, string][])('%j is shown as %s', (address, name) => {
    expect(displayName(address)).toBe(name)
  })

  test('reads back as the same address, and any text either parses or is refused as target-invalid', () => {
    const word = fc.constantFrom('ssh', 'local', 'docker', 'sudo', 'a', 'Web-1', '::1', 'fe80::1%eth0', '[', ']', ':', '@', '/', '//', '-', '%', '22', ' ', '\\')
    const text = fc.oneof(fc.string(), fc.array(word, { maxLength: 8 }).map((words) => words.join('')))
    fc.assert(
      fc.property(text, (input) => {
        let address: TargetAddress
        try {
          address = parseTarget(input)
        } catch (error) {
          expect(error).toMatchObject({ code: 'target-invalid' })
          return
        }
        expect(parseTarget(displayName(address))).toEqual(address)
      }),
      { numRuns: 2000 },
    )
  })
})
