import { describe, expect, it } from 'vitest'
import { expandList } from '../../src/cli/ranges.ts'
import { readTargets } from '../../src/cli/targets.ts'
import { MOST_HOPS, readWays } from '../../src/cli/ways.ts'
import type { Place, WayFlags } from '../../src/cli/ways.ts'

function ways(list: string, flags: WayFlags = {}): Place[] {
  return readWays(expandList(list), flags)
}

/** 'gate~bastion > web1': connect() by connect(), a jump before its machine. */
function shown({ label, steps }: Place): string {
  return `${label} = ${steps.map(({ target, jump }) => (jump === undefined ? '' : `${jump}~`) + target).join(' > ')}`
}

describe('words behind a name', () => {
  it.each([
    ['web1 via:bastion', ['web1 via:bastion']],
    ['web1   via:bastion\tvia:inner , db1', ['web1 via:bastion via:inner', 'db1']],
    ['a b via:x c', ['a', 'b via:x', 'c']],
    ['web[1-2] via:gw', ['web1 via:gw', 'web2 via:gw']],
    ['sudo:root via:web[1-2]', ['sudo:root via:web1', 'sudo:root via:web2']],
    ['a VIA:b\nc Jump:d', ['a VIA:b', 'c Jump:d']],
    ['[::1]:22 via:[fe80::1]:22', ['[::1]:22 via:[fe80::1]:22']],
    ['ssh://via:22', ['ssh://via:22']],
  ])('%j', (list, texts) => {
    expect(expandList(list)).toEqual(texts)
  })

  it.each([
    ['via:a', "'via:a' stands behind no target in 'via:a'"],
    ['web1, via:a', "'via:a' stands behind no target in 'web1, via:a'"],
    ['web1\njump:a', "'jump:a' stands behind no target in 'web1\njump:a'"],
  ])('%j are refused without a name', (list, message) => {
    expect(() => expandList(list)).toThrow(expect.objectContaining({ code: 'usage', message }))
  })

  it('hold for every target of a file that has none of its own', async () => {
    const sources = { readFile: async () => 'b\nc via:other # why\nd', readStdin: async () => 'e' }
    expect(await readTargets(['a, @hosts via:gw', '- jump:j'], sources)).toEqual(['a', 'b via:gw', 'c via:other', 'd via:gw', 'e jump:j'])
  })

  it.each(['web1 via:ann:hunter2@gw', 'web1 jump:ann:hunter2@gw'])('carry no password: %s', async (target) => {
    const error = await readTargets([target], { readFile: async () => '', readStdin: async () => '' }).catch((caught: unknown) => caught as Error)
    expect(error).toMatchObject({ code: 'usage', hint: expect.stringContaining('--ask-password') })
    expect(String(error)).not.toContain('hunter2')
  })
})

describe('ways to targets', () => {
  it.each<[string, WayFlags, string[]]>([
    ['web1', {}, ['web1 = web1']],
    ['web1 via:a via:b', {}, ['web1 via:a via:b = a > b > web1']],
    ['web1 via:a,db1 via:a via:b', {}, ['web1 via:a = a > web1', 'db1 via:a via:b = a > b > db1']],
    ['web1', { via: ['a', 'b'] }, ['web1 = a > b > web1']],
    ['web1', { via: ['a,b'] }, ['web1 = a > b > web1']],
    ['web1', { jump: ['g,h'] }, ['web1 = g,h~web1']],
    ['x jump:g jump:h', {}, ['x jump:g jump:h = g,h~x']],
    ['web1 via:z, web2', { via: ['a'], jump: ['g'] }, ['web1 via:z = z > web1', 'web2 = g~a > web2']],
    ['web1 via:none, web2 jump:none', { via: ['a'] }, ['web1 via:none = web1', 'web2 jump:none = web2']],
    // A jump is TCP from here: it leads to the first machine of the way.
    ['x via:a jump:g', {}, ['x via:a jump:g = g~a > x']],
    // Hops that are targets too.
    ['a, b, c', { via: ['a', 'b'] }, ['a = a', 'b = a > b', 'c = a > b > c']],
    ['gate, web1', { jump: ['gate'] }, ['gate = gate', 'web1 = gate~web1']],
    ['sudo:root via:web1, web1 via:bastion', {}, ['sudo:root via:web1 = bastion > web1 > sudo:root', 'web1 via:bastion = bastion > web1']],
    ['c via:b, b via:a, a jump:g', {}, ['c via:b = g~a > b > c', 'b via:a = g~a > b', 'a jump:g = g~a']],
    ['db1 via:web1 via:inner, web1', { via: ['z'] }, ['db1 via:web1 via:inner = z > web1 > inner > db1', 'web1 = z > web1']],
    ['x via:b jump:h, b via:a', {}, ['x via:b jump:h = h~b > x', 'b via:a = a > b']],
    ['x via:a via:b, b via:c', {}, ['x via:a via:b = a > b > x', 'b via:c = c > b']],
    ['db via:ssh://web1, web1 via:a', {}, ['db via:ssh://web1 = a > web1 > db', 'web1 via:a = a > web1']],
    // What is relative to its parent may come twice.
    ['sudo:root via:web1 via:sudo:root via:web2', {}, ['sudo:root via:web1 via:sudo:root via:web2 = web1 > sudo:root > web2 > sudo:root']],
    ['local: via:local:, local: via:local: via:local:', {}, ['local: via:local: = local: > local:', 'local: via:local: via:local: = local: > local: > local:']],
    ['local:', { via: ['local:'] }, ['local: = local: > local:']],
  ])('%s with %j', (list, flags, expected) => {
    expect(ways(list, flags).map(shown)).toEqual(expected)
  })

  it.each<[string, WayFlags, string]>([
    ['a via:b, b via:a', {}, 'the way to a is a cycle: a via b via a'],
    ['a via:a', {}, 'the way to a is a cycle: a via a'],
    ['a via:ssh://a', {}, 'the way to a is a cycle: a via ssh://a'],
    ['x via:a, a via:b, b via:c, c via:a', {}, 'the way to a is a cycle: a via b via c via a'],
    ['a via:c via:b, c via:a', {}, 'the way to a is a cycle: a via b via c via a'],
    ['x via:a via:b via:a', {}, 'the way to a is a cycle: a via b via a'],
    ['docker:a via:docker:b, docker:b via:docker:a', {}, 'the way to docker:a is a cycle: docker:a via docker:b via docker:a'],
    ['a via:b, b', { via: ['a'] }, 'the way to a is a cycle: a via b via a'],
    ['x jump:x', {}, 'the way to x is a cycle: x by a jump over x'],
    ['a via:', {}, "'via:' names no hop"],
    ['a', { via: ['gw[1-2]'] }, "'--via gw[1-2]' names no hop"],
    ['a', { via: ['b via:c'] }, "'--via b via:c' names no hop"],
    ['a', { jump: ['g,,h'] }, "'--jump ' names no hop"],
    ['sudo:root jump:g', {}, "sudo:root can't be reached by a jump"],
    ['x via:sudo:root, sudo:root via:web1, sudo:root via:web2', {}, "'x via:sudo:root': there are 2 targets named sudo:root"],
  ])('%s with %j are refused', (list, flags, message) => {
    expect(() => ways(list, flags)).toThrow(expect.objectContaining({ code: 'usage', outcome: 'not-sent', message, hint: expect.any(String) }))
  })

  it('have at most 16 hops', () => {
    const hops = Array.from({ length: MOST_HOPS }, (_, index) => `h${index}`)
    expect(ways('x', { via: hops })[0]?.steps).toHaveLength(MOST_HOPS + 1)
    expect(() => ways('x', { via: [...hops, 'more'] })).toThrow(expect.objectContaining({ code: 'usage', message: 'the way to x has more than 16 hops' }))
    const long = Array.from({ length: 20_000 }, (_, index) => `t${index} via:t${index + 1}`).join(',')
    expect(() => ways(long)).toThrow(expect.objectContaining({ message: 'the way to t0 has more than 16 hops' }))
    const chain = ['x via:t0', ...hops.map((_, index) => `t${index} via:t${index + 1}`)].join(',')
    expect(() => ways(chain)).toThrow(expect.objectContaining({ message: 'the way to x has more than 16 hops' }))
  })

  it.each([
    // The account is the target's, or that of the machine it is on; a bastion has its own.
    ['web1', ['ann@web1:2222']],
    ['web1 via:bastion', ['bastion', 'ann@web1:2222']],
    ['sudo:root via:web1', ['ann@web1:2222', 'sudo:root']],
    ['docker:x via:bastion via:bob@web1 via:sudo:root', ['bastion', 'bob@web1:2222', 'sudo:root', 'docker:x']],
  ])('take account and port for %s', (list, targets) => {
    expect(ways(list, { user: 'ann', port: 2222 })[0]?.steps.map(({ target }) => target)).toEqual(targets)
  })

  it('share the steps that are one connection', () => {
    const [web1, web2, db, root] = ways('web1 via:gw, web2 via:gw, db via:web1, sudo:root via:web1') as [Place, Place, Place, Place]
    expect(db.steps.map(({ name }) => name)).toEqual(['gw', 'web1', 'db'])
    expect([web2, db, root].map(({ steps }) => steps[0]?.key)).toEqual([web1.steps[0]?.key, web1.steps[0]?.key, web1.steps[0]?.key])
    expect([db, root].map(({ steps }) => steps[1]?.key)).toEqual([web1.steps[1]?.key, web1.steps[1]?.key])
    const [first, second] = ways('sudo:root via:web1, sudo:root via:web2') as [Place, Place]
    expect(first.steps[1]?.key).not.toBe(second.steps[1]?.key)
  })
})
