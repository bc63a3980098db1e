import type { Row } from './harness.ts'

/** What a run comes to, as lines for the screen, and whether every figure is met. `short`: whether it made a tenth of the calls. */
export function verdicts(rows: readonly Row[], { short }: { short: boolean }): { lines: string[]; allMet: boolean } {
  const checks = rows.flatMap((row) => row.checks.map((check) => ({ row: row.name, ...check })))
  const missed = checks.filter(({ met }) => met === false)
  const without = checks.filter(({ missing }) => missing !== undefined)
  const lines = [
    `${checks.filter(({ met }) => met === true).length} figures met, ${missed.length} missed, ${without.length} without a verdict`,
    ...missed.map(({ row, text, value }) => `  missed      ${row}: ${text}: ${value.toPrecision(3)}`),
    ...without.map(({ row, text }) => `  no verdict  ${row}: ${text}`),
  ]
  if (short && missed.length > 0) lines.push('A quick look makes a tenth of the calls: Node has hardly compiled anything by then, so what is missed here may be met; --samples 3 makes all calls, in few rounds.')
  return { lines, allMet: missed.length + without.length === 0 }
}
