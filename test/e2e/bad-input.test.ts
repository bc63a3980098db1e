import { randomFillSync } from 'node:crypto'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { ConnectOptions, Context, Controller, ExecResult } from '../../src/controller/index.ts'
import { encode } from '../../src/router/codec.ts'
import { HEADER_SIZE, TYPE } from '../../src/router/protocol.ts'
import { fakeStub, HELLO, neighbourFrame } from '../helpers/e2e-fake-stub.ts'
import { childrenOf, expectHelpful, failure, leakCheck, loginTo, quietController, records, targetOf } from '../helpers/e2e-lab.ts'
import { freePort, haveDropbear, haveSshd, makeKey, type SshdOptions, startSshd, type TestServer } from '../helpers/sshd.ts'
import { startTcp } from '../helpers/tcp.ts'

const KIB = 1024

/** A server whose commands run in a place of their own making: the script sees what was asked for in SSH_ORIGINAL_COMMAND. */
async function startWrapped(script: string, more: SshdOptions = {}): Promise<TestServer> {
  const dir = mkdtempSync(join(tmpdir(), 'ramet-wrap-'))
  const file = join(dir, 'wrapper')
  writeFileSync(file, `#!/bin/bash\n${script}\n`, { mode: 0o755 })
  chmodSync(dir, 0o755)
  const server = await startSshd({ ...more, config: [...(more.config ?? []), `ForceCommand ${file}`] })
  const stop = (): Promise<void> => server.stop().then(() => rmSync(dir, { recursive: true, force: true }))
  return { ...server, stop, [Symbol.asyncDispose]: stop }
}

describe.skipIf(!haveSshd)('bad input, while another target of the same controller goes on', () => {
  const log = records()
  let home: TestServer
  let ramet: Controller
  let good: Context
  let leaks: ReturnType<typeof leakCheck>
  let running: Promise<ExecResult>
  const servers: TestServer[] = []
  const use = async (server: Promise<TestServer>): Promise<TestServer> => {
    const started = await server
    servers.push(started)
    return started
  }
  /** How connecting fails; the error names the target and says what to do. */
  const refused = async (target: string, options: ConnectOptions): Promise<Awaited<ReturnType<typeof failure>>> => {
    const error = await failure(ramet.connect(target, options))
    expectHelpful(error, target.replace(/^ssh:\/\//, ''))
    return error
  }

  beforeAll(async () => {
    home = await startSshd()
  })
  beforeEach(async () => {
    leaks = leakCheck()
    ramet = quietController({ logger: log.logger })
    good = await ramet.connect(targetOf(home), loginTo(home))
    running = good.exec('sleep 0.3; echo well')
  })
  afterEach(async () => {
    try {
      expect(await running).toMatchObject({ stdout: 'well\n', exitCode: 0 })
      expect(await good.call((a: number) => a + 1, 41)).toBe(42)
      // What failed has left nothing behind, here and at the servers it was tried on, though the controller is still there.
      await expect.poll(() => ramet.stats().links.map(({ to }) => to), { timeout: 8000 }).toEqual(good.path)
      for (const server of servers) await expect.poll(() => childrenOf(server.pid), { timeout: 8000 }).toEqual([])
    } finally {
      await ramet.close()
      for (const server of servers.splice(0)) await server.stop()
    }
    await leaks(home)
  })
  afterAll(() => home.stop())

  describe('the way there', () => {
    test('a port at which nothing listens', async () => {
      const target = `root@127.0.0.1:${await freePort()}`
      expect(await refused(target, { sshConfig: false })).toMatchObject({ code: 'connect-refused', stage: 'tcp', outcome: 'not-sent', path: [target] })
    })

    test.each(['ssh2', 'openssh'] as const)('a port that takes connections and never answers, by %s', async (transport) => {
      await using hole = await startTcp((socket) => void socket.resume())
      const target = `root@127.0.0.1:${hole.port}`
      const error = await refused(target, { sshConfig: false, timeout: 400, transport })
      expect(error).toMatchObject({ code: 'connect-timeout', stage: transport === 'ssh2' ? 'host-key' : 'ssh', outcome: 'not-sent', path: [target] })
      expect(error.message).toContain('400 ms')
      await expect.poll(() => hole.sockets.size).toBe(0)
    })

    test('a port that swallows connections', async () => {
      // A backlog that is full leaves further connections unanswered, as a firewall does that drops packets.
      const hole = spawn('python3', ['-c', `
import socket, sys
server = socket.socket()
server.bind(('127.0.0.1', 0))
server.listen(0)
port = server.getsockname()[1]
fill = []
for _ in range(3):
    one = socket.socket()
    one.setblocking(False)
    one.connect_ex(('127.0.0.1', port))
    fill.append(one)
print(port, flush=True)
sys.stdin.read()`], { stdio: ['pipe', 'pipe', 'inherit'] })
      const port = Number(String((await once(hole.stdout, 'data'))[0]))
      const target = `root@127.0.0.1:${port}`
      const error = await refused(target, { sshConfig: false, timeout: 300 })
      expect(error).toMatchObject({ code: 'connect-timeout', stage: 'tcp', outcome: 'not-sent', path: [target] })
      hole.stdin.end()
      await once(hole, 'exit')
    })

    test.each(['ssh2', 'openssh'] as const)('a name that does not resolve, by %s', async (transport) => {
      const target = 'no-such-host.invalid'
      expect(await refused(target, { sshConfig: false, transport })).toMatchObject({ code: 'resolve-failed', stage: 'resolve', outcome: 'not-sent', path: [target] })
    })

    test('a server that speaks another protocol', async () => {
      await using web = await startTcp((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n\u001b[31mred'))
      const error = await refused(`root@127.0.0.1:${web.port}`, { sshConfig: false })
      expect(error).toMatchObject({ code: 'connect-failed', stage: 'tcp', outcome: 'not-sent' })
      expect(error.message).toContain('HTTP/1.1 400')
    })

    test.each([
      { hostKeys: 'Enforce' }, { hostKeys: 'yes' }, { hostKeys: true }, { transport: 'ssh' }, { runtime: 'python' }, { timeout: NaN }, { timeout: -1 }, { timeout: '5' },
      { keepalive: { interval: NaN } }, { keepalive: { interval: -1 } }, { keepalive: { count: -1 } }, { reconnect: { delay: NaN } }, { reconnect: { delay: -1 } }, { reconnect: { attempts: '3' } }, { keepalive: { count: '4' } }, { signal: {} },
    ])('an option that is none: %o', async (wrong) => {
      const error = await failure(ramet.connect(targetOf(home), { ...loginTo(home), knownHosts: join(home.dir, 'none'), fresh: true, ...(wrong as ConnectOptions) }))
      expect(error).toMatchObject({ code: 'usage', outcome: 'not-sent' })
      expect(error.message).toContain(`127.0.0.1:${home.port}`)
      expect(error.hint).toMatch(/\w+ \w+/)
      expect(existsSync(join(home.dir, 'none'))).toBe(false)
    })

    test.each([5, null, undefined, {}])('a target that is no text: %s', async (target) => {
      expect(await failure(ramet.connect(target as string))).toMatchObject({ code: 'target-invalid', outcome: 'not-sent' })
    })

    test.each([
      '-oProxyCommand=touch /tmp/pwned', 'ssh://-oProxyCommand=x', 'root@-oProxyCommand=x', '-l', 'a b', 'ssh://a b', 'a\nb', 'a\u001b[31mb', 'a\u0000b', 'a\u202eb',
      '-x@host', 'a b@host', '$(id)', '`id`', 'host;id', 'host:0', 'host:65536', 'user:password@host', '', 'ftp://host', 'docker:--privileged',
    ])('a target named %j', async (target) => {
      const error = await failure(async () => ramet.connect(target))
      expect(error).toMatchObject({ code: 'target-invalid', outcome: 'not-sent' })
      expect(error.hint).toMatch(/\w+ \w+/)
      expect(error.message).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]|password@/)
    })
  })

  describe('keys', () => {
    test.each(['ssh2', 'openssh'] as const)('a key that the server does not know, by %s', async (transport) => {
      const dir = mkdtempSync(join(tmpdir(), 'ramet-key-'))
      const target = targetOf(home).slice(6)
      const error = await refused(target, { ...loginTo(home), identityFile: makeKey(dir, 'wrong'), transport })
      expect(error).toMatchObject({ code: 'auth-failed', stage: 'auth', outcome: 'not-sent', path: [target] })
      rmSync(dir, { recursive: true })
    })

    test('a key file that is missing, unreadable, or locked by a passphrase that nobody knows', async () => {
      const dir = mkdtempSync(join(tmpdir(), 'ramet-key-'))
      const locked = makeKey(dir, 'locked', 'ed25519', 'right')
      writeFileSync(join(dir, 'broken'), 'no key at all', { mode: 0o600 })
      const connect = (more: ConnectOptions) => refused(targetOf(home).slice(6), { ...loginTo(home), ...more })
      for (const [file, more, code] of [
        ['missing', {}, /auth-failed|key-unreadable/], ['broken', {}, /auth-failed|key-unreadable/],
        ['locked', { passphrase: 'wrong' }, /auth-failed|key-unreadable/],
      ] as const) {
        const error = await connect({ identityFile: join(dir, file), ...more })
        expect(error.code).toMatch(code)
        expect(error).toMatchObject({ stage: 'auth', outcome: 'not-sent' })
        // The reader has to learn which file is wrong, and why.
        expect(error.message).toContain(join(dir, file))
        expect(error.message).not.toContain('wrong')
      }
      // The server has to want the key before anybody is asked.
      const server = await use(startSshd())
      writeFileSync(join(server.dir, 'authorized_keys'), readFileSync(`${locked}.pub`))
      const error = await refused(targetOf(server).slice(6), { ...loginTo(server), identityFile: locked })
      expect(error).toMatchObject({ code: 'prompt-needed', stage: 'auth', outcome: 'not-sent' })
      rmSync(dir, { recursive: true })
    })

    test.each(['ssh2', 'openssh'] as const)('a host key that nobody knows, by %s', async (transport) => {
      const target = targetOf(home).slice(6)
      const error = await refused(target, { ...loginTo(home), knownHosts: join(home.dir, 'empty'), transport })
      expect(error).toMatchObject({ code: 'host-key-unknown', stage: 'host-key', outcome: 'not-sent', path: [target] })
      if (transport === 'ssh2') expect(error.message).toContain(fingerprintOf(home))
    })

    test.each(['ssh2', 'openssh'] as const)('a host key that has changed: the error names file, line and both fingerprints, by %s', async (transport) => {
      const other = makeKey(mkdtempSync(join(home.dir, 'other-')), 'host')
      const knownHosts = join(home.dir, `changed-${transport}`)
      const line = readFileSync(`${other}.pub`, 'utf8').split(' ').slice(0, 2).join(' ')
      writeFileSync(knownHosts, `# one\n\n[127.0.0.1]:${home.port} ${line}\n`)
      for (const hostKeys of ['enforce', 'accept'] as const) {
        const error = await refused(targetOf(home).slice(6), { ...loginTo(home), knownHosts, hostKeys, transport })
        expect(error).toMatchObject({ code: 'host-key-changed', stage: 'host-key', outcome: 'not-sent' })
        expect(error.message).toContain(`${knownHosts}:3`)
        expect(error.message).toContain(fingerprintOf(home))
        if (transport === 'ssh2') expect(error.message).toContain(keyFingerprint(other))
      }
      expect(readFileSync(knownHosts, 'utf8')).toContain('# one')
    })

    test.each(['ssh2', 'openssh'] as const)('a host key that is revoked, whatever the mode, by %s', async (transport) => {
      const knownHosts = join(home.dir, `revoked-${transport}`)
      writeFileSync(knownHosts, `[127.0.0.1]:${home.port} ${home.hostKeys[0]}\n@revoked * ${home.hostKeys[0]}\n`)
      for (const hostKeys of ['enforce', 'accept', ...(transport === 'ssh2' ? ['ignore' as const] : [])] as const) {
        const error = await refused(targetOf(home).slice(6), { ...loginTo(home), knownHosts, hostKeys, transport })
        expect(error).toMatchObject({ code: 'host-key-revoked', stage: 'host-key', outcome: 'not-sent' })
        if (transport === 'ssh2') expect(error.message).toContain(`${knownHosts}:2`)
      }
    })
  })

  describe('the login shell', () => {
    const noise = (bytes: number): string => `head -c ${bytes} /dev/zero | tr '\\0' 'x'; echo\n`

    test('a login script that prints 1 KiB: it works, and the log has the text', async () => {
      const server = await use(startSshd({ bashrc: `printf 'welcome \\033[31mred\\n'; ${noise(KIB)}` }))
      for (const runtime of ['node', 'raw'] as const) {
        const context = await ramet.connect(targetOf(server), { ...loginTo(server), runtime })
        expect(await context.exec('echo fine')).toMatchObject({ stdout: 'fine\n' })
        await context.close()
      }
      const welcome = log.all.find(({ msg }) => String(msg).startsWith('welcome'))
      expect(welcome?.['msg']).toBe('welcome \\x1b[31mred')
      expect(welcome?.['context']).toBe(targetOf(server).slice(6))
    })

    test('a login script that prints the command it was given', async () => {
      const server = await use(startSshd({ bashrc: 'echo "$BASH_EXECUTION_STRING"; set -v\n' }))
      for (const runtime of ['node', 'raw'] as const) {
        const context = await ramet.connect(targetOf(server), { ...loginTo(server), runtime })
        expect(await context.exec('echo fine')).toMatchObject({ stdout: 'fine\n', stderr: '' })
        if (runtime === 'node') expect(await context.call(() => 7)).toBe(7)
        await context.close()
      }
    })

    const raw = async (connecting: Promise<Context>): Promise<void> => {
      await using context = await connecting
      await context.exec('true')
    }

    test.each(['node', 'raw'] as const)('a login script that prints 64 KiB, runtime %s', async (runtime) => {
      const server = await use(startSshd({ bashrc: noise(64 * KIB) }))
      const connecting = ramet.connect(targetOf(server), { ...loginTo(server), runtime })
      const error = await failure(runtime === 'node' ? connecting : raw(connecting))
      expect(error).toMatchObject({ code: 'boot-noise', stage: 'launch' })
      expectHelpful(error, targetOf(server).slice(6))
      expect(error.hint).toMatch(/login script/)
    })

    test('a login script that exits, and a shell that lets nobody in', async () => {
      const exits = await use(startSshd({ bashrc: 'exit 3\n' }))
      const nologin = await use(startWrapped('exec /usr/sbin/nologin'))
      for (const [server, said] of [[exits, 'exit code 3'], [nologin, 'not available']] as const) {
        const error = await refused(targetOf(server).slice(6), { ...loginTo(server), runtime: 'node' })
        expect(error).toMatchObject({ code: 'boot-eof', stage: 'launch', outcome: 'not-sent' })
        expect(error.message).toContain(said)
        const raw = await ramet.connect(targetOf(server), { ...loginTo(server), runtime: 'raw' })
        const of = await failure(raw.exec('true'))
        expect(of).toMatchObject({ code: 'launch-failed', stage: 'launch' })
        expectHelpful(of, targetOf(server).slice(6))
        await raw.close()
      }
    })

    test('a login script that waits for ever', async () => {
      const server = await use(startSshd({ bashrc: 'sleep 10\n' }))
      const error = await refused(targetOf(server).slice(6), { ...loginTo(server), timeout: 1000 })
      expect(error).toMatchObject({ code: 'connect-timeout', stage: 'launch', outcome: 'not-sent' })
    })
  })

  describe('the interpreter', () => {
    const nodes = ['/usr/bin/node', '/usr/bin/nodejs', '/usr/local/bin/node', '/bin/node', '/snap/bin/node', process.execPath].filter((path) => existsSync(path))
    const hidden = [...new Set(nodes.map((path) => realpathSync(path)))].map((path) => `mount --bind /dev/null ${path}`).join('\n')

    test.skipIf(!haveDropbear)('a target that has none (mount namespaces)', async () => {
      const server = await use(startWrapped(`exec unshare -m bash -c '${hidden}\neval "$SSH_ORIGINAL_COMMAND"'`))
      await withoutNode(server, {})
    })

    test('a target that has not the one which was named', async () => {
      const server = await use(startSshd())
      await withoutNode(server, { node: '/nonexistent/node' })
    })

    async function withoutNode(server: TestServer, options: ConnectOptions): Promise<void> {
      const target = targetOf(server).slice(6)
      const login = { ...loginTo(server), ...options }
      const error = await refused(target, { ...login, runtime: 'node' })
      expect(error).toMatchObject({ code: 'no-interpreter', stage: 'interpreter', outcome: 'not-sent', path: [target] })
      expect(error.hint).toMatch(/Node 12/)

      const connecting = ramet.connect(target, login)
      const early = [connecting.exec('echo early'), failure(connecting.call(() => 1))] as const
      const spawned = connecting.spawn('cat')
      spawned.stdin.end('early')
      let piped = ''
      spawned.stdout.on('data', (bytes: Buffer) => (piped += bytes.toString()))
      const context = await connecting
      expect([context.runtime, context.info, context.state]).toEqual(['raw', undefined, 'connected'])
      expect((await early[0]).stdout).toBe('early\n')
      expect(await spawned.exited).toEqual({ exitCode: 0, signal: null })
      expect(piped).toBe('early')
      expect(await context.exec('echo out; exit 5')).toMatchObject({ stdout: 'out\n', exitCode: 5 })
      for (const needed of [await early[1], await failure(context.call(() => 1))]) {
        expect(needed).toMatchObject({ code: 'interpreter-needed', outcome: 'not-sent', path: [target] })
        expectHelpful(needed, target)
      }
      await context.close()
    }

    test('a Node that is too old', async () => {
      const server = await use(startSshd())
      const preload = join(server.dir, 'old.cjs')
      writeFileSync(preload, "Object.defineProperty(process, 'version', { value: 'v10.24.1' })")
      const options = { ...loginTo(server), node: [process.execPath, '-r', preload] }
      const error = await refused(targetOf(server).slice(6), { ...options, runtime: 'node' })
      expect(error).toMatchObject({ code: 'interpreter-too-old', stage: 'interpreter', outcome: 'not-sent' })
      expect(error.message).toContain('v10.24.1')
      const context = await ramet.connect(targetOf(server), options)
      expect(context.runtime).toBe('raw')
      await context.close()
    })

    test('a Node that is none', async () => {
      const server = await use(startSshd())
      const error = await refused(targetOf(server).slice(6), { ...loginTo(server), node: '/bin/false' })
      expect(error).toMatchObject({ code: 'boot-eof', stage: 'launch', outcome: 'not-sent' })
      const odd = await refused(targetOf(server).slice(6), { ...loginTo(server), node: "it's" })
      expect(odd).toMatchObject({ code: 'config-invalid', outcome: 'not-sent' })
    })
  })

  describe.skipIf(!haveDropbear)('the disk of the target (mount namespaces)', () => {
    const inside = (script: string): string => `exec unshare -m bash -c '${script}\neval "$SSH_ORIGINAL_COMMAND"'`
    const full = [
      'mount -t tmpfs -o size=64k none /tmp', 'mount -t tmpfs -o size=64k none /var/tmp', 'mkdir -p "$HOME"', 'mount -t tmpfs -o size=64k none "$HOME"', 'cd',
      'for d in "$HOME" /tmp /var/tmp; do dd if=/dev/zero of=$d/fill bs=1k >/dev/null 2>&1; done', 'export TMPDIR=/tmp',
    ].join('\n')
    const readOnly = ['mount -o remount,ro,bind / 2>/dev/null || mount --bind / / && mount -o remount,ro,bind /', 'mount -o remount,ro,bind /tmp 2>/dev/null', 'cd'].join('\n')

    test.each([['full', full, 'No space left'], ['read-only', readOnly, 'Read-only']])('a %s disk does not matter', async (_name, script, complaint) => {
      const server = await use(startWrapped(inside(script)))
      for (const runtime of ['node', 'raw'] as const) {
        const context = await ramet.connect(targetOf(server), { ...loginTo(server), runtime })
        // It really is so.
        expect((await context.exec('LC_ALL=C dd if=/dev/zero of="$HOME/more" bs=64k count=4')).stderr).toContain(complaint)
        const bytes = randomFillSync(Buffer.alloc(3 * 1024 * KIB))
        expect((await context.exec('cat', { stdin: bytes, encoding: 'buffer' })).stdout.equals(bytes)).toBe(true)
        if (runtime === 'node') {
          const machine = context.use<typeof import('../../examples/machine.ts')>(new URL('../../examples/machine.ts', import.meta.url))
          expect((await machine.load()).cores).toBeGreaterThan(0)
          expect(await context.call((sent: Uint8Array) => sent.length, bytes)).toBe(bytes.length)
        }
        await context.close()
      }
    })
  })

  describe('what comes over the link', () => {
    const header = (length: number): Uint8Array => {
      const bytes = neighbourFrame(TYPE.HELLO, new Uint8Array(0))
      new DataView(bytes.buffer).setUint32(4, length)
      return bytes
    }
    const bombs: Record<string, Uint8Array> = {
      'an array of 4 G items': Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff),
      'a map of 4 G entries': Uint8Array.of(0xdf, 0xff, 0xff, 0xff, 0xff),
      'text of 4 GiB': Uint8Array.of(0xdb, 0xff, 0xff, 0xff, 0xff, 0x41),
      'arrays 40,000 deep': new Uint8Array(40_000).fill(0x91),
      '40,000 empty maps': Uint8Array.of(0xdc, 0x9c, 0x40, ...new Uint8Array(40_000).fill(0x80)),
      'what is no msgpack': Uint8Array.of(0xc1),
      'another HELLO': encode({ pid: 1 }),
      'a HELLO with a name of 30,000 characters': encode([1, 'v20', 'linux', 'x64', 'h'.repeat(30_000)]),
    }
    const cases: [string, Parameters<typeof fakeStub>[2], string, ('hello' | undefined)?][] = [
      ['a frame of 4 GiB in place of HELLO', { once: [header(0xffff_ffff)] }, 'frame-too-large', 'hello'],
      ['junk in place of HELLO', { once: [Buffer.from('Segmentation fault \u001b[31m\n'.repeat(3))] }, 'protocol-error', 'hello'],
      ['half a frame, then nothing', { once: [header(1000).subarray(0, HEADER_SIZE - 4)] }, 'connect-timeout', 'hello'],
      ['no word at all', {}, 'connect-timeout', 'hello'],
      ...Object.entries(bombs).map(([name, payload]): (typeof cases)[number] => [name, { once: [neighbourFrame(TYPE.HELLO, payload)] }, 'protocol-error', 'hello']),
    ]

    test.each(cases)('%s', async (name, misbehaviour, code, stage) => {
      const server = await use(startSshd())
      const node = fakeStub(server.dir, 'stub', misbehaviour)
      const connecting = ramet.connect(targetOf(server), { ...loginTo(server), node, ...(code === 'connect-timeout' ? { timeout: 1500 } : {}) })
      const call = failure(connecting.with({}).call(() => 1))
      const error = await failure(connecting)
      expect(error).toMatchObject({ code, stage, path: [targetOf(server).slice(6)] })
      expectHelpful(error, targetOf(server).slice(6))
      expect((await call).code).toBe(code)
      expect(name).not.toBe('')
    })

    const floods: [string, Uint8Array, RegExp][] = [
      ['junk', Buffer.from('x'.repeat(1000)), /^protocol-error$/],
      ['a frame of 4 GiB', header(0xffff_ffff), /^frame-too-large$/],
      ['PINGs whose answers it does not read', Buffer.concat(Array<Uint8Array>(2000).fill(neighbourFrame(TYPE.PING, new Uint8Array(8)))), /^(overflow|protocol-error|link-lost)$/],
      ['requests for code that nobody offered it', neighbourFrame(TYPE.NEED, encode(['a'.repeat(64)])), /^(not-allowed|protocol-error)$/],
      ['HELLOs', HELLO, /^protocol-error$/],
    ]
    test.each(floods)('a stub that says HELLO and then floods: %s', async (_name, forever, code) => {
      const server = await use(startSshd())
      const before = process.memoryUsage().rss
      const context = await ramet.connect(targetOf(server), { ...loginTo(server), node: fakeStub(server.dir, 'stub', { once: [HELLO], forever }) })
        .catch(() => undefined)
      if (context !== undefined) {
        const error = await failure(context.call(() => 1))
        expect(error.code).toMatch(code)
        expectHelpful(error, targetOf(server).slice(6))
        expect(context.state).toBe('lost')
        expect(await failure(context.exec('true'))).toMatchObject({ path: context.path })
      }
      expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * KIB)
    }, 30_000)

    test('a grandchild that prints without end', async () => {
      const server = await use(startSshd())
      const context = await ramet.connect(targetOf(server), { ...loginTo(server), runtime: 'node' })
      const child = context.spawn('yes >&2')
      await child.pid
      expect(await context.call((a: number) => a * 2, 21)).toBe(42)
      child.kill('SIGKILL')
      child.stderr.resume()
      expect(await child.exited).toEqual({ exitCode: null, signal: 'SIGKILL' })
      await context.close()
    })
  })

  describe('what the caller gives', () => {
    test('a function that uses a variable of its surroundings', async () => {
      const outside = 7
      const error = await failure(good.call(() => outside))
      expect(error).toMatchObject({ code: 'captured-variables', outcome: 'not-sent' })
      expect(error.message).toContain('outside')
      expectHelpful(error, good.path[0] as string)
    })

    test('a function that is none to send', async () => {
      for (const fn of [Math.max, (function one() { return 1 }).bind({}), class { static x = 1 } as unknown as () => number]) {
        const error = await failure(good.call(fn))
        expect(error).toMatchObject({ code: 'function-unsupported', outcome: 'not-sent' })
        expectHelpful(error, good.path[0] as string)
      }
    })

    test('a module that does not compile, is not there, or lacks the function', async () => {
      const dir = mkdtempSync(join(tmpdir(), 'ramet-module-'))
      writeFileSync(join(dir, 'broken.ts'), 'export const one = 1\nexport function two() { return 1 + }\n')
      writeFileSync(join(dir, 'throws.ts'), 'export const one = () => 1\nthrow new Error("on loading")\n')
      writeFileSync(join(dir, 'fine.ts'), 'export const one = () => 1\n')
      type Any = { one(): number; two(): number }
      const at = (file: string) => good.use<Any>(join(dir, file))
      const broken = await failure(at('broken.ts').two())
      expect(broken).toMatchObject({ code: 'module-failed', outcome: 'not-sent' })
      expect(broken.message).toMatch(/broken\.ts:2/)
      expectHelpful(broken, good.path[0] as string)
      const nowhere = await failure(at('none.ts').one())
      expect(nowhere).toMatchObject({ code: 'module-not-found', outcome: 'not-sent' })
      expectHelpful(nowhere, good.path[0] as string)
      const missing = await failure(at('fine.ts').two())
      expect(missing).toMatchObject({ code: 'export-missing' })
      expectHelpful(missing, good.path[0] as string)
      const throws = await failure(at('throws.ts').one())
      expect(throws).toMatchObject({ path: good.path })
      expect(`${throws.message} ${String(throws.cause)}`).toContain('on loading')
      rmSync(dir, { recursive: true })
    })

    test('an argument of 200 MiB', async () => {
      const error = await failure(good.call((bytes: Uint8Array) => bytes.length, new Uint8Array(200 * 1024 * KIB)))
      expect(error).toMatchObject({ code: 'message-too-large', outcome: 'not-sent', path: good.path })
      expectHelpful(error, good.path[0] as string)
    })

    test('a result of 200 MiB', async () => {
      const error = await failure(good.call(() => new Uint8Array(200 * 1024 * 1024)))
      expect(error).toMatchObject({ code: 'message-too-large', path: good.path })
      expectHelpful(error, good.path[0] as string)
    }, 30_000)

    test('an argument that cannot travel', async () => {
      const error = await failure(good.call((value: unknown) => value, { a: [1, { b: () => 1 }] }))
      expect(error).toMatchObject({ code: 'argument-unsupported', outcome: 'not-sent' })
      expect(error.message).toMatch(/a\[1\]\.b|a\.1\.b/)
      expect(error.hint).toMatch(/\w+ \w+/)
    })
  })
})

function keyFingerprint(file: string): string {
  return execFileSync('ssh-keygen', ['-lf', `${file}.pub`], { encoding: 'utf8' }).split(' ')[1] as string
}

function fingerprintOf(server: TestServer): string {
  return keyFingerprint(join(server.dir, 'host_ed25519'))
}
