import type { Kind, Report } from './contender.ts'
import { KINDS } from './contender.ts'
import { plural, shortTime } from './figures.ts'
import type { Figures } from './figures.ts'

const WIDTH = 760
const LEFT = 150
const RIGHT = 90
const ROW = 24
const TITLES: Record<Kind, string> = { command: 'A shell command', function: 'A function' }

const STYLE = `
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .group { font-weight: 600 }
  .quiet { fill: #59636e; font-size: 12px }
  .other { fill: #9aa4af }
  .ramet { fill: #0969da }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .quiet { fill: #9198a1 }
    .other { fill: #6e7681 }
    .ramet { fill: #4493f8 }
  }
`

/**
 * A picture of the medians, for a README: no background, so that it stands on a light page as on a dark one, no script, no font
 * from elsewhere, and nothing that names the host.
 */
export function svg(report: Report, figures: readonly Figures[]): string {
  const parts: string[] = []
  let y = 24
  const text = (x: number, words: string, kind = ''): void => void parts.push(`<text x="${x}" y="${y}"${kind === '' ? '' : ` class="${kind}"`}>${escaped(words)}</text>`)
  text(0, 'Time of one call on a remote host', 'title')
  for (const line of captions(report)) {
    y += 18
    text(0, line, 'quiet')
  }
  for (const kind of KINDS) {
    const rows = figures.filter((one) => one.kind === kind)
    if (rows.length === 0) continue
    const most = Math.max(...rows.map(({ p50 }) => p50))
    y += 34
    text(0, TITLES[kind], 'group')
    for (const { id, label, p50 } of rows) {
      y += ROW
      const width = Math.max(2, (p50 / most) * (WIDTH - LEFT - RIGHT))
      text(0, label)
      parts.push(`<rect x="${LEFT}" y="${y - 13}" width="${width.toFixed(1)}" height="16" rx="2" class="${id.startsWith('ramet') ? 'ramet' : 'other'}"/>`)
      text(Math.round(LEFT + width + 8), shortTime(p50))
    }
  }
  const height = y + 16
  const words = figures.map(({ label, kind, p50 }) => `${label}, ${kind}: ${shortTime(p50)}`).join('; ')
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="t d">`,
    '<title id="t">Time of one call on a remote host</title>', `<desc id="d">${escaped(words)}</desc>`, `<style>${STYLE}</style>`, ...parts, '</svg>', '',
  ].join('\n')
}

/** Lines that fit the width. */
function captions({ calls, rounds, concurrency, payload, rtt, versions }: Report): string[] {
  const how = [
    'median; shorter is better', `up to ${plural(calls, 'call')} in ${plural(rounds, 'round')}`,
    ...(concurrency > 1 ? [`${concurrency} at once`] : []), ...(payload > 0 ? [`${payload} bytes`] : []), ...(rtt.tcp === undefined ? [] : [`round trip ${shortTime(rtt.tcp)}`]),
  ]
  const what = [`ramet ${versions.ramet}`, `Node ${versions.node}`, ...(versions.ssh === undefined ? [] : [versions.ssh.split(' ')[0]!]), versions.platform]
  return [how.join(' - '), what.join(' - ')]
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
