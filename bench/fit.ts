/** y = intercept + slope × x, and how much of what y varies by that explains. */
export interface Fit {
  intercept: number
  slope: number
  r2: number
}

export type Point = readonly [x: number, y: number]

/** Least squares. NaN for fewer than two different x. */
export function fitLine(points: readonly Point[]): Fit {
  const mean = (of: (point: Point) => number): number => points.reduce((sum, point) => sum + of(point), 0) / points.length
  const [x, y] = [mean((point) => point[0]), mean((point) => point[1])]
  const slope = mean((point) => (point[0] - x) * (point[1] - y)) / mean((point) => (point[0] - x) ** 2)
  const intercept = y - slope * x
  const left = mean((point) => (point[1] - intercept - slope * point[0]) ** 2)
  const all = mean((point) => (point[1] - y) ** 2)
  return { intercept, slope, r2: all === 0 ? 1 : 1 - left / all }
}
