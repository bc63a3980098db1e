export interface Paint {
  bold(text: string): string
  dim(text: string): string
  good(text: string): string
  bad(text: string): string
  odd(text: string): string
}

type Wrap = (text: string) => string

/** Colours, or none: off a terminal, with NO_COLOR set to anything (no-color.org), on a terminal that is dumb. */
export function paintFor(isTTY: boolean, env: Record<string, string | undefined>): Paint {
  const on = isTTY && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb'
  const sgr = (open: number, close: number): Wrap => on ? (text) => `\u001b[${open}m${text}\u001b[${close}m` : (text) => text
  return { bold: sgr(1, 22), dim: sgr(2, 22), good: sgr(32, 39), bad: sgr(31, 39), odd: sgr(33, 39) }
}
