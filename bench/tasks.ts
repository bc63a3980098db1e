/** The functions that ramet ships to its targets; Mitogen's are in peers/mitogen_tasks.py and do the same. */
export function noop(): null {
  return null
}

export function increment(number: number): number {
  return number + 1
}
