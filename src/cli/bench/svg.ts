import type { Kind, Report } from './contender.ts'
import { KINDS } from './contender.ts'
import { drawn } from './drawing.ts'
import { plural, shortTime } from './figures.ts'
import type { Figures } from './figures.ts'

const TITLES: Record<Kind, string> = { command: 'A shell command', function: 'A function' }

/** A picture of the medians, for a README. Nothing in it names the host. */
export function svg(report: Report, figures: readonly Figures[]): string {
  return drawn({
    title: 'Time of one call on a remote host',
    captions: captions(report),
    groups: KINDS.map((kind) => ({
      title: TITLES[kind],
      bars: figures.filter((one) => one.kind === kind).map(({ id, label, p50 }) => ({ label, text: shortTime(p50), length: p50, ours: id.startsWith('ramet') })),
    })),
  })
}

/** Lines that fit the width. */
function captions({ calls, rounds, concurrency, payload, rtt, versions }: Report): string[] {
  const how = [
    'median; shorter is better', `up to ${plural(calls, 'call')} in ${plural(rounds, 'round')}`,
    ...(concurrency > 1 ? [`${concurrency} at once`] : []), ...(payload > 0 ? [`${payload} bytes`] : []), ...(rtt.tcp === undefined ? [] : [`round trip ${shortTime(rtt.tcp)}`]),
  ]
  const what = [`ramet ${versions.ramet}`, `Node ${versions.node}`, ...(versions.ssh === undefined ? [] : [versions.ssh.split(' ')[0]!.replace('_', ' ')]), versions.platform]
  return [how, what].map((parts) => parts.join(' \u00b7 '))
}
