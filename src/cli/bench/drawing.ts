/** A bar with its name before it and its figure behind it. */
export interface Bar {
  label: string
  text: string
  /** Length in any unit that all bars of the group have in common. */
  length: number
  /** Length of a second bar under it, in the same unit: what this one is to be compared with. */
  against?: number
  ours: boolean
}

export interface Group {
  title: string
  bars: readonly Bar[]
}

export interface Drawing {
  title: string
  /** Paragraphs under the title. */
  captions: readonly string[]
  /** What the two colours are, where the names of the bars do not tell. */
  legend?: { ours: string; other: string }
  groups: readonly Group[]
  /** Lengths of different groups are comparable. Default: each group has a scale of its own. */
  oneScale?: boolean
}

const WIDTH = 800
const EDGE = 20
const GAP = 10
const ROW = 24
const THICK = 16
/** Width of a character of 13 pixels: fonts differ, and a wide one must not run into the bars. */
const LETTER = 7.5
/** Pixels of what is there, but too short to be seen. */
const SHORTEST = 2

const STYLE = `
  text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .group { font-weight: 600 }
  .quiet { fill: #59636e; font-size: 12px }
  .page { fill: #ffffff; stroke: #d1d9e0 }
  .other { fill: #afb8c1 }
  .ours { fill: #0969da }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .quiet { fill: #9198a1 }
    .page { fill: #0d1117; stroke: #3d444d }
    .other { fill: #545d68 }
    .ours { fill: #4493f8 }
  }
`

/**
 * Bars as SVG for a README. It has a background of its own: a reader's page may be dark while the system says light. No script, and
 * no font from elsewhere. Groups without bars are left out; the longest bar of a scale takes all the room there is.
 */
export function drawn({ title, captions, legend, groups, oneScale = false }: Drawing): string {
  const shown = groups.filter(({ bars }) => bars.length > 0)
  const all = shown.flatMap(({ bars }) => bars)
  const left = EDGE + roomFor(all.map(({ label }) => label)) + GAP
  const room = WIDTH - EDGE - roomFor(all.map(({ text }) => text)) - GAP - left
  const parts: string[] = []
  let y = EDGE + 14
  const text = (x: number, words: string, kind = ''): void => void parts.push(`<text x="${x}" y="${y}"${kind === '' ? '' : ` class="${kind}"`}>${escaped(words)}</text>`)
  const bar = (x: number, width: number, kind: 'ours' | 'other', from = 0, thick = THICK): void =>
    void parts.push(`<rect x="${x}" y="${y - 13 + from}" width="${width.toFixed(1)}" height="${thick}" rx="2" class="${kind}"/>`)
  text(EDGE, title, 'title')
  for (const line of captions.flatMap((caption) => wrapped(caption))) {
    y += 18
    text(EDGE, line, 'quiet')
  }
  if (legend !== undefined) {
    y += 22
    let x = EDGE
    for (const kind of ['ours', 'other'] as const) {
      bar(x, THICK, kind)
      text(x + THICK + 6, legend[kind], 'quiet')
      x += THICK + 6 + roomFor([legend[kind]]) + 2 * GAP
    }
  }
  for (const group of shown) {
    const most = Math.max(...(oneScale ? all : group.bars).flatMap(({ length, against = 0 }) => [length, against]))
    const pixels = (length: number): number => Math.max(SHORTEST, (length / most) * room)
    y += 34
    text(EDGE, group.title, 'group')
    for (const { label, text: figure, length, against, ours } of group.bars) {
      y += ROW
      text(EDGE, label)
      bar(left, pixels(length), ours ? 'ours' : 'other', 0, against === undefined ? THICK : THICK / 2)
      if (against !== undefined) bar(left, pixels(against), 'other', THICK / 2, THICK / 2)
      text(Math.round(left + pixels(Math.max(length, against ?? 0)) + 8), figure)
    }
  }
  const height = y + EDGE
  const words = shown.map((group) => `${group.title}: ${group.bars.map(({ label, text: figure }) => `${label} ${figure}`).join('; ')}`).join('. ')
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="t d">`,
    `<title id="t">${escaped(title)}</title>`, `<desc id="d">${escaped(words)}</desc>`, `<style>${STYLE}</style>`,
    `<rect x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="6" class="page"/>`, ...parts, '</svg>', '',
  ].join('\n')
}

function wrapped(paragraph: string): string[] {
  const lines: string[] = []
  for (const word of paragraph.split(' ')) {
    const longer = lines.length === 0 ? word : `${lines.at(-1)} ${word}`
    if (lines.length > 0 && roomFor([longer]) <= WIDTH - 2 * EDGE) lines[lines.length - 1] = longer
    else lines.push(word)
  }
  return lines
}

function roomFor(texts: readonly string[]): number {
  return Math.ceil(Math.max(0, ...texts.map((text) => text.length)) * LETTER)
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
