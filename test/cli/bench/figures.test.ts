import { describe, expect, test } from 'vitest'
import { bars, blockFor } from '../../../src/cli/bench/bars.ts'
import type { Counted, Report, Row, Wire } from '../../../src/cli/bench/contender.ts'
import { document } from '../../../src/cli/bench/document.ts'
import { drawn } from '../../../src/cli/bench/drawing.ts'
import { figuresOf, shortBytes, shortTime } from '../../../src/cli/bench/figures.ts'
import { callsInRound, countingBehind, planned, rotated, roundsFor, shareOut } from '../../../src/cli/bench/plan.ts'
import { quantile } from '../../../src/cli/bench/stats.ts'
import { svg } from '../../../src/cli/bench/svg.ts'
import { remarks, table } from '../../../src/cli/bench/table.ts'
import { check, echo, quoted, Work } from '../../../src/cli/bench/work.ts'

const wire = (connections: number, bytes: number, roundTrips: number): Wire =>
  ({ connections, bytesOut: bytes, bytesIn: 2 * bytes, packetsOut: 3, packetsIn: 4.5, roundTrips })

const row = (id: string, label: string, kind: Row['kind'], times: number[], more: Partial<Row> = {}): Row =>
  ({ id, label, kind, planned: times.length, times, busy: times.reduce((sum, one) => sum + one, 0), cpuOwn: times.length * 0.5, cpuChildren: times.length * 2, failed: 0, failure: undefined, ...more })

function report(more: Partial<Report> = {}): Report {
  return {
    target: 'web1', calls: 4, rounds: 4, concurrency: 1, payload: 0, maxTime: 60_000, elapsed: 2000, ending: 'whole',
    rows: [
      row('ssh', 'ssh', 'command', [130, 140, 120, 150]), row('ramet-warm', 'ramet, warm', 'command', [2, 2.5, 1.5, 3]),
      row('ssh', 'ssh', 'function', [180, 190, 170, 200]), row('ramet-warm', 'ramet, warm', 'function', [0.2, 0.25, 0.15, 0.3]),
    ],
    leftOut: [],
    counted: new Map<string, Counted>([
      ['ssh', { fresh: true, opening: wire(0, 0, 0), calls: { command: wire(1, 2000, 9), function: wire(1, 2100, 9) } }],
      ['ramet-warm', { fresh: false, opening: wire(1, 10_000, 4), calls: { command: wire(0, 100, 1), function: wire(0, 80, 1) } }],
    ]),
    hop: undefined, uncounted: undefined, rtt: { tcp: 10, ping: 10.4 }, notes: [], versions: { ramet: '1.2.3', node: '20.1.0', ssh: 'OpenSSH_9.2p1', platform: 'linux x64' },
    ...more,
  }
}

describe('the plan', () => {
  test('gives all calls to everybody where there is time', () => {
    expect(shareOut([{ each: 100 }, { each: 1 }], 50, 60_000)).toEqual([50, 50])
  })

  test('lets slow contenders make fewer calls, of the same time each, and everybody one at least', () => {
    const estimates = [{ each: 200 }, { each: 1 }, { each: 400 }]
    const counts = shareOut(estimates, 50, 4050)
    expect(counts).toEqual([10, 50, 5])
    expect(planned(estimates, counts)).toBe(4050)
    expect(shareOut([{ each: 500 }, { each: 900 }], 50, 10)).toEqual([1, 1])
  })

  test.each([[1, 5], [3, 5], [50, 5], [7, 7], [100, 1]])('%i calls in %i rounds are all made, the first round being no shorter', (calls, rounds) => {
    const each = Array.from({ length: rounds }, (_, round) => callsInRound(calls, rounds, round, 1))
    expect(each.reduce((sum, one) => sum + one, 0)).toBe(calls)
    expect(each[0]).toBe(Math.max(...each))
  })

  test.each<[number, number, number[]]>([
    [20, 20, [20, 0, 0, 0, 0]], [40, 12, [14, 13, 0, 13, 0]], [100, 20, [20, 20, 20, 20, 20]], [3, 8, [3, 0, 0, 0, 0]],
  ])('%i calls, %i at once, sit rounds out rather than be fewer at once', (calls, atOnce, each) => {
    expect(Array.from({ length: 5 }, (_, round) => callsInRound(calls, 5, round, atOnce))).toEqual(each)
  })

  test('has no more rounds than calls, and begins with another contender in each', () => {
    expect([roundsFor(1, 1), roundsFor(3, 1), roundsFor(1000, 1), roundsFor(1000, 400), roundsFor(10, 20)]).toEqual([1, 3, 5, 2, 1])
    expect([0, 1, 2, 3].map((round) => rotated(['a', 'b', 'c'], round).join(''))).toEqual(['abc', 'bca', 'cab', 'abc'])
    expect(rotated([], 3)).toEqual([])
  })

  test('foretells what counting takes: all that it needs where that is left, and all that is left where it is not', () => {
    expect([countingBehind(2000, 5000, 17_000), countingBehind(2000, 18_000, 17_000), countingBehind(2000, 18_000, 1000)]).toEqual([5000, 15_000, 0])
  })
})

test('quantiles lie between neighbours, and none has none', () => {
  expect([quantile([4, 1, 3, 2], 0.5), quantile([1, 2, 3, 4, 5], 0.95), quantile([7], 0.99), quantile([], 0.5)]).toEqual([2.5, 4.8, 7, undefined])
})

test('figures are per call, with the floor that round trips make', () => {
  const [ssh, warm] = figuresOf(report())
  expect(ssh).toMatchObject({ id: 'ssh', calls: 4, p50: 135, cpuOwn: 0.5, cpuChildren: 2, floor: 90, opening: undefined })
  expect(ssh!.perSecond).toBeCloseTo(7.41, 2)
  expect(warm).toMatchObject({ p50: 2.25, floor: 10, opening: { connections: 1 } })
  expect(figuresOf(report({ rows: [row('ssh', 'ssh', 'command', [])] }))).toEqual([])
})

test('numbers are short', () => {
  expect([0.1484, 0.9999, 2.746, 52.44, 135.4, 9994, 12_345].map(shortTime)).toEqual(['148 us', '1.00 ms', '2.75 ms', '52.4 ms', '135 ms', '9994 ms', '12.3 s'])
  expect([136, 999.6, 6100, 123_456, 2_345_678].map(shortBytes)).toEqual(['136 B', '1.0 kB', '6.1 kB', '123 kB', '2.3 MB'])
})

describe('the table', () => {
  const figures = figuresOf(report()).filter(({ kind }) => kind === 'command')

  test('has every column where there is room', () => {
    expect(table(figures, Infinity)).toEqual([
      '                 p50      p95      p99  calls/s      CPU  round trips    floor    sent  received  packets  connections  calls',
      'ssh           135 ms   149 ms   150 ms      7.4  2.50 ms            9  90.0 ms  2.0 kB    4.0 kB  3 + 4.5   1 per call      4',
      'ramet, warm  2.25 ms  2.92 ms  2.98 ms      444  2.50 ms            1  10.0 ms   100 B     200 B  3 + 4.5     1 in all      4',
    ])
  })

  test('marks CPU that is not all of it, and says whose is missing', () => {
    const led = report({ rows: [row('ssh', 'ssh', 'command', [130], { orphans: true }), row('ramet-warm', 'ramet, warm', 'command', [2])] })
    const [titles, ssh, warm] = table(figuresOf(led), Infinity)
    const cpu = (line: string): string => line.trim().split(/ {2,}/)[titles!.trim().split(/ {2,}/).indexOf('CPU') + 1]!
    expect([cpu(ssh!), cpu(warm!)]).toEqual(['>2.50 ms', '2.50 ms'])
    expect(remarks(led, figuresOf(led)).filter((line) => line.startsWith('CPU'))).toEqual(['CPU behind > is without the process that ssh starts to reach the next machine and does not wait for.'])
    const { results } = (JSON.parse(document(led, figuresOf(led))) as { items: { value: { results: { cpu_ms: object }[] } }[] }).items[0]!.value
    expect(results.map(({ cpu_ms: spent }) => spent)).toEqual([{ own: 0.5, children: 2, at_least: true }, { own: 0.5, children: 2 }])
  })

  test.each([120, 80, 60, 40, 20])('fits %i columns by leaving some out', (width) => {
    const lines = table(figures, width)
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(width)
    expect(lines[0]).toContain('p50')
  })

  test('has no column for what nobody has', () => {
    const [titles] = table(figuresOf(report({ counted: new Map() })).slice(0, 2), Infinity)
    expect(titles!.trim().split(/ {2,}/)).toEqual(['p50', 'p95', 'p99', 'calls/s', 'CPU', 'calls'])
  })

  test('says below what was left out, failed, not counted, or cut short', () => {
    const full = report({
      leftOut: [{ id: 'ssh2', label: 'ssh2', kinds: ['command', 'function'], reason: 'it goes through a jump host' }, { id: 'ssh', label: 'ssh', kinds: ['function'], reason: 'node: not found' }],
      rows: [
        row('ramet-warm', 'ramet, warm', 'command', [1], { failed: 2, failure: 'lost', cpuChildren: undefined }), row('ramet-cold', 'ramet, cold', 'command', [], { failed: 3, failure: 'refused' }),
      ],
      counted: new Map(), uncounted: 'the target is behind a hop (--via)', ending: 'interrupted', notes: ['A note.'],
    })
    expect(remarks(full, figuresOf(full))).toEqual([
      "One round trip to the target takes 10.0 ms (TCP handshake); the floor is what a call's round trips take at that.",
      'A ping through ramet takes 10.4 ms: what lies between and the program there included.',
      'Bytes, packets, connections and round trips were not counted: the target is behind a hop (--via).',
      "CPU is this process's alone (>): this system does not tell what child processes spend.",
      'ramet, warm, command: 2 calls failed: lost',
      'ramet, cold, command: 3 calls failed: refused',
      'Left out: ssh2: it goes through a jump host',
      'Left out: ssh, function: node: not found',
      'A note.',
      'Interrupted: these are the calls that were made by then.',
    ])
    expect(remarks(report({ hop: 'ops@gate' }), figuresOf(report())).filter((line) => line.includes('ops@gate'))).toEqual([
      "One round trip to the hop ops@gate takes 10.0 ms (TCP handshake); the floor is what a call's round trips take at that.",
      'Bytes and packets are TCP payload between here and ops@gate, as a relay of ours saw them, in a pass of its own that is not timed.',
    ])
    expect(remarks(report({ ending: 'time' }), figuresOf(report())).at(-1)).toBe('Stopped after 60.0 s (--max-time): these are the calls that were made by then.')
  })

  test('speaks of no calls where there are none, and says what would give them time', () => {
    expect(remarks(report({ ending: 'time' }), []).at(-1)).toBe('Stopped after 60.0 s, before a call had its result: --max-time gives it more.')
    expect(remarks(report({ ending: 'interrupted' }), []).at(-1)).toBe('Interrupted before a call had its result.')
  })
})

describe('bars', () => {
  const two = [{ label: 'ssh', p50: 100 }, { label: 'ramet, warm', p50: 0.1 }]

  test('are in proportion, and never nothing for something', () => {
    expect(bars(two, 40, '#')).toEqual(['ssh          ################### 100 ms', 'ramet, warm  # 100 us'])
  })

  test.each([20, 40, 80, 200])('fit %i columns', (width) => {
    for (const line of bars(two, width, '#')) expect(line.length).toBeLessThanOrEqual(Math.max(width, 22))
  })

  test('are ASCII where the locale does not name UTF-8', () => {
    expect([blockFor({}), blockFor({ LANG: 'C' }), blockFor({ LANG: 'en_US.UTF-8', LC_ALL: 'C' }), blockFor({ LANG: 'de_DE.utf8' })]).toEqual(['#', '#', '#', '\u2588'])
  })
})

test('the picture is the one that was accepted: light and dark, no script, nothing from elsewhere, not the host', async () => {
  const full = report({ rows: [...report().rows, row('x', 'a <b> & "c"', 'function', [50])] })
  const picture = svg(full, figuresOf(full))
  await expect(picture).toMatchFileSnapshot('golden.svg')
  expect(picture).not.toMatch(/<script|href|url\(|web1/)
  expect(picture).toContain('prefers-color-scheme: dark')
})

test('the longest names and figures stay inside the picture, and groups without bars are not drawn', () => {
  const long = 'a word '.repeat(30).trim()
  const texts = (picture: string): { x: number; text: string }[] => [...picture.matchAll(/<text x="(\d+)"[^>]*>([^<]*)</g)].map(([, x, text]) => ({ x: Number(x), text: text! }))
  const picture = drawn({
    title: 'T', captions: [long], legend: { ours: 'we', other: 'they' },
    groups: [{ title: 'none', bars: [] }, { title: 'one', bars: [{ label: 'x'.repeat(40), text: '0.61 (78 ms : 128 ms)', length: 0.6, against: 1, ours: true }, { label: 'y', text: '1', length: 1e-9, ours: false }] }],
  })
  expect(picture).not.toContain('none')
  // What a narrow font takes at the least.
  for (const { x, text } of texts(picture)) expect(x + text.length * 6, text).toBeLessThanOrEqual(800)
  expect(texts(picture).map(({ text }) => text).slice(1, -5).join(' ')).toContain('a word a word')
  const bars = [...picture.matchAll(/<rect x="([\d.]+)" y="\d+" width="([\d.]+)" height="(?:8|16)"/g)].slice(2).map(([, x, width]) => [Number(x), Number(width)])
  expect(bars).toHaveLength(3)
  for (const [x, width] of bars) {
    expect(x).toBeGreaterThan(20 + 40 * 7)
    expect(width).toBeGreaterThanOrEqual(2)
  }
})

test('the document has the shape of the other commands, and raw samples', () => {
  const full = report()
  const { items, target_count: count, elapsed_time: elapsed } = JSON.parse(document(full, figuresOf(full))) as { items: { target: string; status: string; value: Record<string, unknown> }[]; target_count: number; elapsed_time: number }
  expect([count, elapsed, items[0]!.target, items[0]!.status]).toEqual([1, 2, 'web1', 'success'])
  const { results, ...rest } = items[0]!.value as { results: unknown[] }
  expect(rest).toEqual({
    calls: 4, rounds: 4, concurrency: 1, payload_bytes: 0, max_time: 60, ending: 'whole', rtt_ms: { tcp: 10, ping: 10.4 }, left_out: [], notes: [], counted_to: 'target',
    versions: { ramet: '1.2.3', node: '20.1.0', ssh: 'OpenSSH_9.2p1', platform: 'linux x64' },
  })
  expect(results[1]).toEqual({
    contender: 'ramet-warm', name: 'ramet, warm', kind: 'command', calls: 4, planned: 4, failed: 0, p50_ms: 2.25, p95_ms: 2.925, p99_ms: 2.985, calls_per_second: 444.444,
    cpu_ms: { own: 0.5, children: 2 }, floor_ms: 10, samples_ms: [2, 2.5, 1.5, 3],
    per_call: { connections: 0, bytes_out: 100, bytes_in: 200, packets_out: 3, packets_in: 4.5, round_trips: 1 },
    opening: { connections: 1, bytes_out: 10_000, bytes_in: 20_000, packets_out: 3, packets_in: 4.5, round_trips: 4 },
  })
  const none = report({ rows: [] })
  expect(JSON.parse(document(none, []))).toMatchObject({ items: [{ status: 'failure' }] })
})

describe('the work', () => {
  test('is new for each call, and the same for all who do it', () => {
    const work = new Work(0)
    const [one, other] = [work.next('command'), work.next('command')]
    expect(one.line).toBe(`echo ${one.text}`)
    expect(one.text).not.toBe(other.text)
    expect(work.next('function').line).toMatch(/^node -e 'console\.log\(\(.*=>.*\)\("[0-9a-f]{16}"\)\)'$/)
    expect(echo('x')).toBe('x')
  })

  test.each([1, 16, 5000])('carries a payload of %i bytes there and back', (payload) => {
    const work = new Work(payload)
    const task = work.next('command')
    expect([task.line, task.stdin, task.text.length]).toEqual(['cat', task.text, payload])
    expect(work.next('function').line).not.toContain("'d")
  })

  test('lets noise of a login shell through, and nothing else', () => {
    const task = new Work(0).next('command')
    expect(() => check(task, `Welcome!\n${task.text}\nbye`)).not.toThrow()
    expect(() => check(task, 'Welcome!\n')).toThrow(/answered "Welcome!/)
  })

  test('quotes the path of a Node for any shell, or does not use it', () => {
    expect(['/usr/bin/node', '/opt/my node/bin/node', "/o'pt/node", '/a\\b'].map(quoted)).toEqual(['/usr/bin/node', "'/opt/my node/bin/node'", undefined, undefined])
  })
})
