import { fitLine } from '../fit.ts'
import { sum, total, type Sample } from '../growth-figures.ts'
import type { Grown } from '../growth-table.ts'
import { median, quantile } from '../stats.ts'
import { lineThrough, type Costs, type Line } from './costs.ts'

/** What was measured apart from the shapes themselves, with one and with ten contexts. */
export interface Small {
  flat: readonly Sample[]
  /** Behind one hop. */
  behind: readonly Sample[]
  /** Behind one hop behind another. */
  deep: readonly Sample[]
  /** ms of CPU of ten targets for one call while caches hold nothing of them for long. */
  crowded: readonly number[]
}

/** What the simulation is fed with. Nothing of the sizes that it predicts is in it. */
export interface Fed {
  /** Ten contexts side by side on one machine: caches are shared, and all cores are at work. */
  together: Costs
  /** One context at a time: each machine has only its own to do. */
  alone: Costs
  /** The same, when so many are called at once that nothing of one is left in a cache when its turn comes again. */
  crowded: Costs
}

export function fedFrom({ flat, behind, deep, crowded }: Small): Fed {
  const at = (samples: readonly Sample[], count: number, of: (sample: Sample) => number): number =>
    median(samples.filter((sample) => sample.count === count).map(of))
  const line = (samples: readonly Sample[], of: (sample: Sample) => number): Line => lineThrough(at(samples, 1, of), at(samples, 10, of))
  const [ones, tens] = [flat.filter(({ count }) => count === 1), [...flat, ...behind, ...deep].filter(({ count }) => count === 10)]
  // What else ran is in all of these, too, at one time more than at another: the least of them say most.
  const least = (values: readonly number[]): number => Math.max(0, quantile(values, 0.1))
  const kernel = { connect: least(tens.map(({ connectOther }) => connectOther / 10)), call: least(tens.map(({ callOther }) => callOther / 10)) }
  const costs = (count: number): Costs => ({
    direct: { connect: line(flat, ({ connectCpu }) => connectCpu.controller), call: line(flat, ({ callCpu }) => callCpu.controller) },
    behind: { connect: line(behind, ({ connectCpu }) => connectCpu.controller), call: line(behind, ({ callCpu }) => callCpu.controller) },
    hop: { connect: line(behind, ({ connectCpu }) => sum(connectCpu.hops)), call: line(behind, ({ callCpu }) => sum(callCpu.hops)) },
    session: { connect: line(behind, ({ connectCpu }) => sum(connectCpu.hopSessions)), call: line(behind, ({ callCpu }) => sum(callCpu.hopSessions)) },
    forward: { connect: line(deep, ({ connectCpu }) => connectCpu.hops[0] ?? NaN), call: line(deep, ({ callCpu }) => callCpu.hops[0] ?? NaN) },
    target: {
      connect: at(flat, count, ({ connectCpu }) => connectCpu.targets) / count + kernel.connect,
      call: at(flat, count, ({ callCpu }) => callCpu.targets) / count + kernel.call,
      pause: Math.max(0, least(ones.map(({ connect, connectCpu }) => connect - total(connectCpu))) - kernel.connect),
    },
  })
  const together = costs(10)
  const call = Math.max(together.target.call, median(crowded) / 10 + kernel.call)
  return { together, alone: costs(1), crowded: { ...together, target: { ...together.target, call } } }
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
