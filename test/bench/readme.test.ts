import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { brokenRow } from '../../bench/harness.ts'
import { growthMarkers, growthSection } from '../../bench/readme-growth.ts'
import { figures, markers, newestResults, type StoredResults, withFigures } from '../../bench/readme-figures.ts'
import { picture, pictureFile } from '../../bench/readme-picture.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

test("the README's figures are those of the newest results (else: node dist/bench/run.js --readme)", () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  const { file, results } = newestResults(root)
  expect(readme).toBe(withFigures(withFigures(readme, figures(file, results)), growthSection(results), growthMarkers))
})

test("the README's picture is that of the newest results (else: node dist/bench/run.js --readme), and the README shows it", () => {
  const { results } = newestResults(root)
  expect(readFileSync(new URL(`../../${pictureFile}`, import.meta.url), 'utf8')).toBe(picture(results))
  expect(readFileSync(new URL('../../README.md', import.meta.url), 'utf8')).toContain(`](${pictureFile})`)
})

const results = (rows: StoredResults['rows']): StoredResults => ({
  date: '2030-01-02T03:04:05Z', machine: { cores: 4, system: 'Linux 7' }, versions: { node: 'v20.1.2', openssh: 'OpenSSH_9.2p1 Debian-2+deb12u1', mitogen: '0.3.3' }, rows })

function tableOf(rows: StoredResults['rows']): string[] {
  return figures('2030.json', results(rows)).split('\n').filter((line) => line.startsWith('| ')).slice(2)
}

test('a line has every figure in the unit that suits it, and a ratio to each peer', () => {
  expect(tableOf([
    { name: 'fleet60', unit: 'ms', series: [{ name: 'ramet (Worker)', median: 2541 }, { name: 'ramet (inline)', median: 999.6 }, { name: 'mitogen', median: 2994 }] },
    { name: 'exec-burst', unit: 'us', series: [{ name: 'ramet', median: 2198 }, { name: 'mitogen', median: 807.2 }, { name: 'ssh over a master', median: 8142 }] },
    { name: 'pipelined', unit: 'calls/s', series: [{ name: 'ramet (inline)', median: 267_321 }, { name: 'mitogen', median: 40_880 }] },
    { name: 'stub-memory-after', unit: 'MB', series: [{ name: 'Node 18.2.0', median: 20 }, { name: 'Node 20.20.2', median: 16.64 }] },
  ])).toEqual([
    '| pipelined calls per second, inline | 267,000 | Mitogen 40,900 | 6.5 |',
    "| `exec('hostname')`, back to back | 2.2 ms | Mitogen 807 us; `ssh` over a ControlMaster 8.1 ms | 2.7; 0.27 |",
    '| connect to 60 targets and call each once | 2.5 s; inline 1000 ms | Mitogen 3.0 s | 0.85; 0.33 |',
    "| memory of an idle target's program, after a user call | 17 MB | | |",
  ])
})

test('a peer that was missing is named and has no ratio; what was not measured of ours has no line', () => {
  expect(tableOf([
    { name: 'tree32', unit: 'ms', series: [{ name: 'ramet (inline)', median: 800 }, { name: 'mitogen', missing: 'is not installed' }] },
    { name: 'tree-connect-first', unit: 'ms', series: [{ name: 'mitogen', median: 200 }] },
  ])).toEqual(['| 32 targets behind one hop, connect and call each once | inline 800 ms | Mitogen has no figure | |'])
})

test('goals that were missed are named with what they came to, and so is a side that failed midway; its figure is not shown', () => {
  const rows: StoredResults['rows'] = [
    { name: 'cli32', unit: 'ms', series: [{ name: 'ramet run', median: 478 }, { name: 'clush', median: 676 }],
      checks: [{ text: 'ramet run ≤ 0.7 × clush', value: 0.7069, met: false }, { text: 'ramet run ≤ 0.9 × parallel-ssh', value: 0.8, met: true }] },
    { name: 'fleet60', unit: 'ms', series: [{ name: 'ramet (inline)', median: 1000 }, { name: 'mitogen', median: 3000, missing: 'failed in round 5' }] },
    { name: 'warm-cpu', unit: 'us', series: [], checks: [{ text: 'stretch: a ≤ 0.25 × b', value: 0.34 }] },
  ]
  const text = figures('2030.json', results(rows))
  expect(text).toContain('\nGoals missed, and rows without a verdict, in this run: cli32: ramet run ≤ 0.7 × clush, was 0.707 (')
  expect(text).toContain('; fleet60: no figure for mitogen.')
  expect(text).not.toMatch(/stretch|parallel-ssh, was/)
  expect(tableOf(rows).at(-1)).toBe('| connect to 60 targets and call each once | inline 1.0 s | Mitogen has no figure | |')
  expect(figures('2030.json', results([]))).not.toContain('Goals')
})

test('three hops are measured against what they cost OpenSSH itself, where that was measured', () => {
  const three = { text: 'ramet (inline), three hops ≤ 2.2 × ramet (inline), one hop', value: 2.5, met: false }
  const reason = (checks: StoredResults['rows'][number]['checks'] = []): string => figures('2030.json', results([{ name: 'tree-warm', unit: 'us', series: [{ name: 'mitogen, direct', median: 1 }], checks: [three, ...checks] }]))
  expect(reason()).toContain('was 2.50 (two more processes per hop take turns in the same caches).')
  expect(reason([{ text: 'echo by ssh in ssh, three hops / echo by ssh in ssh, one hop', value: 2.2031 }])).toContain('all of it C, takes 2.20 times as long, too).')
})

test('where ssh took part in few rounds, what all of them came to is said, too', () => {
  const checks = [{ text: 'speed of ramet ≥ 30 × 100 × ssh', value: 27.24, met: false }]
  const text = figures('2030.json', results([{ name: 'hundred', unit: 'ms', series: [{ name: 'ramet', median: 400 }, { name: '100 × ssh', median: 13_000 }], checks }]))
  expect(text).toContain('was 27.2 (ssh takes part in few of the rounds; by the medians of all it was 32.5).')
})

test('a benchmark that broke off is named, without what it said on that machine', () => {
  const text = figures('2030.json', results([JSON.parse(JSON.stringify(brokenRow('hundred', new Error('no /tmp/x')))) as StoredResults['rows'][number]]))
  expect(text).toContain('\nGoals missed, and rows without a verdict, in this run: hundred: it broke off, no figure of it.')
})

test('what stands around the markers is left alone, and a README without them is refused', () => {
  expect(withFigures(`a\n${markers[0]}\nold\n${markers[1]}\nb`, 'new')).toBe(`a\n${markers[0]}\nnew\n${markers[1]}\nb`)
  expect(withFigures(`a\n${markers[0]}\nold\n${markers[1]}\nb`, '')).toBe(`a\n${markers[0]}\n${markers[1]}\nb`)
  expect(() => withFigures('a', 'new')).toThrow('markers')
})

test('the picture has a pair of bars for each ratio, and leaves out what was not measured', () => {
  const drawn = picture(results([
    { name: 'warm', unit: 'us', series: [{ name: 'ramet (Worker)', median: 150 }, { name: 'mitogen', median: 200 }] },
    { name: 'hundred', unit: 'ms', series: [{ name: 'ramet', median: 400 }, { name: '100 \u00d7 ssh', median: 16_000 }] },
    { name: 'exec-burst', unit: 'us', series: [{ name: 'ramet', median: 3000 }, { name: 'mitogen', median: 2000 }, { name: 'ssh over a master', missing: 'is not installed' }] },
    { name: 'tree32', unit: 'ms', series: [{ name: 'mitogen', median: 200 }] },
    { name: 'a row of tomorrow', unit: 'ms', series: [{ name: 'ramet', median: 200 }] },
  ]))
  expect([...drawn.matchAll(/<text [^>]*>([\d.]+ \(.*?)<\/text>/g)].map(([, text]) => text)).toEqual(['0.75 (150 us : 200 us)', '1.50 (3.0 ms : 2.0 ms)', '0.025 (400 ms : 16 s)'])
  expect(drawn).toContain('beside Mitogen 0.3.3')
  expect(drawn).not.toMatch(/beside tools|32 targets|ControlMaster/)
  // A figure beyond the peer's takes the longer bar, and 0.75 half of it.
  const widths = [...drawn.matchAll(/width="([\d.]+)" height="8"/g)].map(([, width]) => Number(width))
  expect(widths).toHaveLength(6)
  expect(widths[2]).toBe(Math.max(...widths))
  expect(widths[0]! / widths[2]!).toBeCloseTo(0.5, 2)
})

const fit = (shape: string, name: string, slope: number): object => ({ shape, name, unit: 'ms', intercept: 1, slope, r2: 0.9987 })
const growthRows = (off: number, second: number): StoredResults['rows'] => [
  { name: 'growth', unit: 'ms, MB', series: [], data: { fits: [
    fit('flat', 'connect all, first call', 34), fit('flat', 'controller CPU', 3.82), fit('flat', 'controller, idle', 0.2), fit('behind one hop', 'connect all, first call', 36),
    fit('behind one hop', 'controller CPU', 1.71), fit('behind one hop', 'hop CPU, all hops', 3.14), fit('behind one hop', 'controller, idle', 0.108), fit('behind one hop', 'one hop, idle', 0.157)] } },
  { name: 'simulation-lab', unit: 'ms', series: [], data: { predictions: [
    { what: 'connect', predicted: 100, measured: 110 }, { what: 'connect', predicted: 112, measured: 100 }, { what: 'call', predicted: 100 + off, measured: 100 }] } },
  { name: 'simulation', unit: 's, MB', series: [], data: { predictions: [1000, 10_000].flatMap((targets) => [
    { shape: 'flat', rtt: 1, connect: targets * 4, call: targets / 10, controllerMemory: targets / 5 },
    { shape: 'one level', rtt: 1, connect: targets * 2, call: targets / 20, controllerMemory: targets / 10 },
    { shape: 'two levels', rtt: 1, connect: targets * second, call: targets / 20, controllerMemory: targets / 10 },
    { shape: 'flat', rtt: 50, connect: 1, call: 1, controllerMemory: 1 }].map((one) => ({ ...one, targets }))) } },
]

test('what to expect with many targets is told from the fits and the simulation, in twelve lines', () => {
  const lines = growthSection(results(growthRows(15, 2))).split('\n')
  expect(lines.length).toBeLessThanOrEqual(12)
  expect(lines.filter((line) => line.startsWith('| ')).slice(2)).toEqual([
    '| 1,000 | 4.0 s, 100 ms, 0.20 GB | 2.0 s, 50 ms, 0.10 GB | 2.0 s, 50 ms, 0.10 GB |',
    '| 10,000 | 40 s, 1.0 s, 2.0 GB | 20 s, 500 ms, 1.0 GB | 20 s, 500 ms, 1.0 GB |',
  ])
  const text = lines.join(' ')
  expect(text).toContain('3.8 ms of CPU to connect a target, 1.7 ms behind a hop (the hop 3.1 ms)')
  expect(text).toContain('connecting 60 and 200 is within 12 % of what was measured, a call to them within 15 %')
  expect(text).toContain('half the time')
  expect(text).toContain('a second level saves nothing')
})

test('the sizes whose costs were fed to the simulation are named one by one beside those that it predicts', () => {
  const fed = (fedWith?: number[]): string => growthSection(results(growthRows(15, 2).map((row) => row.name === 'simulation-lab' ? { ...row, data: { ...row.data as object, fedWith } } : row))).replaceAll('\n', ' ')
  expect(fed([1, 10, 30, 100])).toContain('Fed with costs of 1, 10, 30 and 100 contexts, the simulation of connecting 60 and 200 is within')
  expect(fed()).toContain('Fed with costs of 1 to 10 contexts, the simulation')
})

test('the choice of a shape follows the figures', () => {
  expect(growthSection(results(growthRows(15, 1)))).toContain('a second level takes 0.50 of that')
})

test('where growth was not measured, nothing is said of it', () => {
  expect(growthSection(results(growthRows(15, 2).slice(1)))).toBe('')
  expect(growthSection(results(growthRows(15, 2).slice(0, 2)))).toBe('')
  expect(growthSection(results([]))).toBe('')
})
