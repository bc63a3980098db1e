import type { Kind, Report, Row, Wire } from './contender.ts'
import { quantile } from './stats.ts'

/** What is shown of one row. Times are milliseconds, per call. */
export interface Figures {
  id: string
  label: string
  kind: Kind
  /** That succeeded; more were planned where some failed or the run was stopped. */
  calls: number
  planned: number
  failed: number
  failure: string | undefined
  p50: number
  p95: number
  p99: number
  perSecond: number
  /** Of this process and its children; the second is undefined where it can't be read. */
  cpuOwn: number
  cpuChildren: number | undefined
  /** Whether more was spent than those say. */
  cpuAtLeast: boolean
  /** Of one call; undefined where it was not counted. */
  wire: Wire | undefined
  /** Of what stays open: connecting, and the code that the first calls bring. Undefined for who connects for each call. */
  opening: Wire | undefined
  /** What the round trips of one call take at least. */
  floor: number | undefined
}

/** The figures of every row that has any, in the order of the contenders. */
export function figuresOf(report: Report): Figures[] {
  return report.rows.filter(({ times }) => times.length > 0).map((row) => figuresOfRow(row, report))
}

function figuresOfRow(row: Row, { counted, rtt }: Report): Figures {
  const { id, label, kind, times, planned, failed, failure, busy } = row
  const calls = times.length
  const found = counted.get(id)
  const wire = found?.calls[kind]
  return {
    id, label, kind, calls, planned, failed, failure,
    p50: quantile(times, 0.5)!, p95: quantile(times, 0.95)!, p99: quantile(times, 0.99)!,
    perSecond: busy > 0 ? (calls / busy) * 1000 : 0,
    cpuOwn: row.cpuOwn / calls,
    cpuChildren: row.cpuChildren === undefined ? undefined : Math.max(0, row.cpuChildren) / calls,
    cpuAtLeast: row.cpuChildren === undefined || row.orphans === true,
    wire,
    opening: found === undefined || found.fresh ? undefined : found.opening,
    floor: wire === undefined || rtt.tcp === undefined ? undefined : wire.roundTrips * rtt.tcp,
  }
}

/** Milliseconds for people, with three digits that count. */
export function shortTime(ms: number): string {
  if (ms < 0.9995) return `${(ms * 1000).toFixed(0)} us`
  if (ms < 9.995) return `${ms.toFixed(2)} ms`
  if (ms < 99.95) return `${ms.toFixed(1)} ms`
  return ms < 9995 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`
}

export function shortBytes(bytes: number): string {
  if (bytes < 999.5) return `${bytes.toFixed(0)} B`
  if (bytes < 99_950) return `${(bytes / 1000).toFixed(1)} kB`
  return bytes < 999_500 ? `${(bytes / 1000).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`
}

/** A count that may be a mean. */
export function shortCount(count: number): string {
  return count < 9.95 && !Number.isInteger(count) ? count.toFixed(1) : count.toFixed(0)
}

export function shortRate(perSecond: number): string {
  return perSecond < 9.95 ? perSecond.toFixed(1) : perSecond.toFixed(0)
}

/** '1 call', '3 calls'. */
export function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`
}
