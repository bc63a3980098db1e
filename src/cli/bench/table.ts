import type { Report } from './contender.ts'
import { plural, shortBytes, shortCount, shortRate, shortTime } from './figures.ts'
import type { Figures } from './figures.ts'

interface Column {
  title: string
  /** Columns with the highest rank are left out first where there is no room. */
  rank: number
  text(figures: Figures): string
}

const COLUMNS: readonly Column[] = [
  { title: 'p50', rank: 0, text: ({ p50 }) => shortTime(p50) },
  { title: 'p95', rank: 2, text: ({ p95 }) => shortTime(p95) },
  { title: 'p99', rank: 6, text: ({ p99 }) => shortTime(p99) },
  { title: 'calls/s', rank: 1, text: ({ perSecond }) => shortRate(perSecond) },
  { title: 'CPU', rank: 3, text: ({ cpuOwn, cpuChildren, cpuAtLeast }) => `${cpuAtLeast ? '>' : ''}${shortTime(cpuOwn + (cpuChildren ?? 0))}` },
  { title: 'round trips', rank: 4, text: ({ wire }) => (wire === undefined ? '-' : shortCount(wire.roundTrips)) },
  { title: 'floor', rank: 7, text: ({ floor }) => (floor === undefined ? '-' : shortTime(floor)) },
  { title: 'sent', rank: 5, text: ({ wire }) => (wire === undefined ? '-' : shortBytes(wire.bytesOut)) },
  { title: 'received', rank: 5, text: ({ wire }) => (wire === undefined ? '-' : shortBytes(wire.bytesIn)) },
  { title: 'packets', rank: 8, text: ({ wire }) => (wire === undefined ? '-' : `${shortCount(wire.packetsOut)} + ${shortCount(wire.packetsIn)}`) },
  { title: 'connections', rank: 6, text: ({ wire, opening }) => (opening !== undefined ? `${shortCount(opening.connections)} in all` : wire === undefined ? '-' : `${shortCount(wire.connections)} per call`) },
  { title: 'calls', rank: 9, text: ({ calls }) => String(calls) },
]

const GAP = '  '

/** The figures of one kind as lines that fit the width, as far as leaving out columns can do that. */
export function table(figures: readonly Figures[], width: number): string[] {
  const labels = figures.map(({ label }) => label)
  const left = Math.max(0, ...labels.map((label) => label.length))
  const columns = COLUMNS.map((column) => {
    const cells = figures.map((one) => column.text(one))
    return { ...column, cells, width: Math.max(column.title.length, ...cells.map((cell) => cell.length)), told: cells.some((cell) => cell !== '-') }
  }).filter(({ told }) => told)
  const total = (): number => left + columns.reduce((sum, column) => sum + GAP.length + column.width, 0)
  while (columns.length > 1 && total() > width) {
    const worst = Math.max(...columns.map(({ rank }) => rank))
    columns.splice(columns.findLastIndex(({ rank }) => rank === worst), 1)
  }
  const line = (name: string, cell: (column: (typeof columns)[number]) => string): string =>
    [name.padEnd(left), ...columns.map((column) => cell(column).padStart(column.width))].join(GAP).trimEnd()
  return [line('', ({ title }) => title), ...labels.map((label, index) => line(label, ({ cells }) => cells[index]!))]
}

/** What stands under the tables: what was left out and why, how far the figures go, what they rest on. */
export function remarks(report: Report, figures: readonly Figures[]): string[] {
  const { leftOut, rtt, uncounted, ending, maxTime, hop } = report
  const lines: string[] = []
  if (rtt.tcp !== undefined) lines.push(`One round trip to ${hop === undefined ? 'the target' : `the hop ${hop}`} takes ${shortTime(rtt.tcp)} (TCP handshake); the floor is what a call's round trips take at that.`)
  if (rtt.ping !== undefined) lines.push(`A ping through ramet takes ${shortTime(rtt.ping)}: what lies between and the program there included.`)
  if (uncounted !== undefined) lines.push(`Bytes, packets, connections and round trips were not counted: ${uncounted}.`)
  const openings = figures.filter(({ id, opening }, index) => opening !== undefined && figures.findIndex((other) => other.id === id) === index)
  if (openings.length > 0) {
    lines.push(`Opening what stays open costs once, both ways, first code included: ${openings.map(({ label, opening }) => `${label} ${shortBytes(opening!.bytesIn + opening!.bytesOut)}`).join('; ')}.`)
  }
  if (figures.some(({ wire }) => wire !== undefined)) lines.push(`Bytes and packets are TCP payload${hop === undefined ? '' : ` between here and ${hop},`} as a relay of ours saw them, in a pass of its own that is not timed.`)
  if (figures.some(({ cpuChildren }) => cpuChildren === undefined)) lines.push("CPU is this process's alone (>): this system does not tell what child processes spend.")
  else if (report.rows.some(({ orphans }) => orphans === true)) lines.push('CPU behind > is without the process that ssh starts to reach the next machine and does not wait for.')
  for (const { label, kind, failed, failure } of report.rows) if (failed > 0) lines.push(`${label}, ${kind}: ${plural(failed, 'call')} failed: ${failure}`)
  for (const { label, kinds, reason } of leftOut) lines.push(`Left out: ${label}${kinds.length === 1 ? `, ${kinds[0]}` : ''}: ${reason}`)
  lines.push(...report.notes)
  const none = figures.length === 0
  if (ending === 'time') lines.push(none ? `Stopped after ${shortTime(maxTime)}, before a call had its result: --max-time gives it more.` : `Stopped after ${shortTime(maxTime)} (--max-time): these are the calls that were made by then.`)
  if (ending === 'interrupted') lines.push(none ? 'Interrupted before a call had its result.' : 'Interrupted: these are the calls that were made by then.')
  return lines
}
