import { fitLine } from '../fit.ts'
import { sum, total, type Sample } from '../growth-figures.ts'
import type { Grown } from '../growth-table.ts'
import { median, quantile } from '../stats.ts'
import { lineThrough, type Costs, type Line } from './costs.ts'

/** What was measured with one, ten and, but for `deep`, thirty and a hundred contexts. */
export interface Small {
  flat: readonly Sample[]
  /** Behind one hop. */
  behind: readonly Sample[]
  /** Behind one hop behind another. */
  deep: readonly Sample[]
}

/** What the simulation is fed with. Nothing of the sizes that it predicts is in it. */
export interface Fed {
  /** Targets as ten of them are side by side on one machine: caches are shared, and all cores are at work. */
  together: Costs
  /** Each target alone, as on a machine that has only this to do; the controller and hops cost what they do in `together`. */
  alone: Costs
  /** So many targets, thirty or more, behind a hop or not: the less of one is left in a cache when its turn comes again, the more its login and a call cost it. */
  crowded(count: number): Costs
}

export function fedFrom({ flat, behind, deep }: Small): Fed {
  const at = (samples: readonly Sample[], count: number, of: (sample: Sample) => number): number =>
    median(samples.filter((sample) => sample.count === count).map(of))
  const line = (samples: readonly Sample[], of: (sample: Sample) => number, many = 10): Line => lineThrough(at(samples, 1, of), at(samples, many, of), many)
  const [ones, tens] = [flat.filter(({ count }) => count === 1), [...flat, ...behind, ...deep].filter(({ count }) => count === 10)]
  // What else ran is in all of these, too, at one time more than at another: the least of them say most.
  const least = (values: readonly number[]): number => Math.max(0, quantile(values, 0.1))
  // A call to ten is shorter than the ticks in which the machine counts; one to a hundred is not.
  const hundreds = [...flat, ...behind].filter(({ count }) => count === 100)
  const kernel = { connect: least(tens.map(({ connectOther }) => connectOther / 10)), call: least(hundreds.map(({ callOther }) => callOther / 100)) }
  const costs = (count: number): Costs => ({
    direct: { connect: line(flat, ({ connectCpu }) => connectCpu.controller), call: line(flat, ({ callCpu }) => callCpu.controller, 100) },
    behind: { connect: line(behind, ({ connectCpu }) => connectCpu.controller), call: line(behind, ({ callCpu }) => callCpu.controller, 100) },
    hop: { connect: line(behind, ({ connectCpu }) => sum(connectCpu.hops)), call: line(behind, ({ callCpu }) => sum(callCpu.hops), 100) },
    session: { connect: line(behind, ({ connectCpu }) => sum(connectCpu.hopSessions)), call: line(behind, ({ callCpu }) => sum(callCpu.hopSessions), 100) },
    forward: { connect: line(deep, ({ connectCpu }) => connectCpu.hops[0] ?? NaN), call: line(deep, ({ callCpu }) => callCpu.hops[0] ?? NaN) },
    target: {
      connect: at(flat, count, ({ connectCpu }) => connectCpu.targets) / count + kernel.connect,
      call: at(flat, count, ({ callCpu }) => callCpu.targets) / count + kernel.call,
      pause: Math.max(0, least(ones.map(({ connect, connectCpu }) => connect - total(connectCpu))) - kernel.connect),
    },
  })
  const together = costs(10)
  const crowd = (count: number, of: (sample: Sample) => number, own: number): number => {
    const each = (size: number): number => at([...flat, ...behind], size, of) / size
    return ofCrowd({ thirty: each(30), hundred: each(100) }, count) + own
  }
  const crowded = (count: number): Costs => ({ ...together, target: {
    ...together.target,
    connect: crowd(count, ({ connectCpu }) => connectCpu.targets, kernel.connect),
    call: crowd(count, ({ callCpu }) => callCpu.targets, kernel.call),
  } })
  return { together, alone: costs(1), crowded }
}

/**
 * What one of so many costs, by what one of thirty and one of a hundred do: caches hold less and less of what so many need, and what
 * one costs was seen to grow by as much with each doubling of their number.
 */
function ofCrowd({ thirty, hundred }: { thirty: number; hundred: number }, count: number): number {
  return hundred <= thirty ? hundred : thirty + (hundred - thirty) * Math.log(count / 30) / Math.log(100 / 30)
}

/** MB that a controller and a hop have, and have more for each context; for sizes far beyond those measured. */
export interface MemoryLines {
  direct: Line
  behind: Line
  hop: Line
}

export function memoryLines(flat: Grown, behind: Grown): MemoryLines {
  const line = (points: readonly (readonly [number, number])[]): Line => {
    const { intercept, slope } = fitLine(points)
    return { fixed: intercept, each: slope }
  }
  return {
    direct: line(flat.memory.map(({ count, controller }) => [count, controller[0]])),
    behind: line(behind.memory.map(({ count, controller }) => [count, controller[0]])),
    hop: line(behind.memory.flatMap(({ count, hop }) => (hop === undefined ? [] : [[count, hop[0]] as const]))),
  }
}
