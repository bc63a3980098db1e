import { median, quantile, ratioOf, type Ratio } from './stats.ts'
import type { Lab } from './lab.ts'

/** One program of a comparison. A round gives one sample or many. */
export interface Side {
  name: string
  round?: () => Promise<number | number[]>
  /** It takes part in so many rounds only, spread over all, and in no warm-up: for what takes many times as long as the others. */
  rounds?: number
  /** Why it can't be measured here: named in the row, never guessed. */
  missing?: string
}

export interface Series {
  name: string
  /** Samples of each round, in the order in which the rounds ran; none of those that it sat out. */
  rounds: number[][]
  missing?: string
}

export interface Check {
  /** 'ramet ≤ 0.5 × mitogen'. */
  text: string
  value: number
  /** Quartiles of the value round by round; absent for a figure that is no ratio. */
  spread?: [number, number]
  /** Absent: printed for information, nothing is demanded. */
  met?: boolean
  /** A goal beyond the goals: whether it is reached. Who misses it has missed nothing. */
  reached?: boolean
  /** What stood in the way of a verdict. */
  missing?: string
}

export interface Row {
  name: string
  figure: string
  unit: string
  series: Series[]
  checks: Check[]
  notes: string[]
  /** Lines that stand on the screen alone: tables and plots of what `data` holds. */
  shown?: string[]
  /** What a picture can be made of, and what is in no series. */
  data?: unknown
}

export interface Benchmark {
  /** Slug: what --only takes. */
  name: string
  rows(lab: Lab): AsyncIterable<Row>
}

/**
 * A, B, A, B …: what the machine does meanwhile falls on all alike. The first round warms up and is dropped. A side that
 * fails is named with its error and left out from there on; the others go on. So do they where a side wants fewer rounds.
 * `primed`: beside a side that takes seconds, each of the others runs once unmeasured before each of its samples; whoever came first
 * after those seconds would pay for caches that hold something else by then.
 */
export async function interleave(sides: readonly Side[], rounds: number, options: { warmUp?: boolean; primed?: boolean } = {}): Promise<Series[]> {
  const series: Series[] = sides.map(({ name, missing }) => ({ name, rounds: [], ...(missing === undefined ? {} : { missing }) }))
  for (let round = options.warmUp === false ? 1 : 0; round <= rounds; round++) {
    for (const [index, side] of sides.entries()) {
      const own = series[index]
      if (own === undefined || own.missing !== undefined || side.round === undefined) continue
      if (side.rounds !== undefined && !takesPart(round, side.rounds, rounds)) {
        if (round > 0) own.rounds.push([])
        continue
      }
      try {
        if (options.primed === true && side.rounds === undefined) await side.round()
        const samples = await side.round()
        if (round > 0) own.rounds.push(Array.isArray(samples) ? samples : [samples])
      } catch (error) {
        own.missing = `failed in round ${round}: ${error instanceof Error ? error.message : String(error)}`
      }
    }
  }
  return series
}

/** Of so many parts of all rounds, the one in the middle of each: the first rounds after another benchmark are not like the others. */
function takesPart(round: number, parts: number, rounds: number): boolean {
  return Array.from({ length: parts }, (_, part) => Math.floor((part + 0.5) * rounds / parts) + 1).includes(round)
}

export function rowOf(name: string, figure: string, unit: string, series: Series[]): Row {
  return { name, figure, unit, series, checks: [], notes: [] }
}

/** In place of the rows of a benchmark that could not be measured to its end: whatever it would have shown has no verdict. */
export function brokenRow(name: string, error: unknown): Row {
  const why = `failed: ${error instanceof Error ? error.message : String(error)}`
  return { ...rowOf(name, 'it broke off', '', []), checks: [{ text: 'all of its figures', value: NaN, missing: why }] }
}

export function medianOf(row: Row, name: string): number {
  return median(find(row, name)?.rounds.flat() ?? [])
}

/** In place of a row whose server is not here: `without` names it. None of its figures has a verdict. */
export function unmeasuredRow(name: string, figure: string, without: string, why: string): Row {
  return { ...rowOf(name, figure, '', [{ name: without, rounds: [], missing: why }]), checks: [{ text: 'all of its figures', value: NaN, missing: why }] }
}

/** `side` takes at most `bound` times what `peer` takes; without a bound the ratio is only shown. */
export function compare(row: Row, side: string, peer: string, bound?: number): void {
  const text = bound === undefined ? `${side} / ${peer}` : `${side} ≤ ${bound} × ${peer}`
  addRatio(row, text, side, peer, (ratio) => bound === undefined ? undefined : ratio <= bound)
}

/** A stretch goal: `side` takes at most `bound` times what `peer` takes. */
export function stretch(row: Row, side: string, peer: string, bound: number): void {
  addRatio(row, `stretch: ${side} ≤ ${bound} × ${peer}`, side, peer, () => undefined)
  beyond(row, bound)
}

/** A stretch goal: the median of `side` is at most `limit`, in the row's unit. */
export function stretchWithin(row: Row, side: string, limit: number, why: string): void {
  row.checks.push({ text: `stretch: ${side} ≤ ${why} = ${format(limit)} ${row.unit}`, value: medianOf(row, side) })
  beyond(row, limit)
}

function beyond(row: Row, bound: number): void {
  const check = row.checks.at(-1)
  if (check !== undefined && !Number.isNaN(check.value)) check.reached = check.value <= bound
}

/** `side` is at least `bound` times `peer`: for figures where more is better. */
export function atLeast(row: Row, side: string, peer: string, bound: number): void {
  addRatio(row, `${side} ≥ ${bound} × ${peer}`, side, peer, (ratio) => ratio >= bound)
}

/** `side` is at least `bound` times as fast as `peer`, both measured in time. */
export function faster(row: Row, side: string, peer: string, bound?: number): void {
  const text = bound === undefined ? `speed of ${side} / ${peer}` : `speed of ${side} ≥ ${bound} × ${peer}`
  addRatio(row, text, peer, side, (ratio) => bound === undefined ? undefined : ratio >= bound)
}

/** The median of `side` is at most `limit`, in the row's unit; `why` says where the limit comes from. */
export function within(row: Row, side: string, limit: number, why: string): void {
  const missing = find(row, side)?.missing
  const value = medianOf(row, side)
  const text = `${side} ≤ ${why}`
  if (missing !== undefined || Number.isNaN(value) || Number.isNaN(limit)) row.checks.push({ text, value, missing: missing ?? 'no figure' })
  else row.checks.push({ text: `${text} = ${format(limit)} ${row.unit}`, value, met: value <= limit })
}

function addRatio(row: Row, text: string, over: string, under: string, verdict: (ratio: number) => boolean | undefined): void {
  const missing = [over, under].map((name) => [name, find(row, name)] as const).find(([, series]) => series?.missing !== undefined || !series?.rounds.flat().length)
  if (missing !== undefined) {
    row.checks.push({ text, value: NaN, missing: `${missing[0]}: ${missing[1]?.missing ?? 'no figure'}` })
    return
  }
  const ratio: Ratio = ratioOf(find(row, over)?.rounds ?? [], find(row, under)?.rounds ?? [])
  const met = verdict(ratio.value)
  row.checks.push({ text, value: ratio.value, spread: ratio.spread, ...(met === undefined ? {} : { met }) })
}

function find(row: Row, name: string): Series | undefined {
  return row.series.find((series) => series.name === name)
}

/** The row as it stands on the screen. */
export function print(row: Row): string {
  const lines = [`${row.name}: ${row.figure}${row.unit === '' ? '' : ` [${row.unit}]`}`]
  const width = Math.max(...row.series.map(({ name }) => name.length))
  for (const { name, rounds, missing } of row.series) {
    const samples = rounds.flat()
    const shown = samples.length === 0 ? `not measured: ${firstLine(missing ?? 'no round ended')}`
      : `${format(median(samples)).padStart(9)}   quartiles ${format(quantile(samples, 0.25))} to ${format(quantile(samples, 0.75))}`
        + (samples.length >= 100 ? `   p99 ${format(quantile(samples, 0.99))}` : '') + `   (${samples.length})`
        + (missing === undefined ? '' : `   then ${firstLine(missing)}`)
    lines.push(`  ${name.padEnd(width)}  ${shown}`)
  }
  for (const check of row.checks) {
    const verdict = check.missing !== undefined ? 'no verdict' : check.reached !== undefined ? check.reached ? 'reached' : 'not yet'
      : check.met === undefined ? 'shown' : check.met ? 'met' : 'MISSED'
    const spread = check.spread ? ` (${check.spread.map((value) => value.toFixed(2)).join(' to ')})` : ''
    const value = check.missing !== undefined ? firstLine(check.missing) : check.spread ? check.value.toFixed(3) : format(check.value)
    lines.push(`  ${verdict.padEnd(10)}  ${check.text}: ${value}${spread}`)
  }
  return [...lines, ...[...row.notes, ...row.shown ?? []].map((note) => `  ${note}`.trimEnd())].join('\n')
}

function format(value: number): string {
  const size = Math.abs(value)
  return size >= 1000 ? Math.round(value).toLocaleString('en') : value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2)
}

function firstLine(text: string): string {
  return text.split('\n').slice(0, 2).join(' ').slice(0, 300)
}
