import type { Sample } from '../growth-figures.ts'
import { Growth, type Shape } from '../growth-sample.ts'
import { fits, kernelShare, plots, sizes, table, undisturbed, type Grown } from '../growth-table.ts'
import { rowOf, type Benchmark, type Row } from '../harness.ts'
import type { Lab } from '../lab.ts'
import { simulationRows } from './simulation.ts'

/** Four hops stand beside each other, each with a quarter of the contexts. */
const flat: Shape = { name: 'flat', width: 0, levels: 0 }
const one: Shape = { name: 'behind one hop', width: 1, levels: 1 }
const four: Shape = { name: 'behind four hops', width: 4, levels: 1 }
/** For what a hop in between costs; with few contexts only. */
const deep: Shape = { name: 'behind a hop behind a hop', width: 1, levels: 2 }

/** [contexts, times in each round]. */
const plan = [[1, 3], [10, 3], [30, 2], [60, 2], [100, 2], [200, 2]] as const

/** Contexts on each way before anything counts: code of controller and hops is compiled then. */
const warmUp = 40

/** A controller, its hops and their targets as they grow; every one is a session of one machine's sshd. */
export const growth: Benchmark = {
  name: 'growth',
  async *rows(lab) {
    const shapes = [flat, one, four]
    const all: Grown[] = shapes.map(({ name }) => ({ shape: name, samples: [], memory: [] }))
    const growing: Growth[] = []
    for (const shape of [...shapes, deep]) growing.push(await growthOf(lab, shape))
    const between: Sample[] = []
    for (let round = 1; round <= lab.rounds(3); round++) {
      for (const [index, grown] of all.entries()) await grow(growing[index] as Growth, plan, grown, round === 1)
      await grow(growing[3] as Growth, plan.slice(0, 2), { samples: between, memory: [] }, false)
    }
    yield timeRow('growth-connect', 'connect to all at once and call each once, inline', all, ({ connect }) => connect)
    yield timeRow('growth-call', 'one warm call to all, as a group, inline', all, ({ call }) => call)
    const kernel = kernelShare(all.flatMap(({ samples }) => samples))
    const quiet = all.map((grown): Grown => ({ ...grown, samples: undisturbed(grown.samples, kernel) }))
    const [count, kept] = [all, quiet].map((list) => list.reduce((sum, { samples }) => sum + samples.length, 0))
    const left = `Samples during which other programs had more than 15 % of the machine are left out here, ${(count ?? 0) - (kept ?? 0)} of ${count}; of a size without a better one the best is kept.`
    yield summaryRow(quiet, left)
    yield* simulationRows({ flat: quiet[0] as Grown, one: quiet[1] as Grown, four: quiet[2] as Grown, deep: undisturbed(between, kernel) }, left)
  },
}

/** A server, a controller and hops of their own, which have done the same before. */
async function growthOf(lab: Lab, shape: Shape): Promise<Growth> {
  const most = Math.max(...plan.map(([count]) => count))
  const sshd = await lab.sshd({ hosts: most + shape.width * shape.levels })
  const ramet = lab.ramet()
  if ('missing' in ramet) throw new Error(ramet.missing)
  const growing = new Growth(ramet, sshd, shape)
  await growing.prepare()
  await growing.connect(warmUp * Math.max(1, shape.width))
  await growing.call()
  await growing.shrink()
  return growing
}

/** One round of all sizes. Memory is looked at while the controller has had no larger one. */
async function grow(growing: Growth, sizesAndTimes: readonly (readonly [count: number, times: number])[], { samples, memory }: Omit<Grown, 'shape'>, weigh: boolean): Promise<void> {
  for (const [count, times] of sizesAndTimes) {
    for (let time = 1; time <= times; time++) {
      samples.push({ count, ...await growing.connect(count), ...await growing.call() })
      if (weigh && time === times) memory.push(await growing.memory())
      await growing.shrink()
    }
  }
}

function timeRow(name: string, figure: string, all: readonly Grown[], of: (sample: Sample) => number): Row {
  return rowOf(name, figure, 'ms', all.flatMap(({ shape, samples }) => sizes(samples, of).map(([count]) => ({
    name: `${shape}, ${count}`, rounds: samples.filter((sample) => sample.count === count).map((sample) => [of(sample)]) }))))
}

function summaryRow(all: readonly Grown[], left: string): Row {
  const row = rowOf('growth', 'time, CPU and memory by number of contexts', 'ms, MB', [])
  row.notes.push(
    'Everything runs on this one machine, all sshd included. Behind four hops each hop has a quarter of the contexts. Memory is Private_Dirty where nothing else is said;',
    'of stubs and sessions it is the mean of up to twenty. Fits are least squares over the medians of the sizes.', left)
  row.shown = ['', ...all.flatMap((grown) => [...table(grown), '']), ...plots(all)]
  row.data = { grown: all, fits: fits(all) }
  return row
}
