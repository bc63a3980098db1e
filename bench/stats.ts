/** The quantile of samples in any order, linear between neighbours. NaN for none. */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b)
  const at = (sorted.length - 1) * q
  const low = sorted[Math.floor(at)] ?? NaN
  const high = sorted[Math.ceil(at)] ?? NaN
  return low + (high - low) * (at - Math.floor(at))
}

export const median = (samples: readonly number[]): number => quantile(samples, 0.5)

export interface Ratio {
  /** Median of all samples of the one over median of all samples of the other. */
  value: number
  /** First and third quartile of the same ratio taken round by round: how far another run may land. */
  spread: [number, number]
}

/** Compares two series of one interleaved run. `rounds` hold the samples of each round, in the order in which they ran. */
export function ratioOf(ours: readonly number[][], theirs: readonly number[][]): Ratio {
  const each: number[] = []
  for (let i = 0; i < Math.min(ours.length, theirs.length); i++) each.push(median(ours[i] ?? []) / median(theirs[i] ?? []))
  return { value: median(ours.flat()) / median(theirs.flat()), spread: [quantile(each, 0.25), quantile(each, 0.75)] }
}
