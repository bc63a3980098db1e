import type { Driver } from '../driver.ts'
import { Growth, type Sample, type Shape } from '../growth-sample.ts'
import { fits, plots, sizes, table, type Grown } from '../growth-table.ts'
import { rowOf, type Benchmark, type Row } from '../harness.ts'
import type { Lab } from '../lab.ts'

/** Four hops stand beside each other, each with a quarter of the contexts. */
const shapes: readonly Shape[] = [
  { name: 'flat', width: 0, levels: 0 },
  { name: 'behind one hop', width: 1, levels: 1 },
  { name: 'behind four hops', width: 4, levels: 1 },
]

/** [contexts, rounds]. */
const plan = [[1, 8], [10, 5], [60, 3], [200, 2]] as const

/** Contexts on each way before anything counts: code of controller and hops is compiled then. */
const warmUp = 40

/** A controller, its hops and their targets as they grow; every one is a session of one machine's sshd. */
export const growth: Benchmark = {
  name: 'growth',
  async *rows(lab) {
    const all: Grown[] = []
    for (const shape of shapes) all.push(await grownOf(lab, shape))
    yield timeRow('growth-connect', 'connect to all at once and call each once, inline', all, ({ connect }) => connect, lab)
    yield timeRow('growth-call', 'one warm call to all, as a group, inline', all, ({ call }) => call, lab)
    yield summaryRow(all)
  },
}

async function grownOf(lab: Lab, shape: Shape): Promise<Grown> {
  return inGrowth(lab, shape, async (growing) => {
    const grown: Grown = { shape: shape.name, samples: [], memory: [] }
    for (const [count, full] of plan) {
      const rounds = lab.short ? Math.ceil(full / 2) : full
      for (let round = 1; round <= rounds; round++) {
        grown.samples.push({ count, ...await growing.connect(count), ...await growing.call() })
        if (round === rounds) grown.memory.push(await growing.memory())
        await growing.shrink()
      }
    }
    return grown
  })
}

/** A server, a controller and hops of their own, which have done the same before. */
async function inGrowth<T>(lab: Lab, shape: Shape, work: (growing: Growth) => Promise<T>): Promise<T> {
  const most = Math.max(...plan.map(([count]) => count))
  const sshd = await lab.sshd({ hosts: most + shape.width * shape.levels })
  const ramet = lab.ramet()
  if ('missing' in ramet) throw new Error(ramet.missing)
  const growing = new Growth(ramet, sshd, shape)
  await growing.prepare()
  await growing.connect(warmUp * Math.max(1, shape.width))
  await growing.shrink()
  const result = await work(growing)
  await closed(ramet)
  await sshd.close()
  return result
}

/** Before its server, so that nobody hears of a lost link. */
const closed = (ramet: Driver): Promise<void> => ramet.close()

function timeRow(name: string, figure: string, all: readonly Grown[], of: (sample: Sample) => number, lab: Lab): Row {
  const row = rowOf(name, figure, 'ms', all.flatMap(({ shape, samples }) => sizes(samples, of).map(([count]) => ({
    name: `${shape}, ${count}`, rounds: samples.filter((sample) => sample.count === count).map((sample) => [of(sample)]) }))))
  if (lab.short) row.notes.push('A quick look: half the rounds.')
  return row
}

function summaryRow(all: readonly Grown[]): Row {
  const row = rowOf('growth', 'time, CPU and memory by number of contexts', 'ms, MB', [])
  row.notes.push(
    'Everything runs on this one machine, all sshd included. Behind four hops each hop has a quarter of the contexts. Memory is Private_Dirty where nothing else is said;',
    'of stubs and sessions it is the mean of up to twenty. Fits are least squares over the medians of the sizes.',
    `What else ran on the machine took ${others(all)} of its CPU time while connecting, by size: ${all[0] === undefined ? '' : sizes(all[0].samples, () => 0).map(([count]) => count).join(', ')}.`)
  row.shown = ['', ...all.flatMap((grown) => [...table(grown), '']), ...plots(all)]
  row.data = { grown: all, fits: fits(all) }
  return row
}

function others(all: readonly Grown[]): string {
  return sizes(all.flatMap(({ samples }) => samples), (sample) => sample.others).map(([, part]) => `${Math.round(part * 100)} %`).join(', ')
}
