import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { BenchLab, CONTENDERS, valueOf, type Result } from '../helpers/bench-lab.ts'
import { haveSshd, startSshd } from '../helpers/sshd.ts'

describe.skipIf(!haveSshd)('ramet bench, as it is built, on a real sshd', () => {
  let lab: BenchLab

  beforeAll(async () => {
    lab = await BenchLab.start()
  }, 60_000)
  afterAll(() => lab?.stop())
  afterEach(() => lab.expectNothingLeft())

  test('measures every contender with a command and a function, counts what they send, and draws them', async () => {
    const picture = join(lab.place, 'bench.svg')
    const { code, stdout, stderr } = await lab.run([...lab.to(), '--calls', '3', '--format', 'json', '--svg', picture]).ended
    expect(code, stderr).toBe(0)
    expect(stderr).toMatch(/7 ways, 3 calls of each kind by each, 1 at once, in turn in 3 rounds; at most 1 min 0 s\n/)
    expect(stderr).toMatch(/This takes about \d/)
    const { results, left_out: leftOut, rtt_ms: rtt, ending } = valueOf(stdout)
    expect(leftOut).toEqual([])
    expect(ending).toBe('whole')
    expect(results.map(({ contender, kind }) => `${contender} ${kind}`).sort()).toEqual(CONTENDERS.flatMap((id) => [`${id} command`, `${id} function`]).sort())
    for (const { calls, samples_ms: samples, cpu_ms: cpu } of results) {
      expect([calls, samples.length]).toEqual([3, 3])
      expect(cpu.own).toBeGreaterThan(0)
    }
    const of = (contender: string, kind = 'function'): Result => results.find((one) => one.contender === contender && one.kind === kind)!
    for (const id of ['ssh', 'ssh-pinned', 'ramet-cold']) expect([of(id).per_call!.connections, of(id).opening]).toEqual([1, undefined])
    for (const id of ['ssh-master', 'ssh2', 'ramet-raw', 'ramet-warm']) expect([of(id).per_call!.connections, of(id).opening!.connections]).toEqual([0, 1])
    // What a warm call is: one round trip and a few bytes.
    expect(of('ramet-warm').per_call!.round_trips).toBe(1)
    expect(of('ramet-warm').per_call!.bytes_out + of('ramet-warm').per_call!.bytes_in).toBeLessThan(400)
    expect(of('ssh').per_call!.round_trips).toBeGreaterThan(of('ramet-cold').per_call!.round_trips)
    expect(of('ssh').cpu_ms.children).toBeGreaterThan(0)
    expect(rtt.tcp).toBeGreaterThan(0)
    expect(rtt.ping).toBeGreaterThan(0)
    const drawn = readFileSync(picture, 'utf8')
    expect(drawn.match(/<rect [^>]*class="(?:ours|other)"/g)).toHaveLength(14)
    expect(drawn).not.toContain(lab.server.host)
    expect(drawn).not.toMatch(/<script|href=|url\(/)
  }, 60_000)

  test('keeps within --max-time, and says what that cost', async () => {
    const from = performance.now()
    const { code, stdout, stderr } = await lab.run([...lab.to(), '--calls', '2000', '--max-time', '10', '--format', 'json']).ended
    expect(code, stderr).toBe(0)
    expect(performance.now() - from).toBeLessThan(25_000)
    const { results, notes, ending } = valueOf(stdout)
    expect(ending === 'time' || notes.some((note) => note.startsWith('Fewer than 2000 calls, to keep within the time: '))).toBe(true)
    expect(results.length).toBeGreaterThan(0)
  }, 60_000)

  test('behind a hop ssh takes -J and ssh2 the same way, and what passes as far as the hop is counted', async () => {
    await using inner = await startSshd({ config: [`AuthorizedKeysFile ${join(lab.server.dir, 'authorized_keys')}`] })
    const known = join(lab.place, 'known')
    writeFileSync(known, [lab.server, inner].map(({ knownHosts }) => readFileSync(knownHosts, 'utf8')).join(''))
    const { code, stdout, stderr } = await lab.run([
      ...lab.to({ ...inner, keyFile: lab.server.keyFile, knownHosts: known }), '--via', `${lab.server.user}@${lab.server.host}:${lab.server.port}`, '--calls', '2', '--format', 'json',
    ]).ended
    expect(code, stderr).toBe(0)
    const value = valueOf(stdout)
    expect([value.left_out, value.not_counted, value.counted_to]).toEqual([[], undefined, 'hop'])
    expect(value.results).toHaveLength(14)
    const of = (contender: string): Result => value.results.find((one) => one.contender === contender && one.kind === 'function')!
    // One connection carries all that is behind the hop.
    for (const id of ['ssh', 'ssh-pinned', 'ramet-cold']) expect([id, of(id).per_call!.connections]).toEqual([id, 1])
    for (const id of ['ssh-master', 'ssh2', 'ramet-raw', 'ramet-warm']) expect([id, of(id).opening!.connections]).toEqual([id, 1])
    expect(of('ramet-warm').per_call!.round_trips).toBe(1)
    expect(of('ssh').per_call!.round_trips).toBeGreaterThan(of('ramet-cold').per_call!.round_trips)
    // ssh waits for no process that leads to a hop: its CPU is more than can be read.
    expect(value.results.filter(({ cpu_ms: { at_least: more } }) => more === true).map(({ contender, kind }) => `${contender} ${kind}`).sort())
      .toEqual(['ssh command', 'ssh function', 'ssh-pinned command', 'ssh-pinned function'])
    // The key exchange is pinned on both machines.
    expect(of('ssh-pinned').per_call!.bytes_out).toBeLessThan(of('ssh').per_call!.bytes_out - 2 * 1000)
  }, 120_000)

  test('a configuration that asks for a ProxyCommand and a shared connection of its own', async () => {
    const config = join(lab.place, 'config')
    const tunnel = `const s=require('net').connect(${lab.server.port},'127.0.0.1');process.stdin.pipe(s);s.pipe(process.stdout)`
    writeFileSync(config, [
      'Host web', `  HostName ${lab.server.host}`, `  Port ${lab.server.port}`, `  User ${lab.server.user}`, `  IdentityFile ${lab.server.keyFile}`, `  UserKnownHostsFile ${lab.server.knownHosts}`,
      `  ProxyCommand ${process.execPath} -e "${tunnel}"`, '  ControlMaster auto', `  ControlPath ${join(lab.place, 'shared')}`, '  ControlPersist 60', '',
    ].join('\n'))
    const { code, stdout, stderr } = await lab.run(['-t', 'web', '--ssh-config', config, '--calls', '2', '--format', 'json']).ended
    expect(code, stderr).toBe(0)
    const value = valueOf(stdout)
    expect(value.left_out.map(({ contender, reason }) => [contender, reason])).toEqual([['ssh2', 'the configuration asks for proxycommand']])
    expect(value.not_counted).toBe('the configuration asks for proxycommand')
    expect(value.results).toHaveLength(12)
    expect(existsSync(join(lab.place, 'shared'))).toBe(false)
  }, 60_000)

  test('what the configuration says of unknown hosts holds for ssh as for the others', async () => {
    const config = join(lab.place, 'config-trusting')
    writeFileSync(config, [
      'Host web', `  HostName ${lab.server.host}`, `  Port ${lab.server.port}`, `  User ${lab.server.user}`, `  IdentityFile ${lab.server.keyFile}`,
      '  UserKnownHostsFile /dev/null', '  StrictHostKeyChecking no', '',
    ].join('\n'))
    const { code, stdout, stderr } = await lab.run(['-t', 'web', '--ssh-config', config, '--calls', '1', '--format', 'json']).ended
    expect(code, stderr).toBe(0)
    const value = valueOf(stdout)
    expect(value.left_out).toEqual([])
    expect(value.results).toHaveLength(14)
  }, 60_000)

  test('without a target it measures on a server of its own, which is gone afterwards', async () => {
    const { code, stdout, stderr } = await lab.run(['--calls', '12', '-c', '12', '--payload', '5000', '--max-time', '30']).ended
    expect(code, stderr).toBe(0)
    expect(stdout).toMatch(/^A shell command on a server of its own on this machine, 12 calls in 1 round, 12 at once:$/m)
    expect(stderr).not.toContain('Warning')
    expect(stderr).toMatch(/cat, 5000 bytes there and back/)
    expect(stdout.match(/^ssh, ControlMaster /gm)).toHaveLength(4)
  }, 60_000)
})
