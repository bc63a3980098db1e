import { shortTime } from './figures.ts'
import type { Figures } from './figures.ts'

/** Characters of the longest bar at most: wider ones tell no more. */
const LONGEST = 60

/** A bar for each median, in proportion to the longest. What is there at all gets one block. `width`: columns of the terminal. */
export function bars(figures: readonly Pick<Figures, 'label' | 'p50'>[], width: number, block: string): string[] {
  const left = Math.max(0, ...figures.map(({ label }) => label.length))
  const right = Math.max(0, ...figures.map(({ p50 }) => shortTime(p50).length))
  const room = Math.max(1, Math.min(LONGEST, width - left - right - 4))
  const most = Math.max(...figures.map(({ p50 }) => p50))
  return figures.map(({ label, p50 }) => `${label.padEnd(left)}  ${block.repeat(Math.max(1, Math.round((p50 / most) * room)))} ${shortTime(p50)}`)
}

/** What bars are made of where the locale says that it can be shown. */
export function blockFor(env: Record<string, string | undefined>): string {
  const locale = [env.LC_ALL, env.LC_CTYPE, env.LANG].find((value) => value !== undefined && value !== '')
  return /utf-?8/i.test(locale ?? '') ? '\u2588' : '#'
}
