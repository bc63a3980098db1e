/** Milliseconds for people: '0.42 s', '12.3 s', '2 min 5 s', '1 h 3 min'. */
export function duration(ms: number): string {
  const seconds = ms / 1000
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`
}

/** Seconds with three decimals, as programs get them. */
export function seconds(ms: number): number {
  return Math.round(ms) / 1000
}
