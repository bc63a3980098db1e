import { describe, expect, it } from 'vitest'
import { RametError } from '../../src/router/errors.ts'
import { FakeDesk } from './fake-desk.ts'
import type { FakeTarget } from './fake-tree.ts'

function desk(targets: Record<string, FakeTarget>): FakeDesk {
  const made = new FakeDesk(targets)
  made.files['/home/ann/tasks.ts'] = 'export const add = (a: number, b: number) => a + b'
  return made
}

describe('ramet call', () => {
  it('hands each word on as one JSON argument, needs a Node, and prints the result', async () => {
    const calls: unknown[] = []
    const made = desk({ a: { call: (name, args, options) => (calls.push([name, args, options.timeout]), { sum: 3, text: '\u001b[31m' }) } })
    expect(await made.run('call', 'tasks.ts', 'add', '-1', '{"b":[2,null]}', '"x"', 'true', '-t', 'a', '--timeout', '2')).toBe(0)
    expect(calls).toEqual([['add', [-1, { b: [2, null] }, 'x', true], 2000]])
    expect(made.tree.connects[0]?.options.runtime).toBe('node')
    expect(made.stdout.text).toBe("a: ok (0.00 s)\n{ sum: 3, text: '\\x1B[31m' }\n")
  })

  it('prints text as it is and nothing for undefined', async () => {
    const made = desk({ a: { call: () => 'two\nlines\u0007' }, b: { call: () => undefined } })
    await made.run('call', 'tasks.ts', 'f', '-t', 'a,b', '-c', '1')
    expect(made.stdout.text).toBe('a: ok (0.00 s)\ntwo\nlines\\x07\nb: ok (0.00 s)\n')
  })

  it.each([
    [['abc'], "argument 1 of the function is no JSON: abc; a text is written '\"abc\"'"],
    [['1', "{'a':1}"], "argument 2 of the function is no JSON: {'a':1}; texts need double quotes"],
    [['1', '2', ''], 'argument 3 of the function is no JSON: ;'],
    [['\u001b]0;x'], 'argument 1 of the function is no JSON: \\x1b]0;x'],
  ])('says which word of %j is no JSON', async (words, message) => {
    const made = desk({})
    expect(await made.run('call', 'tasks.ts', 'add', ...words, '-t', 'a')).toBe(1)
    expect(made.stderr.text).toContain(message)
    expect(made.opened).toEqual([])
  })

  it.each([
    [['call'], 'no file was given'],
    [['call', 'none.ts', 'f', '-t', 'a'], "can't read /home/ann/none.ts: there is no such file"],
    [['call', 'tasks.ts', '-t', 'a'], 'no function of tasks.ts was named'],
    [['call', 'tasks.ts', 'files', '-t', 'a'], "an export named 'files' can't be called"],
  ])('refuses %j', async (argv, message) => {
    const made = desk({})
    expect(await made.run(...argv)).toBe(1)
    expect(made.stderr.text).toContain(message)
    expect(made.opened).toEqual([])
  })

  it('turns what JSON lacks into what it has', async () => {
    const loop: Record<string, unknown> = {}
    loop.self = loop
    const value = { when: new Date(0), big: 2n ** 70n, map: new Map([['a', 1]]), set: new Set([1]), bytes: new Uint8Array([1, 2]), none: undefined, nan: NaN, list: [undefined], loop, ['__proto__']: 1 }
    const made = desk({ a: { call: () => value } })
    await made.run('call', 'tasks.ts', 'f', '-t', 'a', '--format', 'json')
    const { items } = JSON.parse(made.stdout.text) as { items: { value: unknown }[] }
    expect(items[0]?.value).toEqual({
      result: {
        when: '1970-01-01T00:00:00.000Z', big: '1180591620717411303424', map: [['a', 1]], set: [1], bytes: { base64: 'AQI=' }, nan: 'NaN', list: [null],
        loop: { self: '[circular]' }, ['__proto__']: 1,
      },
    })
  })

  it('shows items of a stream as they come, and keeps them only for json', async () => {
    async function* items(): AsyncGenerator<unknown> {
      yield 'first\nline'
      yield { n: 2 }
    }
    const made = desk({ a: { call: () => items() } })
    await made.run('call', 'tasks.ts', 'f', '-t', 'a')
    expect(made.stdout.text).toBe('a | first\n  | line\na | { n: 2 }\na: ok (0.00 s)\n2 items\n')
    const json = desk({ a: { call: () => items() } })
    await json.run('call', 'tasks.ts', 'f', '-t', 'a', '--format', 'json')
    expect(JSON.parse(json.stdout.text)).toMatchObject({ items: [{ value: { result: ['first\nline', { n: 2 }] } }] })
    const lines = desk({ a: { call: () => items() } })
    await lines.run('call', 'tasks.ts', 'f', '-t', 'a', '--format', 'jsonl')
    const events = lines.stdout.text.trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(events.filter(({ type }) => type === 'item').map(({ value }) => value)).toEqual(['first\nline', { n: 2 }])
    expect(events.find(({ type }) => type === 'result')).toMatchObject({ value: { items: 2 } })
  })

  it('shows name, message, code and frames of what remote code threw, and its causes', async () => {
    const cause = { name: 'TypeError', message: 'no', code: 'E_NO', stack: 'TypeError: no\n    at add (tasks.ts:3:9)', cause: { name: 'Error', message: 'deep\u001b[2J' } }
    const made = desk({ a: { call: () => Promise.reject(new RametError('remote-error', 'a: add threw TypeError: no', { path: ['bastion', 'a'], cause })) } })
    expect(await made.run('call', 'tasks.ts', 'add', '-t', 'a')).toBe(1)
    expect(made.stdout.text).toBe([
      'a: failed (0.00 s)', '  remote-error: a: add threw TypeError: no', '  caused by TypeError [E_NO]: no', '    at add (tasks.ts:3:9)', '  caused by Error: deep\\x1b[2J',
      '  path: bastion > a', '  outcome: failed', '',
    ].join('\n'))
  })

  it('shows what remote code prints on stderr, and as events in jsonl', async () => {
    const print = (made: FakeDesk) => (): void => {
      const logger = made.opened[0]!.logger
      logger.debug({ context: 'a' }, 'not of interest')
      logger.info({ context: 'a' }, 'hi\u001b[2J\nyou')
      logger.warn({ dropped: 3, err: new Error('why') }, 'odd')
    }
    const made: FakeDesk = desk({ a: { call: () => print(made)() } })
    await made.run('call', 'tasks.ts', 'f', '-t', 'a')
    expect(made.stderr.text).toBe('a | hi\\x1b[2J\n  | you\nramet | warn: odd: why (3 dropped)\n1 target: 1 ok in 0.00 s\n')
    const lines: FakeDesk = desk({ a: { call: () => print(lines)() } })
    await lines.run('call', 'tasks.ts', 'f', '-t', 'a', '--format', 'jsonl', '--log-level', 'debug')
    expect(lines.stdout.text).toContain('{"v":1,"type":"log","target":"a","elapsed":0,"level":"debug","message":"not of interest"}\n')
    expect(lines.stdout.text).toContain('{"v":1,"type":"log","target":"a","elapsed":0,"level":"info","message":"hi\\u001b[2J\\nyou"}\n')
  })

  it.each([['info', 1], ['warn', 0], ['silent', 0]])('--log-level %s lets %i lines of console.log through', async (level, count) => {
    const made: FakeDesk = desk({ a: { call: () => made.opened[0]!.logger.info({ context: 'a' }, 'hi') } })
    await made.run('call', 'tasks.ts', 'f', '-t', 'a', '--log-level', level)
    expect(made.stderr.text.match(/hi/g)?.length ?? 0).toBe(count)
  })

  it('--list shows files with sizes and hashes, and needs neither target nor export', async () => {
    const made = desk({})
    made.sent.push({ file: '/home/ann/tasks.ts', bytes: 1200, hash: 'aa11' }, { file: '/home/ann/lib/\u0007x.ts', bytes: 34, hash: 'bb22' })
    expect(await made.run('call', 'tasks.ts', '--list')).toBe(0)
    expect(made.stdout.text).toBe('aa11  1200  /home/ann/tasks.ts\nbb22    34  /home/ann/lib/\\x07x.ts\n2 files, 1234 bytes before compression\n')
    expect(made.opened).toEqual([])
    await made.run('call', 'tasks.ts', '--list', '--format', 'json')
    expect(JSON.parse(made.stdout.text.split('compression\n')[1]!)).toEqual({ files: made.sent, bytes: 1234 })
  })
})

describe('ramet ping', () => {
  const info = { pid: 7, nodeVersion: 'v20.1.0', platform: 'linux', arch: 'x64', hostname: 'a' }

  it('says round trip, lane and Node of each target', async () => {
    const made = new FakeDesk({ a: { rtt: 1.5, info }, b: { rtt: 20 } })
    expect(await made.run('ping', '-t', 'a,b', '-c', '1')).toBe(0)
    expect(made.stdout.text).toBe('a: ok: 1.50 ms, node, Node 20.1.0 on linux-x64 (0.00 s)\nb: ok: 20.00 ms, raw, no stub (0.00 s)\n')
    expect(made.tree.connects[0]?.options.runtime).toBe('auto')
  })

  it('gives the same as fields', async () => {
    const made = new FakeDesk({ a: { rtt: 1.5, info } })
    await made.run('ping', '-t', 'a', '--format', 'json')
    expect(JSON.parse(made.stdout.text)).toMatchObject({
      items: [{ target: 'a', status: 'success', value: { rtt_ms: 1.5, connect_ms: 0, runtime: 'node', node_version: 'v20.1.0', platform: 'linux', arch: 'x64', hostname: 'a', pid: 7 } }],
    })
  })
})
