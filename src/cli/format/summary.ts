import { VERDICTS } from '../outcome.ts'
import type { Summary, Verdict } from '../outcome.ts'
import { duration } from './duration.ts'
import { visibleLine } from './escape.ts'

/** Names shown of a long list. Those whose outcome is unknown are always shown in full: somebody has to look at each. */
const SHOWN = 20

/** The last lines of a run: one with the counts, then who did not make it. */
export function summaryText({ targets, counts, took, names, notStarted }: Summary): string {
  const parts = VERDICTS.filter((verdict) => verdict === 'ok' || counts[verdict] > 0).map((verdict) => `${counts[verdict]} ${verdict}`)
  const cancelled = names.cancelled.filter((name) => !notStarted.includes(name))
  const lists = targets === 1 ? [] : [list('failed', names.failed), list('unreachable', names.unreachable), list('cancelled', cancelled)]
  const always = [list('not started', notStarted), list('outcome unknown (may have run, may still run)', names.unknown, Infinity)]
  return [`${targets} target${targets === 1 ? '' : 's'}: ${parts.join(', ')} in ${duration(took)}`, ...lists.flat(), ...always.flat()]
    .map((line) => `${visibleLine(line)}\n`).join('')
}

export function emptyCounts(): Record<Verdict, number> {
  return { ok: 0, failed: 0, unreachable: 0, cancelled: 0, unknown: 0 }
}

export function emptyNames(): Record<Verdict, string[]> {
  return { ok: [], failed: [], unreachable: [], cancelled: [], unknown: [] }
}

function list(title: string, names: readonly string[], most = SHOWN): string[] {
  if (names.length === 0) return []
  const more = names.length > most ? ` and ${names.length - most} more` : ''
  return [`${title}: ${names.slice(0, most).join(', ')}${more}`]
}
