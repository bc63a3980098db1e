import { median } from '../stats.ts'
import type { Line } from './costs.ts'
import type { Fed, MemoryLines, Small } from './measured.ts'
import { simulate, type Outcome } from './tree.ts'

/** The laboratory with many contexts: all of it on one machine, the hops open before the clock starts. */
export function predictLab({ crowded }: Fed, count: number, hops: readonly number[], cores: number): Outcome {
  return simulate({ targets: count, hops, shared: true, cores, rtt: 0, window: Infinity, hopsOpen: true }, crowded(count))
}

/**
 * How many times as long as simulated a hundred contexts take in the laboratory, flat and behind one hop. The simulation keeps every core at
 * work while a thread waits; the kernel does not quite: during calls the cores stood idle for 5 to 16 % of the time (/proc/stat).
 */
export function overrun(fed: Fed, { flat, behind }: Pick<Small, 'flat' | 'behind'>, cores: number): { connect: number; call: number } {
  const of = (what: 'connect' | 'call'): number => median(([[flat, []], [behind, [1]]] as const).map(([samples, hops]) =>
    median(samples.filter(({ count }) => count === 100).map((sample) => sample[what])) / predictLab(fed, 100, hops, cores)[what]))
  return { connect: of('connect'), call: of('call') }
}

/** Targets behind one hop of the last level. */
export const perHop = 200

/** Cores of each machine of a deployment. */
export const cores = 2

export const sizes = [1_000, 10_000, 100_000] as const

/** ms between two machines and back, and connects under way at once: in one data centre with `ramet`'s default of --concurrency, and between two with more. */
export const networks = [{ rtt: 1, window: 100 }, { rtt: 50, window: 1000 }] as const

export interface Predicted extends Outcome {
  shape: 'flat' | 'one level' | 'two levels'
  targets: number
  hops: number[]
  rtt: number
  window: number
  /** MB. */
  controllerMemory: number
  hopMemory?: number
}

/** Every size and shape, each process on a machine of its own, the hops' own connects counted in. */
export function predictAll({ alone }: Fed, memory: MemoryLines): Predicted[] {
  const found: Predicted[] = []
  for (const { rtt, window } of networks) for (const targets of sizes) for (const [shape, hops] of shapesOf(targets)) {
    const outcome = simulate({ targets, hops, shared: false, cores, rtt, window, hopsOpen: false }, alone)
    const controllerMemory = hops.length === 0 ? at(memory.direct, targets) : at(memory.behind, targets) + (hops[0] ?? 0) * memory.direct.each
    found.push({ shape, targets, hops: [...hops], rtt, window, ...outcome, controllerMemory, ...(hops.length === 0 ? {} : { hopMemory: at(memory.hop, perHop) }) })
  }
  return found
}

function shapesOf(targets: number): [Predicted['shape'], number[]][] {
  const last = Math.ceil(targets / perHop)
  return [['flat', []], ['one level', [last]], ['two levels', [Math.ceil(Math.sqrt(last)), last]]]
}

const at = ({ fixed, each }: Line, count: number): number => fixed + each * count
