import { describe, expect, it } from 'vitest'
import { ASCII, branchesFor, drawTree, LINES } from '../../src/cli/format/draw-tree.ts'
import type { TreeNode } from '../../src/cli/tree-node.ts'
import type { ContextInfo, LinkStats } from '../../src/controller/api.ts'
import { RametError } from '../../src/router/errors.ts'
import { FakeDesk, settle } from './fake-desk.ts'
import type { FakeTarget } from './fake-tree.ts'

function info(hostname: string, nodeVersion = 'v20.1.0'): ContextInfo {
  return { pid: 9, nodeVersion, platform: 'linux', arch: 'x64', hostname }
}

function node(path: string[], fields: Partial<TreeNode> = {}): TreeNode {
  return { path, isTarget: true, state: 'connected', runtime: 'node', info: undefined, ping: undefined, jump: undefined, link: undefined, failure: undefined, ...fields }
}

const carried: LinkStats = {
  path: [], state: 'connected', from: '', to: '', transport: 'ssh2', rtt: 0.412, bytesIn: 2148, bytesOut: 31_200, framesIn: 1, framesOut: 14,
  roundTrips: 2, modulesSent: 3, modulesReused: 0, codeBytes: 900,
}

const some: TreeNode[] = [
  node([], { info: info('laptop', 'v20.20.2') }),
  node(['gw'], { info: info('gw1', 'v12.22.12'), link: carried }),
  node(['gw', 'web1'], { info: info('web1.lan'), ping: 1.2, link: { ...carried, transport: 'via', rtt: 0.8, bytesOut: 999_999, modulesSent: 0, modulesReused: 3 } }),
  node(['gw', 'web1', 'sudo:root'], { info: info('web1.lan'), ping: 12.345, link: { ...carried, transport: 'sudo', rtt: undefined, bytesOut: 5e9, bytesIn: 0, framesIn: 0 } }),
  node(['gw', 'web2'], { state: 'unreachable', failure: { code: 'auth-failed', message: 'no', stage: 'auth', path: [], outcome: 'failed', hint: '', cause: undefined } }),
  node(['x'], { runtime: 'raw', ping: 3, jump: 'gate', state: 'unresponsive' }),
  node(['y'], { state: 'cancelled', runtime: undefined }),
]

describe('drawTree', () => {
  it('draws branches with lines, columns below titles, and errors at the end', () => {
    expect(drawTree(some, LINES)).toEqual([
      'NAME                   STATE         HOST      NODE      PING      LINK  RTT      OUT                   IN                 MODULES',
      'controller             connected     laptop    20.20.2',
      '\u251c\u2500\u2500 gw                 connected     gw1       12.22.12            ssh2  0.41 ms  31.2 kB in 14 frames  2.1 kB in 1 frame  3 sent, 0 reused',
      '\u2502   \u251c\u2500\u2500 web1           connected     web1.lan  20.1.0    1.20 ms   via   0.80 ms  1.0 MB in 14 frames   2.1 kB in 1 frame  0 sent, 3 reused',
      '\u2502   \u2502   \u2514\u2500\u2500 sudo:root  connected     web1.lan  20.1.0    12.35 ms  sudo  -        5.0 GB in 14 frames   0 B in 0 frames    3 sent, 0 reused',
      '\u2502   \u2514\u2500\u2500 web2           unreachable: auth-failed at stage auth',
      '\u251c\u2500\u2500 x (jump gate)      unresponsive            none      3.00 ms',
      '\u2514\u2500\u2500 y                  cancelled',
    ])
  })

  it('draws the same in ASCII', () => {
    const ascii = drawTree(some, LINES).map((line) => line.replaceAll('\u251c\u2500\u2500', '|--').replaceAll('\u2514\u2500\u2500', '`--').replaceAll('\u2502', '|'))
    expect(drawTree(some, ASCII)).toEqual(ascii)
    expect(drawTree(some, ASCII).join('')).toMatch(/^[\x20-\x7e]*$/)
  })

  it('leaves out columns that nobody fills', () => {
    expect(drawTree([node([], { info: info('laptop') }), node(['a'], { state: 'cancelled' })], ASCII)).toEqual([
      'NAME        STATE      HOST    NODE', 'controller  connected  laptop  20.1.0', '`-- a       cancelled',
    ])
  })

  it('lets nothing through to a terminal that a target made up', () => {
    expect(drawTree([node([]), node(['a'], { info: info('h\u001b[2J\n', 'v20\u009b') })], ASCII).join('|')).toContain('h\\x1b[2J\\n  20\\x9b')
  })

  it.each([
    [{ LANG: 'en_US.UTF-8' }, LINES], [{ LC_ALL: 'C', LANG: 'en_US.UTF-8' }, ASCII], [{ LC_ALL: '', LC_CTYPE: 'C.utf8', LANG: 'C' }, LINES], [{ LANG: 'de_DE' }, ASCII], [{}, ASCII],
  ])('takes lines where the locale %j has them', (env, branches) => {
    expect(branchesFor(env)).toBe(branches)
  })
})

const refused = new RametError('auth-failed', 'gw2: no key was accepted', { stage: 'auth', path: ['gw2'], hint: 'Offer another key.' })
const lost = new RametError('launch-failed', 'gw > web2: sh was not found', { stage: 'launch', path: ['gw', 'web2'] })

const targets: Record<string, FakeTarget> = {
  gw: { info: info('gw1'), rtt: 0.7, link: { rtt: 0.5, bytesOut: 100, framesOut: 2, modulesSent: 1 } },
  web1: { info: info('w1'), rtt: 1.5, link: { transport: 'via', bytesIn: 7, framesIn: 1 } },
  gw2: { connect: () => Promise.reject(refused) },
  web2: { connect: () => Promise.reject(lost) },
}

describe('ramet tree', () => {
  it('draws hops and targets, with what failed where it failed, and says in full why', async () => {
    const desk = new FakeDesk(targets)
    desk.env.LANG = 'C'
    expect(await desk.run('tree', '-t', 'web1 via:gw, web2 via:gw, a via:gw2, b via:gw2, local:', '-c', '1')).toBe(1)
    expect(desk.stdout.text.split('\n').filter((line) => !line.startsWith(' '))).toEqual([
      'web2 via:gw: unreachable (0.00 s)',
      'a via:gw2: unreachable (0.00 s)',
      'b via:gw2: unreachable (0.00 s)',
      'NAME          STATE        HOST    NODE     PING     LINK  RTT      OUT                IN               MODULES',
      'controller    connected    laptop  20.20.2',
      '|-- gw        connected    gw1     20.1.0   0.70 ms  ssh2  0.70 ms  100 B in 2 frames  0 B in 0 frames  1 sent, 0 reused',
      '|   |-- web1  connected    w1      20.1.0   1.50 ms  via   0.80 ms  0 B in 0 frames    7 B in 1 frame   0 sent, 0 reused',
      '|   `-- web2  unreachable: launch-failed at stage launch',
      '|-- gw2       unreachable: auth-failed at stage auth',
      '|   |-- a     unreachable',
      '|   `-- b     unreachable',
      '`-- local     connected            none     1.00 ms  ssh2  1.00 ms  0 B in 0 frames    0 B in 0 frames  0 sent, 0 reused',
      '',
    ])
    expect(desk.stdout.text).toContain('  auth-failed at stage auth: b: its hop gw2 failed at stage auth: no key was accepted\n')
    expect(desk.stderr.text).toContain('5 targets: 2 ok, 3 unreachable')
    expect(desk.tree.open).toBe(0)
  })

  it('takes the best of three pings', async () => {
    const rtts = [9, 2.5, 4]
    const desk = new FakeDesk({ a: { info: info('a'), get rtt() { return rtts.shift()! } } })
    expect(await desk.run('tree', '-t', 'a', '--format', 'json')).toBe(0)
    expect(JSON.parse(desk.stdout.text)).toMatchObject({ items: [{ value: { rtt_ms: 2.5 } }] })
    expect(rtts).toEqual([])
  })

  it('takes the best of all pings of a hop that leads to several targets, or a link behind it would take no time', async () => {
    const rtts = [0.7, 0.7, 0.7, 9, 9, 9]
    const desk = new FakeDesk({ ...targets, gw: { info: info('gw1'), get rtt() { return rtts.shift()! } } })
    expect(await desk.run('tree', '-t', 'web1 via:gw, x via:gw', '-c', '1', '--format', 'json')).toBe(0)
    expect(rtts).toEqual([])
    expect((JSON.parse(desk.stdout.text) as { nodes: unknown[] }).nodes).toMatchObject([{ name: 'controller' }, { name: 'gw', rtt_ms: 0.7, link: { rtt_ms: 0.7 } }, { name: 'web1', link: { rtt_ms: 0.8 } }, { name: 'x', link: { rtt_ms: 0.3 } }])
  })

  it('has json with a list of nodes, each behind its parent', async () => {
    const desk = new FakeDesk(targets)
    expect(await desk.run('tree', '-t', 'web1 via:gw, a via:gw2, x jump:gate', '--format', 'json')).toBe(1)
    const text = JSON.parse(desk.stdout.text) as { items: { target: string; value: unknown }[]; nodes: unknown[]; target_count: number }
    expect(text.target_count).toBe(3)
    expect(text.items.find(({ target }) => target === 'web1 via:gw')?.value).toEqual({
      rtt_ms: 1.5, connect_ms: 0, runtime: 'node', node_version: 'v20.1.0', platform: 'linux', arch: 'x64', hostname: 'w1', pid: 9,
    })
    const link = { transport: 'ssh2', bytes_in: 0, bytes_out: 0, frames_in: 0, frames_out: 0, modules_sent: 0, modules_reused: 0, code_bytes: 0 }
    expect(text.nodes).toHaveLength(6)
    expect(text.nodes.find((one) => (one as { name: string }).name === 'x')).toEqual({ name: 'x', path: ['x'], target: true, state: 'connected', runtime: 'raw', rtt_ms: 1, jump: 'gate', link: { ...link, rtt_ms: 1 } })
    expect(text.nodes[0]).toEqual({ name: 'controller', path: [], target: false, state: 'connected', runtime: 'node', node_version: 'v20.20.2', platform: 'linux', arch: 'x64', hostname: 'laptop', pid: 7 })
    expect(text.nodes).toContainEqual({
      name: 'gw', path: ['gw'], target: false, state: 'connected', runtime: 'node', node_version: 'v20.1.0', platform: 'linux', arch: 'x64', hostname: 'gw1', pid: 9, rtt_ms: 0.7,
      link: { ...link, rtt_ms: 0.7, bytes_out: 100, frames_out: 2, modules_sent: 1 },
    })
    expect(text.nodes).toContainEqual({ name: 'gw2', path: ['gw2'], target: false, state: 'unreachable', _error: expect.objectContaining({ code: 'auth-failed' }) })
    expect(text.nodes).toContainEqual({ name: 'a', path: ['gw2', 'a'], target: true, state: 'unreachable' })
  })

  it('has a node event per context in jsonl, before the summary', async () => {
    const desk = new FakeDesk(targets)
    expect(await desk.run('tree', '-t', 'web1', '--via', 'gw', '--format', 'jsonl')).toBe(0)
    const events = desk.stdout.text.trimEnd().split('\n').map((line) => JSON.parse(line) as { type: string; name?: string; v: number })
    expect(events.map(({ type, name }) => name ?? type)).toEqual(['run-start', 'target-start', 'result', 'controller', 'gw', 'web1', 'summary'])
    expect(events[4]).toMatchObject({ v: 1, type: 'node', elapsed: 0, path: ['gw'], target: false, link: { bytes_out: 100 } })
  })

  it('draws what it saw when it is stopped', async () => {
    const desk = new FakeDesk({ ...targets, hangs: { connect: () => new Promise(() => {}) } })
    const done = desk.run('tree', '-t', 'web1,hangs', '--via', 'gw')
    await settle()
    desk.raise('SIGINT')
    desk.raise('SIGINT')
    expect(await done).toBe(130)
    expect(desk.stdout.text).toMatch(/^`-- gw .*connected .*\n {4}\|-- web1 +connected .*\n {4}`-- hangs +unknown: cancelled$/m)
  })

  it('takes no word', async () => {
    const desk = new FakeDesk()
    expect(await desk.run('tree', 'web1')).toBe(1)
    expect(desk.stderr.text).toContain("'ramet tree' takes no word: web1; name the targets with -t")
  })
})
