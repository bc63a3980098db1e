import { availableParallelism } from 'node:os'
import type { Sample } from '../growth-figures.ts'
import { columns, short, type Grown } from '../growth-table.ts'
import { rowOf, type Row } from '../harness.ts'
import { fedFrom, memoryLines } from '../simulation/measured.ts'
import { cores, overrun, perHop, predictAll, predictLab, type Predicted } from '../simulation/predict.ts'
import { median, quantile } from '../stats.ts'

export interface Measured {
  flat: Grown
  one: Grown
  four: Grown
  deep: readonly Sample[]
}

/** The sizes whose costs the simulation is fed with. */
const fedWith = [1, 10, 30, 100] as const

/** The sizes that it has to predict: one among those that it is fed with, one beyond them. */
const predicted = [60, 200] as const

/** How far a prediction may be from what was measured. */
const tolerance = 0.2

export function* simulationRows({ flat, one, four, deep }: Measured, left: string): Generator<Row> {
  const others = (samples: readonly Sample[]): Sample[] => samples.filter(({ count }) => fedWith.some((size) => size === count))
  const small = { flat: others(flat.samples), behind: others(one.samples), deep }
  const fed = fedFrom(small)
  const longer = overrun(fed, small, availableParallelism())
  const row = rowOf('simulation-lab', 'what the simulation says of this machine, as a part of what was measured', 'ms', [])
  const data: object[] = []
  for (const what of ['connect', 'call'] as const) {
    for (const [grown, hops] of [[flat, []], [one, [1]], [four, [4]]] as const) {
      for (const count of predicted) {
        const samples = grown.samples.filter((sample) => sample.count === count)
        const measured = median(samples.map((sample) => sample[what]))
        const said = predictLab(fed, count, hops, availableParallelism())[what] * longer[what]
        data.push({ what, shape: grown.shape, count, measured, predicted: said })
        const text = `${what}, ${grown.shape}, ${count}: ${short(said)} predicted / ${short(measured)} measured, ${1 - tolerance} to ${1 + tolerance}`
        row.checks.push({ text, value: said / measured, spread: spreadOf(samples.map((sample) => said / sample[what])), met: Math.abs(said / measured - 1) <= tolerance })
      }
    }
  }
  row.notes.push('Fed with CPU costs measured with 1 and 10 contexts, flat, behind one hop and behind two. A call: with 1 and 100. What a login and a call cost a target grows by',
    'as much with each doubling of their number: told from what they cost with 30 and with 100. What leaves a process in one tick is made before the first of it is written.',
    `The machine does not keep every core at work, as the simulation does: with 100 it took ${longer.connect.toFixed(2)} times as long to connect and ${longer.call.toFixed(2)} times as long for a call, and so it is taken to do with all.`,
    'Nothing measured with 60 or 200 contexts or behind four hops is in it; they only have a say in which samples count as disturbed. 60 lies among the sizes that it is fed with, 200 beyond.', left)
  // In full: who has the file can predict each size again.
  const { together, alone, crowded } = fed
  row.data = { fed: { together, alone, crowded: predicted.map((count) => ({ count, costs: crowded(count) })), longer }, fedWith, deep, predictions: data }
  yield row
  yield largeRow(predictAll(fed, memoryLines(flat, one)))
}

const spreadOf = (ratios: readonly number[]): [number, number] => [quantile(ratios, 0.25), quantile(ratios, 0.75)]

function largeRow(all: readonly Predicted[]): Row {
  const row = rowOf('simulation', 'beyond this machine: each controller, hop and target on a machine of its own', 's, MB', [])
  const seconds = (milliseconds: number): string => short(milliseconds / 1000)
  row.notes.push(`Simulated, not measured. A target costs what one alone costs on this machine, and its controller and hops what each further one of the first ten (for a call, of the first hundred) costs them; ${cores} cores each; ${perHop} targets behind each hop of the last level. Memory goes on as it grows from 1 to 200 contexts.`)
  row.shown = ['', ...columns([
    ['shape, targets', 'hops', 'RTT ms', 'at once', 'connect s', 'slowest ms', 'call s', 'controller CPU s', 'per call s', 'controller MB', 'busiest hop CPU s', 'per call ms', 'hop MB'],
    ...all.map((one) => [`${one.shape}, ${one.targets.toLocaleString('en')}`, one.hops.join(' + ') || '-', String(one.rtt), String(one.window), seconds(one.connect), short(one.slowest), seconds(one.call),
      seconds(one.controllerCpu.connect), seconds(one.controllerCpu.call), short(one.controllerMemory),
      ...(one.hopMemory === undefined ? ['-', '-', '-'] : [seconds(one.hopCpu.connect), short(one.hopCpu.call), short(one.hopMemory)])]),
  ])]
  row.data = { predictions: all }
  return row
}
