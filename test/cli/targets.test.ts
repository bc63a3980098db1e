import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { expandList } from '../../src/cli/ranges.ts'
import { readTargets, withAccount } from '../../src/cli/targets.ts'

const nothing = { readFile: async () => '', readStdin: async () => '' }

describe('expandList', () => {
  it.each([
    ['a,b  c,\n,d', ['a', 'b', 'c', 'd']],
    ['web[01-03]', ['web01', 'web02', 'web03']],
    ['web[8-11].lan', ['web8.lan', 'web9.lan', 'web10.lan', 'web11.lan']],
    ['web[08-10,3]x', ['web08x', 'web09x', 'web10x', 'web3x']],
    ['n[0-8/4]', ['n0', 'n4', 'n8']],
    ['r[1-2]n[1-2],z', ['r1n1', 'r1n2', 'r2n1', 'r2n2', 'z']],
    ['deploy@web[1,2]:2222', ['deploy@web1:2222', 'deploy@web2:2222']],
    ['[::1]:22,ssh://[fe80::1%25eth0]', ['[::1]:22', 'ssh://[fe80::1%25eth0]']],
    ['', []],
  ])('%j', (list, names) => {
    expect(expandList(list)).toEqual(names)
  })

  it.each([
    ['web[1-', "a '[' is not closed in the targets 'web[1-'"],
    ['web[3-1]', "the range '3-1' in the target 'web[3-1]' is empty"],
    ['web[]', "'[]' in the target 'web[]' is no range"],
    ['web[1--2]', "'[1--2]' in the target 'web[1--2]' is no range"],
    ['web[1-5/0]', "the range '1-5/0' in the target 'web[1-5/0]' is empty"],
    ['web[1-99999999999]', "'web[1-99999999999]' stands for more than 65536 targets"],
    ['a[1-60000,1-60000]', "'a[1-60000,1-60000]' stands for more than 65536 targets"],
    ['a[1-60000]b[1-60000]c[1-60000]', "'b[1-60000]c[1-60000]' stands for more than 65536 targets"],
  ])('refuses %j', (list, message) => {
    expect(() => expandList(list)).toThrow(expect.objectContaining({ code: 'usage', message }))
  })

  it('gives as many names as the range has numbers, all of one width', () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 0, max: 500 }), (from, more) => {
      const names = expandList(`h[${String(from).padStart(4, '0')}-${from + more}]`)
      expect(names).toHaveLength(more + 1)
      expect(new Set(names.map((name) => name.length))).toEqual(new Set([5]))
      expect(names.at(-1)).toBe(`h${String(from + more).padStart(4, '0')}`)
    }))
  })
})

describe('readTargets', () => {
  it('keeps the order of first mention and names each target once', async () => {
    const sources = { readFile: async (path: string) => path === 'hosts' ? '# ours\nb, c # both\n\n  d[1-2]\r\na\n' : '', readStdin: async () => 'x\nb\n' }
    expect(await readTargets(['a,@hosts', 'c,-'], sources)).toEqual(['a', 'b', 'c', 'd1', 'd2', 'x'])
  })

  it('refuses an empty list', async () => {
    await expect(readTargets([' , '], nothing)).rejects.toMatchObject({ code: 'usage', message: 'the list of targets is empty' })
    await expect(readTargets(undefined, nothing)).rejects.toMatchObject({ code: 'usage', message: 'no targets were named' })
  })

  it.each(['ssh://ann:hunter2@web1', 'ann:hunter2@web1', 'ssh://ann:hun@ter2@web1'])('refuses the password in %s without repeating it', async (target) => {
    const error = await readTargets([target], nothing).catch((caught: unknown) => caught as Error)
    expect(error).toMatchObject({ code: 'usage', hint: expect.stringContaining('--ask-password') })
    expect(String(error)).toContain('ann@')
    expect(String(error)).not.toMatch(/hun/)
  })

  it.each(['ssh://ann@web1:2222', 'SSH://ann@web1:22', 'ssh://web1:2222', 'ann@[::1]:22', 'ssh://ann@[::1]:2222', 'web1 via:ssh://ops@gate:2222 via:b', 'web1 jump:ssh://ops@gate:22,c'])(
    'takes no port for a password in %s', async (target) => {
      expect(await readTargets([target], nothing)).toHaveLength(target.includes(',') ? 2 : 1)
    })

  it.each(['web1 via:ssh://ops:hunter2@gate', 'web1 jump:ops:hunter2@gate:22', 'SSH://ann:hunter2@web1:2222'])('refuses the password in the words of %s', async (target) => {
    const error = await readTargets([target], nothing).catch((caught: unknown) => caught as Error)
    expect(error).toMatchObject({ code: 'usage' })
    expect(String(error)).not.toMatch(/hunter/)
  })

  it('leaves the names of containers alone', async () => {
    expect(await readTargets(['docker:web@sha', 'local:', 'web1:2222'], nothing)).toEqual(['docker:web@sha', 'local:', 'web1:2222'])
  })
})

describe('withAccount', () => {
  it.each([
    ['web1', 'deploy@web1:2222'],
    ['ann@web1', 'ann@web1:2222'],
    ['web1:22', 'deploy@web1:22'],
    ['ssh://web1', 'deploy@web1:2222'],
    ['::1', 'deploy@[::1]:2222'],
    ['[::1]:22', 'deploy@[::1]:22'],
    ['local:', 'local:'],
    ['docker:7', 'docker:7'],
    ['sudo:root', 'sudo:root'],
  ])('%s', (target, full) => {
    expect(withAccount(target, { user: 'deploy', port: 2222 })).toBe(full)
  })

  it('changes nothing when there is nothing to add', () => {
    expect(withAccount('ssh://ann@web1:22/', { user: 'deploy', port: 2222 })).toBe('ssh://ann@web1:22/')
    expect(withAccount('Web1', {})).toBe('Web1')
  })

  it('refuses a host that would be read as an option', () => {
    expect(() => withAccount('-oProxyCommand=x', {})).toThrow(expect.objectContaining({ code: 'target-invalid' }))
  })
})
