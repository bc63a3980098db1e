import type { Point } from './fit.ts'

export interface Curve {
  name: string
  /** One character; where curves meet, the first one is seen. */
  mark: string
  points: readonly Point[]
}

/** Curves on two logarithmic axes, as lines of text: a straight line that rises by 45 degrees is growth in proportion. */
export function plot(curves: readonly Curve[], { width = 60, height = 14, x, y }: { width?: number; height?: number; x: string; y: string }): string[] {
  const points = curves.flatMap((curve) => curve.points).filter(drawable)
  if (points.length === 0) return []
  const [left, right] = span(points.map(([value]) => value))
  const [bottom, top] = span(points.map(([, value]) => value))
  const cells = Array.from({ length: height }, () => Array<string>(width).fill(' '))
  const at = (value: number, [from, to]: [number, number], steps: number): number => Math.round(((Math.log10(value) - from) / (to - from)) * (steps - 1))
  for (const { mark, points: own } of [...curves].reverse()) {
    for (const [px, py] of own.filter(drawable)) {
      const row = cells[height - 1 - at(py, [bottom, top], height)]
      if (row) row[at(px, [left, right], width)] = mark
    }
  }
  const label = (row: number): string => {
    const value = 10 ** (bottom + ((top - bottom) * (height - 1 - row)) / (height - 1))
    return row % 4 === 0 || row === height - 1 ? Number(value.toPrecision(2)).toLocaleString('en') : ''
  }
  const ends = [left, right].map((end) => Math.round(10 ** end).toLocaleString('en')) as [string, string]
  return [
    `${y}; both axes logarithmic`,
    ...cells.map((row, index) => `${label(index).padStart(9)} |${row.join('').trimEnd()}`),
    `${''.padStart(9)} +${'-'.repeat(width)}`,
    `${''.padStart(11)}${ends[0]}${ends[1].padStart(width - ends[0].length)} ${x}`,
    `${''.padStart(11)}${curves.map(({ mark, name }) => `${mark} ${name}`).join('   ')}`,
  ]
}

const drawable = ([x, y]: Point): boolean => x > 0 && y > 0 && Number.isFinite(x) && Number.isFinite(y)

/** As exponents of ten, never of no width. */
function span(values: readonly number[]): [number, number] {
  const [from, to] = [Math.log10(Math.min(...values)), Math.log10(Math.max(...values))]
  return from === to ? [from, from + 1] : [from, to]
}
