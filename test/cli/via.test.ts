import { describe, expect, it } from 'vitest'
import { deferred } from '../../src/base/deferred.ts'
import type { ExecOptions, ExecResult } from '../../src/controller/api.ts'
import { RametError } from '../../src/router/errors.ts'
import { FakeDesk, settle } from './fake-desk.ts'
import { ended } from './fake-tree.ts'
import type { FakeTarget } from './fake-tree.ts'

const refused = new RametError('auth-failed', 'gw: no key was accepted', { stage: 'auth', path: ['gw'], hint: 'Offer another key.' })

/** Paths of what was connected, in order. */
function paths(desk: FakeDesk): string[] {
  return desk.tree.connects.map(({ target, options }) => [...desk.tree.pathOf(options.via), target].join(' > '))
}

describe('targets behind a hop', () => {
  it('share one connection to it, which ends with the last of them', async () => {
    const gate = deferred<ExecResult<Buffer>>()
    const desk = new FakeDesk({ c: { exec: () => gate.promise } })
    const done = desk.run('run', 'x', '-t', 'a,b,c', '--via', 'gw')
    await settle()
    expect(paths(desk)).toEqual(['gw', 'gw > a', 'gw > b', 'gw > c'])
    expect(desk.tree.closedPaths).toEqual(['gw > a', 'gw > b'])
    gate.resolve(ended({}))
    expect(await done).toBe(0)
    expect(desk.tree.closedPaths).toEqual(['gw > a', 'gw > b', 'gw > c', 'gw'])
    expect(desk.tree.open).toBe(0)
  })

  it('are opened from a Node on the hop, and need none themselves for a command', async () => {
    const desk = new FakeDesk()
    await desk.run('run', 'x', '-t', 'web1 via:gw, db1, gw')
    expect(desk.tree.connects.map(({ target, options }) => [target, options.runtime])).toEqual([['gw', 'node'], ['web1', 'raw'], ['db1', 'raw'], ['gw', 'node']])
    const raw = new FakeDesk()
    await raw.run('run', 'x', '-t', 'web1 via:gw', '--runtime', 'node')
    expect(raw.tree.connects.map(({ options }) => options.runtime)).toEqual(['node', 'node'])
  })

  it('are connected with what the flags say of targets, and the hop with what they say of connections', async () => {
    const desk = new FakeDesk()
    desk.askHidden = async () => 'hunter2'
    await desk.run('run', 'x', '-t', 'sudo:root via:gw via:web1', '--user', 'ann', '--node', '/n', '--ask-password', '--private-key', 'k', '--known-hosts', 'kh', '--jump', 'no', '--connect-timeout', '2')
    const every = { runtime: 'node', identityFile: ['k'], knownHosts: ['kh'], timeout: 2000, signal: expect.any(AbortSignal) }
    const own = { ...every, node: '/n', password: 'hunter2', via: expect.anything() }
    expect(desk.tree.connects).toEqual([
      { target: 'gw', options: every },
      { target: 'ann@web1', options: own },
      { target: 'sudo:root', options: { ...own, runtime: 'raw' } },
    ])
  })

  it('have an agent socket for the keys of this machine where --agent asks for it', async () => {
    const desk = new FakeDesk()
    expect(await desk.run('run', 'x', '-t', 'web1', '--via', 'gw', '--transport', 'openssh', '--agent', '--private-key', 'k')).toBe(0)
    expect(desk.tree.connects.map(({ target, options }) => [target, options.transport, options.agent])).toEqual([['gw', 'openssh', undefined], ['web1', 'openssh', true]])
    expect(await desk.run('run', 'x', '-t', 'web1', '--via', 'gw', '--agent')).toBe(1)
    expect(desk.stderr.text).toContain('ramet: --agent is for --transport openssh; ')
  })

  it('jump over the machines that --jump names', async () => {
    const desk = new FakeDesk()
    expect(await desk.run('run', 'x', '-t', 'web1, db1 via:inner, x jump:g', '--jump', 'gate,g2', '-c', '1')).toBe(0)
    expect(desk.tree.connects.map(({ target, options }) => [target, options.jump, desk.tree.pathOf(options.via), options.runtime])).toEqual([
      ['web1', 'gate,g2', [], 'raw'], ['inner', undefined, [], 'node'], ['db1', undefined, ['inner'], 'raw'], ['x', 'g', [], 'raw'],
    ])
  })

  it('fail each with the hop and its stage when it does not come up, after one attempt, and others go on', async () => {
    const desk = new FakeDesk({ gw: { connect: () => Promise.reject(refused) } })
    expect(await desk.run('run', 'x', '-t', 'a via:gw, b via:gw via:inner, c', '-c', '1')).toBe(1)
    // The first one was under way with it.
    expect(paths(desk)).toEqual(['gw', 'gw > a', 'c'])
    expect(desk.stdout.text).toBe([
      'a via:gw: unreachable (0.00 s)',
      '  auth-failed at stage auth: a: its hop gw failed at stage auth: no key was accepted',
      '  path: gw', '  outcome: not-sent', '  hint: Offer another key.',
      'b via:gw via:inner: unreachable (0.00 s)',
      '  auth-failed at stage auth: b: its hop gw failed at stage auth: no key was accepted',
      '  path: gw', '  outcome: not-sent', '  hint: Offer another key.',
      'c: ok (0.00 s)', '',
    ].join('\n'))
    expect(desk.tree.open).toBe(0)
  })

  it('are unknown where their own work may have run before the hop was lost', async () => {
    const late = new RametError('link-lost', 'gw: was lost', { stage: 'hello', path: ['gw'], outcome: 'unknown' })
    const desk = new FakeDesk({
      gw: { connect: () => Promise.reject(late) },
      a: { exec: () => Promise.reject(new RametError('link-lost', 'gw > a was lost with its hop', { path: ['gw', 'a'], outcome: 'unknown' })) },
    })
    // Without waiting for the connection, as the engine does it.
    const { connect } = desk.tree
    desk.tree.connect = (target, options) => {
      const { via, ...rest } = options
      return target === 'a' ? connect.call(desk.tree, target, rest) : connect.call(desk.tree, target, { ...rest, ...(via === undefined ? {} : { via }) })
    }
    expect(await desk.run('run', 'x', '-t', 'a,b', '--via', 'gw', '-c', '1')).toBe(1)
    expect(desk.stdout.text).toContain('a: outcome unknown (0.00 s)\n  link-lost at stage hello: a: its hop gw failed at stage hello: was lost\n  path: gw\n  outcome: unknown\n')
    expect(desk.stdout.text).toContain('b: unreachable (0.00 s)\n  link-lost at stage hello: b: its hop gw failed at stage hello: was lost\n  path: gw\n  outcome: not-sent\n')
  })

  it('name the hop that failed and not those before it', async () => {
    const lost = new RametError('connect-refused', 'gw > inner: nothing listens on port 22', { stage: 'tcp', path: ['gw', 'inner'], outcome: 'not-sent' })
    const desk = new FakeDesk({ inner: { connect: () => Promise.reject(lost) } })
    expect(await desk.run('run', 'x', '-t', 'a via:gw via:inner, b via:gw', '--format', 'json')).toBe(1)
    const { items } = JSON.parse(desk.stdout.text) as { items: { target: string; status: string; value: { _error?: unknown } }[] }
    expect(items.find(({ target }) => target === 'b via:gw')?.status).toBe('success')
    expect(items.find(({ target }) => target === 'a via:gw via:inner')?.value._error).toEqual({
      kind: 'puppetlabs.tasks/connect-error', issue_code: 'CONNECT_ERROR', code: 'connect-refused', msg: 'a: its hop inner failed at stage tcp: nothing listens on port 22',
      details: { stage: 'tcp', path: ['gw', 'inner'], outcome: 'not-sent' },
    })
    expect(desk.tree.closedPaths.at(-1)).toBe('gw')
  })

  it('are not begun behind a hop that was lost meanwhile', async () => {
    const gw: FakeTarget = {}
    const desk = new FakeDesk({ gw, a: { exec: async () => (gw.state = 'lost', ended({})) } })
    expect(await desk.run('run', 'x', '-t', 'a,b', '--via', 'gw', '-c', '1', '--format', 'json')).toBe(1)
    expect(paths(desk)).toEqual(['gw', 'gw > a'])
    expect(JSON.parse(desk.stdout.text)).toMatchObject({
      items: [{ target: 'a', status: 'success' }, { target: 'b', value: { _error: { code: 'link-lost', msg: 'b: its hop gw failed: its connection was lost', details: { path: ['gw'], outcome: 'not-sent' } } } }],
    })
  })

  it('count for -c, and hops do not', async () => {
    const gates = [deferred<ExecResult<Buffer>>(), deferred<ExecResult<Buffer>>()]
    let next = 0
    const desk = new FakeDesk({ 'sudo:root': { exec: () => gates[next++]!.promise } })
    const done = desk.run('run', 'x', '-t', 'sudo:root via:web[1-2]', '-c', '1')
    await settle()
    expect(paths(desk)).toEqual(['web1', 'web1 > sudo:root'])
    gates[0]!.resolve(ended({}))
    await settle()
    // A hop that nobody needs any more does not wait for the end.
    expect(desk.tree.closedPaths).toEqual(['web1 > sudo:root', 'web1'])
    expect(paths(desk).slice(2)).toEqual(['web2', 'web2 > sudo:root'])
    gates[1]!.resolve(ended({}))
    expect(await done).toBe(0)
    expect(desk.stdout.text).toContain('sudo:root via:web1: ok')
  })

  it('are refused before anything is contacted when their way is a cycle, which is named', async () => {
    const desk = new FakeDesk()
    expect(await desk.run('run', 'x', '-t', 'a via:b, b via:a, c')).toBe(1)
    expect(desk.stderr.text).toBe("ramet: the way to a is a cycle: a via b via a; take one of these via: away\n'ramet run --help' tells more\n")
    expect(desk.opened).toEqual([])
  })

  it('have a result of their own when the name of their hop is none', async () => {
    const desk = new FakeDesk()
    expect(await desk.run('run', 'x', '-t', 'a via:-oProxyCommand=x, b')).toBe(1)
    expect(desk.stdout.text).toContain('  target-invalid: a: its hop -oProxyCommand=x failed: target "-oProxyCommand=x" has a host name that begins with "-"')
    expect(desk.stdout.text).toContain('b: ok')
  })
})

describe('^C', () => {
  it('gives up a hop that is still connecting, and says that nothing was sent to the targets behind it', async () => {
    const desk = new FakeDesk({
      gw: {
        connect: ({ signal }) => new Promise((_resolve, reject) => {
          signal?.addEventListener('abort', () => reject(new RametError('cancelled', 'gw: connecting was aborted', { path: ['gw'], outcome: 'not-sent' })))
        }),
      },
    })
    const done = desk.run('run', 'x', '-t', 'a,b,c', '--via', 'gw', '-c', '2')
    await settle()
    desk.raise('SIGINT')
    expect(await done).toBe(130)
    expect(desk.stderr.text).toBe('cancelling on 2 targets; once more leaves at once\n3 targets: 0 ok, 3 cancelled in 0.00 s\nnot started: a, b, c\n')
    expect(paths(desk)).toEqual(['gw', 'gw > a', 'gw > b'])
    expect(desk.tree.open).toBe(0)
  })

  it('reaches the targets over hops that stay until they have answered', async () => {
    const desk = new FakeDesk({
      a: {
        exec: (_, { signal }: ExecOptions) => new Promise((_resolve, reject) => {
          signal?.addEventListener('abort', () => reject(new RametError('cancelled', 'the command was cancelled', { outcome: 'failed' })))
        }),
      },
    })
    const done = desk.run('run', 'x', '-t', 'a', '--via', 'gw')
    await settle()
    desk.raise('SIGINT')
    expect(desk.tree.closedPaths).toEqual([])
    expect(await done).toBe(130)
    expect(desk.tree.closedPaths).toEqual(['gw > a', 'gw'])
  })
})
