import { availableParallelism } from 'node:os'
import { fitLine, type Fit, type Point } from './fit.ts'
import { sum, total, type Memory, type Sample } from './growth-figures.ts'
import { plot } from './plot.ts'
import { median } from './stats.ts'

/** All that was measured of one shape. */
export interface Grown {
  shape: string
  /** Several of each size. */
  samples: Sample[]
  memory: Memory[]
}

/** Which figure of a sample grows, and how it is written. */
export interface Quantity {
  name: string
  unit: 'ms' | 'MB'
  points: (grown: Grown) => Point[]
}

/** One line of a fit: what it is of, and the fit per context. */
export interface FitLine extends Fit {
  shape: string
  name: string
  unit: string
}

/** The median of each size. */
export function sizes(samples: readonly Sample[], of: (sample: Sample) => number): Point[] {
  const counts = [...new Set(samples.map(({ count }) => count))].sort((a, b) => a - b)
  return counts.map((count) => [count, median(samples.filter((sample) => sample.count === count).map(of))])
}

/** More than this part of the machine's time for others, and a sample says little of us. */
const disturbance = 0.15

/** ms of CPU per login and per call to one context that no process is ever charged with. */
export interface KernelShare {
  connect: number
  call: number
}

/** The part of the machine's time that other programs had during a sample, while connecting or while calling. */
function others({ count, connect, connectOther, call, callOther }: Sample, kernel: KernelShare, cores: number): number {
  const connecting = (connectOther - kernel.connect * count) / (connect * cores)
  // A call to a few is shorter than the ticks in which the machine counts.
  return Math.max(connecting, count < 60 ? 0 : (callOther - kernel.call * count) / (call * cores))
}

/** The samples during which nothing else took much, size by size; of a size without any, the one during which the others took least. */
export function undisturbed(samples: readonly Sample[], kernel: KernelShare, cores = availableParallelism()): Sample[] {
  const counts = [...new Set(samples.map(({ count }) => count))]
  return counts.flatMap((count) => {
    const all = samples.filter((sample) => sample.count === count).sort((a, b) => others(a, kernel, cores) - others(b, kernel, cores))
    return all.filter((sample, index) => index === 0 || others(sample, kernel, cores) <= disturbance)
  })
}

/** As far as all samples have it. */
export function kernelShare(samples: readonly Sample[]): KernelShare {
  const least = (from: number, of: (sample: Sample) => number): number =>
    Math.max(0, Math.min(...samples.filter(({ count }) => count >= from).map((sample) => of(sample) / sample.count)))
  return { connect: least(10, ({ connectOther }) => connectOther), call: least(60, ({ callOther }) => callOther) }
}

const sampled = (name: string, of: (sample: Sample) => number): Quantity => ({ name, unit: 'ms', points: ({ samples }) => sizes(samples, of) })
const held = (name: string, of: (memory: Memory) => number | undefined): Quantity => ({
  name, unit: 'MB', points: ({ memory }) => memory.flatMap((one): Point[] => (of(one) === undefined ? [] : [[one.count, of(one) as number]])) })

export const quantities: readonly Quantity[] = [
  sampled('connect all, first call', ({ connect }) => connect),
  sampled('  controller CPU', ({ connectCpu }) => connectCpu.controller),
  sampled('  hop CPU, all hops', ({ connectCpu }) => sum(connectCpu.hops) + sum(connectCpu.hopSessions)),
  sampled('  target CPU, all targets', ({ connectCpu }) => connectCpu.targets),
  sampled('warm call to all', ({ call }) => call),
  sampled('  controller CPU, call', ({ callCpu }) => callCpu.controller),
  sampled('  hop CPU, call', ({ callCpu }) => sum(callCpu.hops) + sum(callCpu.hopSessions)),
  sampled('  target CPU, call', ({ callCpu }) => callCpu.targets),
  held('controller, idle', ({ controller }) => controller[0]),
  held('controller, idle, RSS', ({ controller }) => controller[1]),
  held('one hop, idle', ({ hop }) => hop?.[0]),
  held('one hop, idle, RSS', ({ hop }) => hop?.[1]),
  held('one stub, idle', ({ stub }) => stub[0]),
  held("one target's sshd, idle", ({ session }) => session[0]),
]

/** Which quantities a shape has: where there is no hop, none costs anything. */
function has(points: readonly Point[]): boolean {
  return points.some(([, value]) => value > 0)
}

export function fits(all: readonly Grown[]): FitLine[] {
  return all.flatMap((grown) => quantities.flatMap(({ name, unit, points }) => {
    const own = points(grown)
    return has(own) ? [{ shape: grown.shape, name: name.trim(), unit, ...fitLine(own) }] : []
  }))
}

export function table(grown: Grown): string[] {
  const counts = sizes(grown.samples, () => 0).map(([count]) => count)
  const rows = quantities.flatMap(({ name, unit, points }): string[][] => {
    const own = points(grown)
    if (!has(own)) return []
    const { intercept, slope, r2 } = fitLine(own)
    const cells = counts.map((count) => short(own.find(([x]) => x === count)?.[1]))
    return [[`${name} [${unit}]`, ...cells, `${short(intercept)} + ${slope.toPrecision(3)} each`, r2.toFixed(3)]]
  })
  return columns([[`${grown.shape}, contexts:`, ...counts.map(String), 'fit', 'R²'], ...rows])
}

/** Left column to the left, the others to the right. */
export function columns(rows: readonly string[][]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) => row.map((cell, column) => column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)).join('  '))
}

export function short(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return '-'
  const size = Math.abs(value)
  return size >= 1000 ? Math.round(value).toLocaleString('en') : value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2)
}

const marks = ['f', '1', '4']

/** Times and CPU of the shapes beside each other. */
export function plots(all: readonly Grown[]): string[] {
  const of = (y: string, figure: (sample: Sample) => number): string[] => plot(
    all.map(({ shape, samples }, index) => ({ name: shape, mark: marks[index] ?? '*', points: sizes(samples, figure) })), { x: 'contexts', y })
  return [
    ...of('ms until all are connected and have answered', ({ connect }) => connect), '',
    ...of('ms of a warm call to all', ({ call }) => call), '',
    ...of('ms of CPU of everybody for connecting', ({ connectCpu }) => total(connectCpu)),
  ]
}
