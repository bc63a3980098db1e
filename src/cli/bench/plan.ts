/** Rounds in which contenders take turns: what disturbs the machine or the network for a while then meets them all. */
const ROUNDS = 5

/** What one contender's calls of one kind are expected to take. */
export interface Estimate {
  /** Milliseconds of one call, as the wall sees it: calls at once share them. */
  each: number
}

/** So many rounds that there are calls enough in each to make so many at once. */
export function roundsFor(calls: number, atOnce: number): number {
  return Math.max(1, Math.min(ROUNDS, Math.floor(calls / atOnce)))
}

/**
 * How many calls each makes, so that all of them together keep within `budget` ms: those who can make all that are asked for do,
 * the others get the same time each, and one call at least.
 */
export function shareOut(estimates: readonly Estimate[], asked: number, budget: number): number[] {
  const order = estimates.map(({ each }, index) => ({ each: Math.max(each, 1e-6), index })).sort((a, b) => a.each - b.each)
  const counts = estimates.map(() => asked)
  let left = budget
  let others = order.length
  for (const { each, index } of order) {
    const share = Math.max(0, left / others)
    const calls = Math.max(1, Math.min(asked, Math.floor(share / each)))
    counts[index] = calls
    left -= calls * each
    others--
  }
  return counts
}

/**
 * The calls that belong into a round (from 0), so that all rounds together have `calls`, and the first ones no fewer. Who has too few
 * calls to make so many at once in every round sits some rounds out.
 */
export function callsInRound(calls: number, rounds: number, round: number, atOnce: number): number {
  const turns = Math.max(1, Math.min(rounds, Math.floor(calls / atOnce)))
  return parts(calls, turns, parts(turns, rounds, round + 1)) - parts(calls, turns, parts(turns, rounds, round))
}

/** How much of a whole lies before one of its equal parts. */
function parts(whole: number, count: number, before: number): number {
  return Math.ceil((whole * before) / count)
}

/** Milliseconds that the plan takes. */
export function planned(estimates: readonly Estimate[], counts: readonly number[]): number {
  return estimates.reduce((sum, { each }, index) => sum + each * (counts[index] ?? 0), 0)
}

/** Milliseconds that counting takes behind calls that take so long: what it needs, but no more than what they leave of the time. */
export function countingBehind(calls: number, needed: number, left: number): number {
  return Math.max(0, Math.min(needed, left - calls))
}

/** The same list, beginning elsewhere in each round: nobody is always first. */
export function rotated<T>(list: readonly T[], by: number): T[] {
  const at = list.length === 0 ? 0 : by % list.length
  return [...list.slice(at), ...list.slice(0, at)]
}
