import type { StoredResults } from './readme-figures.ts'

type Row = StoredResults['rows'][number]

/** Why a goal was missed, by the row's name. Longer in PROFILE.md, where it is known so well. */
const why: readonly [row: RegExp, reason: string | ((row: Row) => string)][] = [
  [/^fleet60$/, 'a Worker takes 17 ms of CPU on Node 20, and one machine is all 60 targets'],
  [/^fleet60-memory$/, "half of that is V8's young generation, which grows once"],
  [/^exec/, 'Node starts a process in 0.6 ms, Python in 0.2'],
  [/^cli32$/, 'two thirds of it is the work of 32 logins at the servers, on the same two cores'],
  [/^hundred$/, ({ series }) => {
    const [ours = NaN, theirs = NaN] = ['ramet', '100 × ssh'].map((side) => series.find(({ name }) => name === side)?.median)
    return `ssh takes part in few of the rounds; by the medians of all it was ${(theirs / ours).toPrecision(3)}`
  }],
  [/^tree-warm/, ({ checks }) => {
    const floor = checks?.find(({ text }) => text === 'echo by ssh in ssh, three hops / echo by ssh in ssh, one hop')
    return `two more processes per hop take turns in the same caches${floor === undefined ? '' : `; a bare echo through OpenSSH's ssh in ssh, all of it C, takes ${floor.value.toPrecision(3)} times as long, too`}`
  }],
  [/^simulation/, 'the model is simpler than the machine'],
]

/** Misses of one row that are named one by one. */
const MOST = 2

/** One sentence with every goal that these results miss, and every row without a verdict; empty when there is none. Stretch goals have no verdict. */
export function missed({ rows }: StoredResults): string {
  const parts = rows.flatMap((row) => {
    const checks = row.checks ?? []
    const below = checks.filter(({ met }) => met === false)
    const misses = below.length > MOST ? [`${below.length} of ${checks.length} figures`] : below.map(({ text, value }) => `${text}, was ${value.toPrecision(3)}`)
    const failures = row.series.filter(({ missing }) => missing !== undefined).map(({ name }) => `no figure for ${name}`)
    // A row without series is a benchmark that broke off; what it said then is for who ran it.
    const broken = row.series.length === 0 && checks.some(({ missing }) => missing !== undefined) ? ['it broke off, no figure of it'] : []
    const all = [...misses, ...failures, ...broken]
    if (all.length === 0) return []
    const reason = below.length === 0 ? undefined : why.find(([name]) => name.test(row.name))?.[1]
    const said = typeof reason === 'function' ? reason(row) : reason
    return [`${row.name}: ${all.join(' and ')}${said === undefined ? '' : ` (${said})`}`]
  })
  return parts.length === 0 ? '' : `Goals missed, and rows without a verdict, in this run: ${parts.join('; ')}.`
}
