import { execFileSync } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { BenchLab, CONTENDERS, valueOf } from '../helpers/bench-lab.ts'
import { childrenOf } from '../helpers/e2e-lab.ts'
import { descendants, freePort, haveSshd, makeKey, startSshd } from '../helpers/sshd.ts'
import { alive } from '../helpers/tree-lab.ts'

describe.skipIf(!haveSshd)('ramet bench, when something is missing or it is stopped', () => {
  let lab: BenchLab

  beforeAll(async () => {
    lab = await BenchLab.start()
  }, 60_000)
  afterAll(() => lab?.stop())
  afterEach(() => lab.expectNothingLeft())

  test('without an ssh client the others are measured, and those that need one are named', async () => {
    const { code, stdout, stderr } = await lab.run([...lab.to(), '--calls', '3'], { PATH: '/nowhere' }).ended
    expect(code, stderr).toBe(0)
    expect(stdout.match(/^Left out: ssh.*: there is no ssh client on this machine$/gm)).toHaveLength(3)
    expect(stdout.match(/^(ssh2|ramet, (raw|cold|warm)) +[\d.]+ (us|ms|s)/gm)).toHaveLength(8)
    expect(stdout).toMatch(/^ramet, warm +\u2588+ [\d.]+ (us|ms)$/m)
  }, 60_000)

  test('a picture for which there is no room is an error that says so, behind all that was measured', async () => {
    const { code, stdout, stderr } = await lab.run([...lab.to(), '--calls', '1', '--max-time', '20', '--svg', '/dev/full'], { PATH: '/nowhere' }).ended
    expect(code).toBe(1)
    expect(stdout).toMatch(/^ramet, warm +[\d.]+ (us|ms|s)/m)
    expect(stderr).toMatch(/^ramet: .*can't write \/dev\/full: ENOSPC/m)
    expect(stderr).not.toMatch(/internal-error|^ +at /m)
  }, 60_000)

  test.skipIf(!existsSync('/usr/bin/prlimit'))('a picture that ends in the middle for want of room is not left there (needs prlimit)', async () => {
    const picture = join(lab.place, 'half.svg')
    const { child, ended } = lab.run([...lab.to(), '--calls', '1', '--max-time', '4', '--svg', picture], { PATH: '/nowhere' })
    execFileSync('/usr/bin/prlimit', ['--pid', String(child.pid), '--fsize=1000'])
    const { code, stdout, stderr } = await ended
    expect(code, stderr).toBe(1)
    expect(stdout).toMatch(/^ramet, warm +[\d.]+ (us|ms|s)/m)
    expect(stderr).toMatch(/^ramet: .*can't write \S+\/half\.svg: EFBIG/m)
    expect(existsSync(picture)).toBe(false)
  }, 60_000)

  test('^C shows what was measured by then, ends with 130, and leaves no process, session or file', async () => {
    const { child, ended, says, interrupt } = lab.run([...lab.to(), '--calls', '500'])
    await says('This takes about')
    // Each call of ssh is a child of its own: with the fourth, calls have had their results.
    const seen = new Set<number>()
    await expect.poll(() => {
      for (const line of childrenOf(child.pid!)) seen.add(Number.parseInt(line))
      return seen.size
    }, { timeout: 30_000, interval: 10 }).toBeGreaterThan(3)
    interrupt()
    const { code, stdout } = await ended
    expect(code).toBe(130)
    expect(stdout).toMatch(/^Interrupted: these are the calls that were made by then\.$/m)
    await expect.poll(() => [...seen].filter(alive)).toEqual([])
  }, 60_000)

  test('^C before anything is measured says so, and a second one leaves at once', async () => {
    const { ended, says, interrupt } = lab.run([...lab.to(), '--calls', '500'])
    await says('Nothing is installed there')
    interrupt()
    interrupt()
    const { code } = await ended
    expect(code).toBe(130)
  }, 60_000)

  test('a signal to it alone, behind a hop, ends what its ssh started to get there', async () => {
    await using inner = await startSshd({ config: [`AuthorizedKeysFile ${join(lab.server.dir, 'authorized_keys')}`] })
    const known = join(lab.place, 'known-to-inner')
    writeFileSync(known, [lab.server, inner].map(({ knownHosts }) => readFileSync(knownHosts, 'utf8')).join(''))
    const { child, ended, says } = lab.run([...lab.to({ ...inner, keyFile: lab.server.keyFile, knownHosts: known }), '--via', `${lab.server.user}@${lab.server.host}:${lab.server.port}`, '--calls', '500'])
    await says('This takes about')
    let started: number[] = []
    await expect.poll(() => (started = descendants(child.pid!)).length, { timeout: 10_000 }).toBeGreaterThan(2)
    child.kill('SIGTERM')
    expect((await ended).code).toBe(143)
    await expect.poll(() => started.filter(alive)).toEqual([])
  }, 60_000)

  test('^C while it counts shows all that was timed, and leaves nothing', async () => {
    const { ended, interrupt } = lab.run([...lab.to(), '--calls', '2', '--format', 'json'])
    // Its second shared connection is the one that is counted.
    await expect.poll(() => readdirSync(lab.temporary).some((name) => existsSync(join(lab.temporary, name, 's2'))), { timeout: 50_000 }).toBe(true)
    interrupt()
    const { code, stdout } = await ended
    expect(code).toBe(130)
    const { ending, results, notes } = valueOf(stdout)
    expect([ending, notes]).toEqual(['interrupted', []])
    expect(results.map(({ calls }) => calls)).toEqual(Array.from({ length: 14 }, () => 2))
  }, 60_000)

  test('two signals to all of it at once, which is how a terminal closes, leave no server of its own and no key', async () => {
    const { child, ended, says } = lab.run(['--calls', '500'])
    await says('Nothing is installed there')
    const [server] = childrenOf(child.pid!).filter((line) => line.includes('embedded-server')).map((line) => Number.parseInt(line))
    expect(readdirSync(lab.temporary).some((name) => name.startsWith('ramet-start-'))).toBe(true)
    // Two that are alike may arrive as one.
    process.kill(-child.pid!, 'SIGHUP')
    process.kill(-child.pid!, 'SIGTERM')
    await ended
    await expect.poll(() => alive(server!), { timeout: 10_000 }).toBe(false)
    await expect.poll(() => readdirSync(lab.temporary), { timeout: 10_000 }).toEqual([])
  }, 30_000)

  test('^C while the first login hangs says that nothing was measured, and leaves nothing', async () => {
    await using hanging = await startSshd({ bashrc: 'while :; do sleep 0.1; kill -0 $PPID || exit; done\n' })
    const { child, ended, interrupt } = lab.run([...lab.to(hanging), '--calls', '2'])
    await expect.poll(() => childrenOf(hanging.pid).length, { timeout: 10_000 }).toBeGreaterThan(0)
    const children = childrenOf(child.pid!)
    interrupt()
    const { code, stdout } = await ended
    expect([code, stdout]).toEqual([130, 'Nothing was measured.\n\nInterrupted before a call had its result.\n'])
    await expect.poll(() => children.map((line) => Number.parseInt(line)).filter(alive)).toEqual([])
    await expect.poll(() => childrenOf(hanging.pid), { timeout: 10_000 }).toEqual([])
  }, 30_000)

  test('a target that goes away in the middle: what was measured is shown, failures are named', async () => {
    const mortal = await startSshd()
    try {
      const { ended, says } = lab.run([...lab.to(mortal), '--calls', '300', '--format', 'json'])
      await says('This takes about')
      await mortal.stop()
      const { code, stdout } = await ended
      const { ending, results } = valueOf(stdout)
      expect([ending, results.every(({ calls }) => calls < 300)]).toEqual(['whole', true])
      expect(code).toBe(results.length > 0 ? 0 : 1)
    } finally {
      await mortal.stop()
    }
  }, 60_000)

  test('when it is killed the shared connection ends too, and its files go', async () => {
    const { child, ended, says } = lab.run([...lab.to(), '--calls', '500'])
    await says('This takes about')
    child.kill('SIGKILL')
    await ended
    await expect.poll(() => childrenOf(lab.server.pid), { timeout: 10_000 }).toEqual([])
    await expect.poll(() => readdirSync(lab.temporary), { timeout: 10_000 }).toEqual([])
  }, 60_000)

  test('a host that can not be reached is an error that says so', async () => {
    const port = await freePort()
    const { code, stdout, stderr } = await lab.run(lab.to({ ...lab.server, port })).ended
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/^ramet: connect-refused at stage tcp: .*nothing listens at 127\.0\.0\.1 port \d+$/m)
    expect(stderr).toMatch(/^hint: /m)
  })

  test('a hop that can not be reached is an error that names it, the target and the stage', async () => {
    const hop = `${lab.server.user}@127.0.0.1:${await freePort()}`
    const { code, stdout, stderr } = await lab.run([...lab.to(), '--via', hop]).ended
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(new RegExp(`^ramet: connect-refused at stage tcp: ${lab.server.user}@127\\.0\\.0\\.1:${lab.server.port}: its hop ${hop} failed at stage tcp: nothing listens at `, 'm'))
    expect(stderr).toMatch(/^hint: /m)
  })

  test('a hop that forwards no TCP costs those that need it, by name, and ramet nothing', async () => {
    await using hop = await startSshd({ config: ['AllowTcpForwarding no', `AuthorizedKeysFile ${join(lab.server.dir, 'authorized_keys')}`] })
    const known = join(lab.place, 'known-to-hop')
    writeFileSync(known, [lab.server, hop].map(({ knownHosts }) => readFileSync(knownHosts, 'utf8')).join(''))
    const { code, stdout, stderr } = await lab.run([...lab.to({ ...lab.server, knownHosts: known }), '--via', `${hop.user}@${hop.host}:${hop.port}`, '--calls', '1', '--max-time', '12', '--format', 'json']).ended
    expect(code, stderr).toBe(0)
    const { results, left_out: leftOut } = valueOf(stdout)
    expect([...new Set(results.map(({ contender }) => contender))]).toEqual(['ramet-raw', 'ramet-cold', 'ramet-warm'])
    expect(leftOut.map(({ contender, kinds }) => [contender, kinds])).toEqual(['ssh', 'ssh-pinned', 'ssh-master', 'ssh2'].map((id) => [id, ['command', 'function']]))
    for (const { reason } of leftOut.slice(0, 3)) expect(reason).toMatch(/stdio forwarding failed/)
    expect(leftOut[3]!.reason).toMatch(new RegExp(`^no connection through the hop to 127\\.0\\.0\\.1 port ${lab.server.port}: .*open failed`))
  }, 60_000)

  test('a login that refuses every command: all are named with what it said, and no time is foretold for nothing', async () => {
    await using refusing = await startSshd({ bashrc: 'echo "This account is currently not available."\nexit 1\n' })
    const { code, stdout, stderr } = await lab.run(lab.to(refusing)).ended
    expect(code).toBe(1)
    expect(stdout).toMatch(/^Nothing was measured\.$/m)
    expect(stdout.match(/^Left out: /gm)).toHaveLength(7)
    expect(stderr).not.toContain('This takes about')
  }, 30_000)

  test('a server that allows one session per connection has no ControlMaster for calls, and that is named', async () => {
    await using narrow = await startSshd({ config: ['MaxSessions 1'] })
    const { code, stdout, stderr } = await lab.run([...lab.to(narrow), '--calls', '2', '--format', 'json']).ended
    expect(code, stderr).toBe(0)
    const { results, left_out: leftOut } = valueOf(stdout)
    const master = leftOut.filter(({ contender }) => contender === 'ssh-master')
    expect(master.map(({ kinds }) => kinds)).toEqual([['command', 'function']])
    expect(master[0]!.reason).toMatch(/session/i)
    expect([...new Set(results.map(({ contender }) => contender))]).toEqual(CONTENDERS.filter((id) => id !== 'ssh-master'))
  }, 60_000)

  test('an ssh client that can not share connections, and a folder whose name is too long for a socket, cost the ControlMaster alone', async () => {
    const bin = join(lab.place, 'bin')
    mkdirSync(bin)
    const ssh = (process.env['PATH'] ?? '').split(':').map((dir) => join(dir, 'ssh')).find((file) => existsSync(file))!
    writeFileSync(join(bin, 'ssh'), `#!/bin/sh\ncase "$*" in *ControlMaster=yes*) echo "muxclient: not on this system" >&2; exit 255;; esac\nexec ${ssh} "$@"\n`, { mode: 0o755 })
    const long = join(lab.temporary, 'x'.repeat(90))
    mkdirSync(long)
    for (const [env, reason] of [[{ PATH: `${bin}:${process.env['PATH']}` }, /muxclient: not on this system/], [{ TMPDIR: long }, /the path of its socket would be too long/]] as const) {
      const { code, stdout, stderr } = await lab.run([...lab.to(), '--calls', '1', '--max-time', '15', '--format', 'json'], env).ended
      expect(code, stderr).toBe(0)
      const { results, left_out: leftOut } = valueOf(stdout)
      expect(leftOut.map(({ contender, kinds }) => [contender, kinds])).toEqual([['ssh-master', ['command', 'function']]])
      expect(leftOut[0]!.reason).toMatch(reason)
      expect(results.length).toBeGreaterThan(0)
    }
    expect(readdirSync(long)).toEqual([])
    rmSync(long, { recursive: true })
  }, 60_000)

  test('a folder with a space and a percent sign in its name costs nobody anything', async () => {
    const spaced = join(lab.temporary, '100% of it')
    mkdirSync(spaced)
    const { code, stdout, stderr } = await lab.run([...lab.to(), '--calls', '1', '--max-time', '30', '--format', 'json'], { TMPDIR: spaced }).ended
    expect(code, stderr).toBe(0)
    expect(valueOf(stdout).left_out).toEqual([])
    expect(readdirSync(spaced)).toEqual([])
    rmSync(spaced, { recursive: true })
  }, 60_000)

  test('where no file can be written, ssh alone is left out, and a server of its own says what it lacks', async () => {
    const env = { TMPDIR: join(lab.place, 'nowhere') }
    const { code, stdout, stderr } = await lab.run([...lab.to(), '--calls', '1', '--max-time', '15', '--format', 'json'], env).ended
    expect(code, stderr).toBe(0)
    const { results, left_out: leftOut } = valueOf(stdout)
    expect(leftOut.map(({ contender, reason }) => [contender, reason])).toEqual(['ssh', 'ssh-pinned', 'ssh-master'].map((id) => [id, `no folder can be made in ${env.TMPDIR} (ENOENT: no such file or directory)`]))
    expect(results).toHaveLength(8)
    const own = await lab.run(['--calls', '1'], env).ended
    expect([own.code, own.stdout]).toEqual([1, ''])
    expect(own.stderr).toMatch(/^ramet: .*a server of its own needs a folder for its keys, and no folder can be made in \S+\/nowhere \(ENOENT: no such file or directory\); set TMPDIR to one that can be written to$/m)
  }, 60_000)

  test('a target without Node: commands are measured, and every function is named as left out', async () => {
    const bin = join(lab.server.dir, 'bin')
    mkdirSync(bin)
    for (const name of ['sh', 'bash', 'cat', 'sleep', 'ps']) {
      const file = (process.env['PATH'] ?? '').split(':').map((dir) => join(dir, name)).find((path) => existsSync(path))
      if (file !== undefined) symlinkSync(file, join(bin, name))
    }
    await using bare = await startSshd({ bashrc: `PATH=${bin}\n` })
    const { code, stdout, stderr } = await lab.run([...lab.to(bare), '--calls', '1', '--node', '/nowhere/node', '--max-time', '30', '--format', 'json']).ended
    expect(code, stderr).toBe(0)
    const { results, left_out: leftOut } = valueOf(stdout)
    expect(results.map(({ contender, kind }) => `${contender} ${kind}`)).toEqual(['ssh', 'ssh-pinned', 'ssh-master', 'ssh2', 'ramet-raw'].map((id) => `${id} command`))
    expect(leftOut.map(({ contender, kinds, reason }) => [contender, kinds.join(), reason])).toEqual([
      ...['ssh', 'ssh-pinned', 'ssh-master', 'ssh2', 'ramet-raw'].map((id) => [id, 'function', 'there is no node on the PATH of a login']),
      ...['ramet-cold', 'ramet-warm'].map((id) => [id, 'command,function', expect.stringMatching(/has no \/nowhere\/node \(no-interpreter\)$/)]),
    ])
  }, 60_000)

  test('a key with a passphrase, and nobody who could be asked', async () => {
    const secret = makeKey(lab.place, 'secret', 'ed25519', 'open sesame')
    appendFileSync(join(lab.server.dir, 'authorized_keys'), readFileSync(`${secret}.pub`))
    const { code, stdout, stderr } = await lab.run(lab.to({ ...lab.server, keyFile: secret })).ended
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/^ramet: prompt-needed at stage auth: .*the key \S+\/secret needs a passphrase, and nobody can be asked$/m)
  })

  test.each([
    [['-t', 'a,b'], /measures one target, and here are 2/],
    [['uptime'], /takes no word: uptime; name the target with -t/],
    [['--format', 'jsonl'], /has no --format jsonl; take json/],
    [['--svg', '/nowhere/x.svg'], /can't write \/nowhere\/x\.svg/],
    [['--svg', '/'], /can't write \/: it is a directory/],
    [['--svg', '/dev/null/x.svg'], /can't write \/dev\/null\/x\.svg: \/dev\/null is no directory/],
    [['--payload', '1G'], /--payload is a whole number from 0 to 1048576/],
    [['-c', '0'], /--concurrency is a whole number from 1/],
    [['--calls', '0'], /--calls is a whole number from 1/],
  ])('%j is wrong usage, and nothing is contacted', async (argv, said) => {
    const { code, stderr } = await lab.run(argv).ended
    expect(code).toBe(1)
    expect(stderr).toMatch(said)
  })
})
