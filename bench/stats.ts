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
  /** Median of the rounds' ratios, each of the medians of one round, in the rounds that both took part in: what the machine did in a round fell on both. */
  value: number
  /** Their first and third quartile: how far another run may land. */
  spread: [number, number]
}

/** Compares two series of one interleaved run: the samples of each round, in the order in which they ran, none of those that it sat out. */
export function ratioOf(ours: readonly number[][], theirs: readonly number[][]): Ratio {
  // What the machine did in a round that one of them sat out fell on the other alone.
  const each = ours.flatMap((own, round) => {
    const other = theirs[round] ?? []
    return own.length > 0 && other.length > 0 ? [median(own) / median(other)] : []
  })
  return { value: median(each), spread: [quantile(each, 0.25), quantile(each, 0.75)] }
}
