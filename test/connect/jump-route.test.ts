import { describe, expect, it } from 'vitest'
import { jumpArgument, jumpHosts, jumpRoute, MAX_JUMPS } from '../../src/connect/jump-route.ts'
import type { ResolveOptions, SshConfig } from '../../src/connect/ssh-config.ts'
import { isRametError, type RametError } from '../../src/router/errors.ts'

/** A configuration with nothing in it but these jumps and needs. */
const world = (jumps: Record<string, string>, needs: Record<string, string[]> = {}) => {
  const asked: string[] = []
  const resolve = async (alias: string, { user = 'me', port = 22 }: ResolveOptions): Promise<SshConfig> => {
    asked.push(alias)
    return { alias, user, port, hostName: `${alias}.example`, proxyJump: jumps[alias]?.split(',') ?? [], needsOpenSsh: needs[alias] ?? [] } as unknown as SshConfig
  }
  const route = async (target: string, hosts = jumps[target] ?? '') => {
    const config = await resolve(target, {})
    return jumpRoute(config, hosts === '' ? [] : jumpHosts(hosts), { name: target, path: [target], resolve })
  }
  const names = async (target: string, hosts?: string): Promise<string[]> => (await route(target, hosts)).map(({ name }) => name)
  const refused = async (target: string, hosts?: string): Promise<RametError> => {
    const error: unknown = await route(target, hosts).then(() => new Error('it was found'), (reason: unknown) => reason)
    if (!isRametError(error)) throw error
    expect([error.outcome, error.hint.length > 10]).toEqual(['not-sent', true])
    return error
  }
  return { route, names, refused, asked }
}

describe('the way through jump hosts', () => {
  it('is the list as it stands, the nearest first', async () => {
    const { names } = world({})
    expect(await names('web', 'a,me@b:2222, ssh://c ,[::1]:22')).toEqual(['a', 'me@b:2222', 'c', '[::1]:22'])
  })

  it('begins with the jumps of its first host, and of theirs', async () => {
    const { names } = world({ web: 'b,c', b: 'a', a: 'x,y', x: 'w', c: 'nowhere', y: 'nowhere' })
    expect(await names('web')).toEqual(['w', 'x', 'y', 'a', 'b', 'c'])
  })

  it('asks for nothing where there is no jump', async () => {
    const { names, asked } = world({})
    expect([await names('web'), asked]).toEqual([[], ['web']])
  })

  it('a command that the configuration names for a host counts only where the host is the first', async () => {
    const { route } = world({}, { a: ['proxycommand', 'pkcs11provider'], b: ['proxycommand', 'pkcs11provider'] })
    expect((await route('web', 'a,b')).map(({ needs }) => needs)).toEqual([['proxycommand', 'pkcs11provider'], ['pkcs11provider']])
  })

  it.each([
    ['itself', { web: 'web' }, 'web > web'],
    ['a jump host that jumps through itself', { web: 'a', a: 'a' }, 'web > a > a'],
    ['two that jump through each other', { web: 'a', a: 'b', b: 'a' }, 'web > a > b > a'],
    ['back to the target', { web: 'a,q', a: 'b', b: 'web' }, 'web > a > b > web'],
    ['in other letters', { web: 'gate', gate: 'GATE' }, 'web > gate > GATE'],
  ])('a circle is named: %s', async (_, jumps, circle) => {
    const error = await world(jumps).refused('web')
    expect(error).toMatchObject({ code: 'config-invalid', stage: 'resolve', path: ['web'], message: `web: its jump hosts go in a circle (${circle})` })
  })

  it('one host twice in a list is no circle: the list is finite, and somebody wrote it', async () => {
    expect(await world({}).names('web', 'a,b,a')).toEqual(['a', 'b', 'a'])
  })

  it('has an end, also where each host jumps through a new one', async () => {
    const jumps = Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`h${at}`, `h${at + 1}`]))
    const { refused, asked } = world(jumps)
    expect((await refused('h0')).message).toBe(`h0: there are more than ${MAX_JUMPS} jump hosts on the way`)
    expect(asked.length).toBeLessThanOrEqual(MAX_JUMPS + 1)
    expect((await world({}).names('web', Array.from({ length: MAX_JUMPS }, (_, at) => `h${at}`).join(','))).length).toBe(MAX_JUMPS)
  })

  it.each(['', 'a,,b', '-J', 'a b', 'me:secret@a', 'a;b', '$(x)'])('"%s" is no list of hosts', async (text) => {
    const error: unknown = await world({}).route('web', text || ' ').catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'target-invalid' })
    expect(() => jumpArgument(text)).toThrow(expect.objectContaining({ code: 'target-invalid' }))
  })

  it('what is reached in another way is no jump host', async () => {
    expect(await world({}).refused('web', 'docker:x')).toMatchObject({ code: 'config-invalid', message: 'web: "docker:x" is no SSH server to jump through' })
    expect(await world({}).names('web', 'ssh://docker')).toEqual(['docker'])
  })

  it('"none" is none, for us and for ssh -J', () => {
    expect([jumpHosts('none'), jumpHosts(' NONE '), jumpArgument('none'), jumpArgument('me@a:1 ,ssh://b:2')]).toEqual([[], [], 'none', 'me@a:1,b:2'])
  })
})
