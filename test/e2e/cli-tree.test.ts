import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { buildCli } from '../helpers/built-cli.ts'
import { childrenOf } from '../helpers/e2e-lab.ts'
import { freePort, haveSshd, startSshd, type TestServer } from '../helpers/sshd.ts'

interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

interface Node {
  name: string
  path: string[]
  target: boolean
  state: string
  hostname?: string
  rtt_ms?: number
  link?: { transport: string; bytes_out: number; frames_out: number; modules_sent: number }
  _error?: { code: string }
}

describe.skipIf(!haveSshd)('the command on a tree: a real sshd as bastion, shells of its account behind it', () => {
  let place: string
  let cli: string
  let server: TestServer
  let hop: string
  let login: string[]

  beforeAll(async () => {
    place = mkdtempSync(join(tmpdir(), 'ramet-tree-'))
    cli = await buildCli(place)
    server = await startSshd()
    hop = `${server.user}@127.0.0.1:${server.port}`
    const known = join(place, 'known_hosts')
    writeFileSync(known, `[127.0.0.1]:${server.port} ${server.hostKeys[0]}\n`)
    login = ['--ssh-config', 'none', '--known-hosts', known, '--private-key', server.keyFile]
    writeFileSync(join(place, 'tasks.ts'), 'export function parent(): number { return process.ppid }\n')
  }, 60_000)
  afterAll(async () => {
    await server?.stop()
    rmSync(place, { recursive: true, force: true })
  })
  afterEach(async () => {
    await expect.poll(() => childrenOf(server.pid), { timeout: 10_000 }).toEqual([])
  })

  const start = (...argv: string[]) => {
    const child = spawn(process.execPath, [cli, ...argv, ...login], { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env['PATH'], HOME: place } })
    const texts = { stdout: '', stderr: '' }
    child.stdout.setEncoding('utf8').on('data', (text: string) => (texts.stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (texts.stderr += text))
    const ended = new Promise<Ended>((resolve) => child.on('close', (code) => resolve({ code, ...texts })))
    return { child, ended }
  }
  const run = (...argv: string[]): Promise<Ended> => start(...argv).ended
  const logins = (): number => server.log().split('Accepted publickey').length - 1

  test('run: a command behind a hop, in its shell', async () => {
    const { code, stdout, stderr } = await run('run', 'echo "$PPID behind"; exit 3', '-t', 'local:', '--via', hop)
    expect(stdout, stderr).toMatch(/^local:: failed: exit code 3 \(.*\)\n\d+ behind\n$/)
    expect(code).toBe(1)
  })

  test('call: several contexts behind one hop are one login', async () => {
    const before = logins()
    const ways = [`local: via:${hop}`, `local: via:${hop} via:local:`, `local: via:${hop} via:local: via:local:`]
    const { code, stdout, stderr } = await run('call', join(place, 'tasks.ts'), 'parent', '-t', ways.join(','), '--format', 'json')
    expect(code, stderr).toBe(0)
    const { items } = JSON.parse(stdout) as { items: { target: string; value: { result: number } }[] }
    expect(items.map(({ target }) => target).toSorted()).toEqual(ways.toSorted())
    // Each is another process's child.
    expect(new Set(items.map(({ value }) => value.result)).size).toBe(3)
    expect(logins() - before).toBe(1)
  })

  test('tree: every context with its link, the hop above them', async () => {
    const { code, stdout, stderr } = await run('tree', '-t', `${hop}, local: via:${hop}, local: via:${hop} via:local:`, '--format', 'json')
    expect(code, stderr).toBe(0)
    const { nodes } = JSON.parse(stdout) as { nodes: Node[] }
    expect(nodes.map(({ path, target, state }) => [path, target, state])).toEqual([
      [[], false, 'connected'], [[hop], true, 'connected'], [[hop, 'local'], true, 'connected'], [[hop, 'local', 'local'], true, 'connected'],
    ])
    for (const { link, rtt_ms: rtt } of nodes.slice(1)) {
      expect(rtt).toBeGreaterThan(0)
      expect(link?.bytes_out).toBeGreaterThan(1000)
      expect(link?.frames_out).toBeGreaterThan(0)
    }
    expect(nodes.map(({ link }) => link?.transport)).toEqual([undefined, 'ssh2', 'local', 'local'])
    // The program that opens children went to both that have some.
    expect(nodes[1]?.link?.modules_sent).toBeGreaterThan(0)
    const drawn = await run('tree', '-t', 'local:', '--via', hop)
    expect(drawn.stdout).toMatch(/^NAME .*MODULES\ncontroller .*\n`-- \S+@127\.0\.0\.1:\d+ +connected .*\n {4}`-- local +connected .*\n$/)
  })

  test('a dead hop: every target behind it says which and where, others go on', async () => {
    const dead = `127.0.0.1:${await freePort()}`
    const { code, stdout, stderr } = await run('tree', '-t', `local: via:${dead}, local: via:${dead} via:local:, local: via:${hop}`, '--format', 'json')
    expect(code, stderr).toBe(1)
    const { items, nodes } = JSON.parse(stdout) as { items: { target: string; status: string; value: { _error?: unknown } }[]; nodes: Node[] }
    const failures = items.filter(({ status }) => status === 'failure')
    expect(failures).toHaveLength(2)
    for (const { value } of failures) {
      expect(value._error).toMatchObject({
        code: 'connect-refused', msg: expect.stringContaining(`local: its hop ${dead} failed at stage tcp`) as string, details: { stage: 'tcp', path: [dead], outcome: 'not-sent' },
      })
    }
    expect(nodes.find(({ name }) => name === dead)).toMatchObject({ target: false, state: 'unreachable', _error: { code: 'connect-refused' } })
    expect(items.find(({ target }) => target === `local: via:${hop}`)?.status).toBe('success')
  })

  test('^C: what runs behind hops is ended there', async () => {
    const flag = join(place, 'begun')
    const { child, ended } = start('run', `echo $$ > ${flag}; echo partly; exec sleep 1000`, '-t', `local: via:${hop} via:local:`, '--format', 'json')
    await expect.poll(() => existsSync(flag) && readFileSync(flag, 'utf8').trim() !== '', { timeout: 15_000 }).toBe(true)
    const pid = Number(readFileSync(flag, 'utf8'))
    child.kill('SIGINT')
    const { code, stdout } = await ended
    expect(code).toBe(130)
    expect(JSON.parse(stdout)).toMatchObject({ items: [{ status: 'failure', value: { stdout: 'partly\n', _error: { code: 'cancelled' } } }] })
    expect(() => process.kill(pid, 0)).toThrow('ESRCH')
  }, 30_000)

  test('a hop that dies: what ran behind it is unknown, what had not begun was not sent', async () => {
    const flag = join(place, 'ran')
    const { ended } = start('run', `echo $PPID > ${flag}; exec sleep 1000`, '-t', `local: via:${hop}, local: via:${hop} via:local:`, '-c', '1', '--format', 'json')
    await expect.poll(() => existsSync(flag) && readFileSync(flag, 'utf8').trim() !== '', { timeout: 15_000 }).toBe(true)
    process.kill(parentOf(Number(readFileSync(flag, 'utf8'))), 'SIGKILL')
    const { code, stdout, stderr } = await ended
    expect(code, stderr).toBe(1)
    const { items } = JSON.parse(stdout) as { items: { value: { _error?: unknown } }[] }
    expect(items.map(({ value }) => value._error)).toMatchObject([
      { code: 'link-lost', details: { path: [hop, 'local'], outcome: 'unknown' } },
      { code: 'link-lost', msg: `local: its hop ${hop} failed: its connection was lost`, details: { path: [hop], outcome: 'not-sent' } },
    ])
  }, 30_000)

  test('a cycle is named, and nobody is contacted', async () => {
    const before = logins()
    const { code, stderr } = await run('run', 'x', '-t', `a via:${hop}, ${hop} via:b, b via:${hop}`)
    expect(code).toBe(1)
    expect(stderr).toContain(`is a cycle: ${hop} via b via ${hop};`)
    expect(logins()).toBe(before)
  })
})

function parentOf(pid: number): number {
  return Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}
