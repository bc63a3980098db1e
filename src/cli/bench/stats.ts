/** The quantile of samples in any order, linear between neighbours; undefined for none. */
export function quantile(samples: readonly number[], q: number): number | undefined {
  const sorted = [...samples].sort((a, b) => a - b)
  const at = (sorted.length - 1) * q
  const low = sorted[Math.floor(at)]
  const high = sorted[Math.ceil(at)]
  return low === undefined || high === undefined ? undefined : low + (high - low) * (at - Math.floor(at))
}
