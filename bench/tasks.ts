/** The functions that ramet ships to its targets; Mitogen's are in peers/mitogen_tasks.py and do the same. */
export function noop(): null {
  return null
}

export function increment(number: number): number {
  return number + 1
}

/** Computes for so many milliseconds without a break. */
export function spin(milliseconds: number): number {
  const end = Date.now() + milliseconds
  let turns = 0
  while (Date.now() < end) turns++
  return turns
}
