import type { StoredResults } from './readme-figures.ts'

export const growthMarkers = ['<!-- growth: written by `node dist/bench/run.js --readme` -->', '<!-- end of growth -->'] as const

interface StoredFit {
  shape: string
  name: string
  slope: number
  r2: number
}

interface StoredComparison {
  what: 'connect' | 'call'
  predicted: number
  measured: number
}

interface StoredPrediction {
  shape: 'flat' | 'one level' | 'two levels'
  targets: number
  rtt: number
  /** ms. */
  connect: number
  call: number
  /** MB. */
  controllerMemory: number
}

/** The README's section on many targets; '' where the results have no growth or no simulation. */
export function growthSection({ rows, machine }: StoredResults): string {
  const dataOf = <T>(name: string): T | undefined => rows.find((row) => row.name === name)?.data as T | undefined
  const fits = dataOf<{ fits: StoredFit[] }>('growth')?.fits
  const { predictions: compared, fedWith } = dataOf<{ predictions: StoredComparison[]; fedWith?: number[] }>('simulation-lab') ?? {}
  const predicted = dataOf<{ predictions: StoredPrediction[] }>('simulation')?.predictions.filter(({ rtt }) => rtt === 1)
  if (fits === undefined || compared === undefined || predicted === undefined) return ''
  const fit = (shape: string, name: string): StoredFit | undefined => fits.find((one) => one.shape === shape && one.name === name)
  const each = (shape: string, name: string): string => (fit(shape, name)?.slope ?? NaN).toPrecision(2)
  const off = (what: string): string => `${Math.round(Math.max(...compared.filter((one) => one.what === what).map((one) => Math.abs(one.predicted / one.measured - 1))) * 100)} %`
  const cell = (targets: number, shape: string): string => {
    const one = predicted.find((prediction) => prediction.targets === targets && prediction.shape === shape)
    return one === undefined ? '' : `${time(one.connect)}, ${time(one.call)}, ${(one.controllerMemory / 1000).toPrecision(2)} GB`
  }
  // Older results do not say it: theirs were fed with these.
  const given = fedWith === undefined ? ['1', 'to 10'] : [`${fedWith.slice(0, -1).join(', ')} and`, String(fedWith.at(-1))]
  const targets = [...new Set(predicted.map((one) => one.targets))].sort((a, b) => a - b)
  return [
    `**Many targets.** Measured with 1 to 200 contexts, all on a machine of ${machine.cores} cores: connecting takes time in proportion (R² ${(fit('flat', 'connect all, first call')?.r2 ?? NaN).toFixed(3)}). A controller spends`,
    `${each('flat', 'controller CPU')} ms of CPU to connect a target, ${each('behind one hop', 'controller CPU')} ms behind a hop (the hop ${each('behind one hop', 'hop CPU, all hops')} ms), and holds `
      + `${each('flat', 'controller, idle')} MB for each (R² ${(fit('flat', 'controller, idle')?.r2 ?? NaN).toFixed(2)}: V8's heap grows in steps), ${each('behind one hop', 'controller, idle')} MB behind a hop (the hop ${each('behind one hop', 'one hop, idle')} MB).`,
    `Simulated for machines with cores of their own, 1 ms apart, 200 targets per hop: connect all, a warm call to all, memory of the controller. Fed with costs of ${given[0]}`,
    `${given[1]} contexts, the simulation of connecting 60 and 200 is within ${off('connect')} of what was measured, a call to them within ${off('call')}.`,
    '',
    '| targets | flat | one level of hops | two levels |',
    '| --- | --- | --- | --- |',
    ...targets.map((count) => `| ${count.toLocaleString('en')} | ${['flat', 'one level', 'two levels'].map((shape) => cell(count, shape)).join(' | ')} |`),
    choice(predicted, targets),
  ].join('\n')
}

/** Which shape to choose, from what the largest size but one takes in each: the largest is beyond most. */
function choice(predicted: readonly StoredPrediction[], targets: readonly number[]): string {
  const typical = targets.length > 1 ? targets[1] : targets[0]
  const connect = (shape: string): number => predicted.find((one) => one.targets === typical && one.shape === shape)?.connect ?? NaN
  const [hops, second] = [connect('one level') / connect('flat'), connect('two levels') / connect('one level')]
  const first = hops > 0.9 ? 'Stay flat: hops save no time' : `Flat is simplest up to some hundreds; hops beside each other, 200 targets each, take ${part(hops)} the time for ${(typical ?? NaN).toLocaleString('en')}`
  return `\n${first}; ${second > 0.9 ? 'a second level saves nothing and is for networks that ask for it' : `a second level takes ${second.toFixed(2)} of that`}.`
}

const part = (ratio: number): string => ratio >= 0.45 && ratio <= 0.55 ? 'half' : `${ratio.toFixed(2)} of`

function time(milliseconds: number): string {
  const short = (value: number): string => value >= 10 ? String(Math.round(value)) : value.toFixed(1)
  return milliseconds >= 1000 ? `${short(milliseconds / 1000)} s` : `${short(milliseconds)} ms`
}
