import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { foldNames } from '../../src/cli/fold.ts'
import { expandList } from '../../src/cli/ranges.ts'
import { RametError } from '../../src/router/errors.ts'
import { FakeDesk } from './fake-desk.ts'
import { ended } from './fake-tree.ts'

describe('foldNames', () => {
  it.each([
    ['web1 web3 web2', 'web[1-3]'],
    ['web8 web9 web10 web12', 'web[8-10,12]'],
    ['n01 n02 n03 n10 n1', 'n[1,01-03,10]'],
    ['web1.lan:22 web2.lan:22 db', 'web[1-2].lan:22,db'],
    ['r1n1 r1n2 r2n1', 'r1n[1-2],r2n1'],
    ['10.0.0.1 10.0.0.2 10.0.1.1', '10.0.0.[1-2],10.0.1.1'],
    ['a b', 'a,b'],
    ['[::1]:22 [::2]:22', '[::1]:22,[::2]:22'],
    ['12345678901234567 12345678901234568', '12345678901234567,12345678901234568'],
  ])('%s', (names, folded) => {
    expect(foldNames(names.split(' '))).toBe(folded)
  })

  it('keeps words behind names', () => {
    expect(foldNames(['web1 via:gw2', 'web2 via:gw2', 'sudo:root via:web1'])).toBe('web[1-2] via:gw2,sudo:root via:web1')
  })

  it('loses and adds nothing', () => {
    const name = fc.tuple(fc.constantFrom('a', 'web', 'x-'), fc.nat(120), fc.constantFrom('', '0', '00'), fc.constantFrom('', '.lan', 'r1', 'r2')).map(([head, number, zeros, tail]) => `${head}${zeros}${number}${tail}`)
    fc.assert(fc.property(fc.uniqueArray(name, { maxLength: 40 }), (names) => {
      expect(expandList(foldNames(names)).toSorted()).toEqual(names.toSorted())
    }))
  })
})

describe('--fold', () => {
  const refused = (name: string): RametError => new RametError('connect-refused', `${name}: nothing listens on port 22`, { stage: 'tcp', path: [name], outcome: 'not-sent', hint: 'Is it up?' })

  it('shows equal results once, the largest group first, and what differs apart', async () => {
    const desk = new FakeDesk({
      web1: { exec: async () => ended({ stdout: 'old\n' }) },
      web2: { exec: async () => ended({ output: [['stdout', 'n'], ['stdout', 'ew\n']] }) },
      web3: { exec: async () => ended({ output: [['stdout', 'new\n'], ['stdout', '']] }) },
      web4: { exec: async () => ended({ stdout: 'new\n' }) },
      web5: { exec: async () => ended({ stderr: 'new\n' }) },
      web6: { exec: async () => ended({ stdout: 'new\n', exitCode: 2 }) },
      db1: { connect: () => Promise.reject(refused('db1')) },
      db2: { connect: () => Promise.reject(refused('db2')) },
    })
    expect(await desk.run('run', 'x', '-t', 'web[1-6],db[1-2]', '-b', '-c', '1')).toBe(1)
    expect(desk.stdout.text).toBe([
      'web[2-4] (3): ok (0.00 s)', 'new',
      'db[1-2] (2): unreachable (0.00 s)', '  connect-refused at stage tcp: <target>: nothing listens on port 22', '  path: <target>', '  outcome: not-sent', '  hint: Is it up?',
      'web1: ok (0.00 s)', 'old',
      'web5: ok (0.00 s)', 'err| new',
      'web6: failed: exit code 2 (0.00 s)', 'new', '',
    ].join('\n'))
    expect(desk.stderr.text).toBe('8 targets: 5 ok, 1 failed, 2 unreachable in 0.00 s\nfailed: web6\nunreachable: db1, db2\n')
  })

  it('keeps the failures of different hops apart, and joins those of one', async () => {
    const down = (name: string): RametError => new RametError('auth-failed', `${name}: no key was accepted`, { stage: 'auth', path: [name] })
    const desk = new FakeDesk({ gw1: { connect: () => Promise.reject(down('gw1')) }, gw2: { connect: () => Promise.reject(down('gw2')) } })
    await desk.run('run', 'x', '-t', 'a1 via:gw1, a2 via:gw1, a3 via:gw2', '-b')
    expect(desk.stdout.text.split('\n').filter((line) => !line.startsWith('  '))).toEqual(['a[1-2] via:gw1 (2): unreachable (0.00 s)', 'a3 via:gw2: unreachable (0.00 s)', ''])
    expect(desk.stdout.text).toContain('auth-failed at stage auth: <target>: its hop gw1 failed at stage auth: no key was accepted\n  path: gw1\n')
  })

  it('folds what functions return', async () => {
    const desk = new FakeDesk({ a1: { call: () => ({ n: 1, list: [2n] }) }, a2: { call: () => ({ n: 1, list: [2n] }) }, a3: { call: () => ({ n: 2 }) } })
    desk.files['/home/ann/t.ts'] = ''
    expect(await desk.run('call', 't.ts', 'f', '-t', 'a[1-3]', '--fold')).toBe(0)
    expect(desk.stdout.text).toBe('a[1-2] (2): ok (0.00 s)\n{ n: 1, list: [ 2n ] }\na3: ok (0.00 s)\n{ n: 2 }\n')
  })

  it('is for people only', async () => {
    const desk = new FakeDesk()
    expect(await desk.run('run', 'x', '-t', 'a', '-b', '--format', 'json')).toBe(1)
    expect(desk.stderr.text).toContain('--fold is for --format human; json and jsonl have one item per target')
    expect(desk.opened).toEqual([])
  })
})
