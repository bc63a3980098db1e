import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { missed } from './readme-missed.ts'

/** A dated file of bench/results, as far as the README shows it. */
export interface StoredResults {
  date: string
  machine: { cores: number; system: string }
  versions: Record<string, string>
  rows: { name: string; unit: string; series: { name: string; median?: number; missing?: string }[]; checks?: { text: string; value: number; met?: boolean; missing?: string }[]; data?: unknown }[]
}

/** A line of the table: what is ours in a row of the results, and what stands beside it. */
interface Line {
  what: string
  row: string
  /** [beginning of the series' name, what is written before its figure]. */
  ours: [series: string, label: string][]
  /** Ours, too, and comparable with nothing that stands beside it. */
  also?: [series: string, label: string][]
  beside?: [series: string, label: string][]
}

const worker: Line['ours'] = [['ramet (Worker)', '']]
const inline: Line['ours'] = [['ramet (inline)', '']]
const both: Line['ours'] = [['ramet (Worker)', ''], ['ramet (inline)', 'inline ']]
const mitogen: Line['ours'] = [['mitogen', 'Mitogen ']]
const behind = 'a target behind a connected hop'

const lines: readonly Line[] = [
  { what: 'connect until the first function has answered', row: 'connect-first-call', ours: worker, beside: [['mitogen', 'Mitogen '], ['ssh host true', '`ssh host true` ']] },
  { what: 'the same at 50 ms round trip, without the TCP handshake', row: 'rtt50-connect-openssh', ours: worker, beside: [['ssh host true', '`ssh host true` ']] },
  { what: 'warm call, in the Worker', row: 'warm', ours: worker, beside: mitogen },
  { what: "warm call, `isolate: 'none'`", row: 'warm', ours: inline, beside: [['mitogen', 'Mitogen '], ['raw echo', 'a bare echo ']] },
  { what: 'pipelined calls per second, inline', row: 'pipelined', ours: inline, beside: mitogen },
  { what: 'first call with new code at 50 ms round trip', row: 'rtt50-new-code', ours: worker, beside: mitogen },
  { what: 'bytes per warm call, both ways', row: 'bytes-per-call', ours: inline, beside: mitogen },
  { what: "`exec('hostname')`, back to back", row: 'exec-burst', ours: [['ramet', '']], beside: [['mitogen', 'Mitogen '], ['ssh over a master', '`ssh` over a ControlMaster ']] },
  { what: '`hostname` on 32 cold targets, whole process', row: 'cli32', ours: [['ramet run', '']], beside: [['clush', 'clush '], ['parallel-ssh', 'parallel-ssh '], ['ansible -m command', 'Ansible ']] },
  { what: '100 × `hostname` on one host, whole process', row: 'hundred', ours: [['ramet', '']], beside: [...mitogen, ['ansible, mitogen_linear', 'Ansible with Mitogen '], ['ansible, linear', 'Ansible '], ['100 × ssh', '100 × `ssh` ']] },
  { what: 'the same as one remote loop', row: 'hundred-loop', ours: [['ramet, a function', 'a function '], ['ramet, a shell', 'a shell ']], beside: [['mitogen, a function', 'Mitogen '], ['ssh, a shell', '`ssh` ']] },
  { what: 'bytes of the 100, from cold, both ways', row: 'hundred-bytes', ours: [['ramet', '']], beside: [...mitogen, ['ansible, mitogen_linear, ssh -C', 'Ansible with Mitogen '], ['ansible, linear, ssh -C', 'Ansible '], ['100 × ssh', '100 × `ssh` ']] },
  { what: 'connect to 60 targets and call each once', row: 'fleet60', ours: both, beside: mitogen },
  { what: "memory of an idle target's program, after a user call", row: 'stub-memory-after', ours: [['Node 20', '']] },
  { what: 'memory of the controller per idle target, of the first sixty', row: 'fleet60-memory', ours: [['ramet, the first sixty', '']], also: [['ramet', 'each further one ']], beside: [['mitogen with its ssh', 'Mitogen with its `ssh` ']] },
  { what: `${behind}, connect until the first result`, row: 'tree-connect-first', ours: both, beside: mitogen },
  { what: 'a second one behind the same hop', row: 'tree-connect-second', ours: both, beside: mitogen },
  { what: '32 targets behind one hop, connect and call each once', row: 'tree32', ours: both, beside: mitogen },
  { what: "warm call through one hop, `isolate: 'none'`", row: 'tree-warm', ours: [['ramet (inline), one hop', '']], beside: [['mitogen, one hop', 'Mitogen ']] },
  { what: 'the same through three hops', row: 'tree-warm', ours: [['ramet (inline), three hops', '']], beside: [['mitogen, three hops', 'Mitogen '], ['ramet (inline), one hop', 'one hop ']] },
  { what: 'bytes of code to a hop for a new function on 50 contexts', row: 'tree-code', ours: [['50 contexts', '']], beside: [['one context', 'one context ']] },
  { what: 'bytes to a hop for one call on 50 contexts', row: 'tree-fan-out', ours: [['one fan-out', '']], beside: [['50 calls in one tick', '50 single calls ']] },
  { what: 'ping through a hop that computes, p99', row: 'tree-ping', ours: [['hop computes', '']], beside: [['hop idle', 'an idle hop ']] },
  { what: 'growth of a hop while one of 50 takes nothing of 256 MiB', row: 'tree-streams-memory', ours: [['a context that stands still', '']] },
]

export const markers = ['<!-- figures: written by `node dist/bench/run.js --readme` -->', '<!-- end of figures -->'] as const

/** The README's section of figures. Lines whose row was not measured are left out; a peer that was missing is named. */
export function figures(file: string, results: StoredResults): string {
  const { date, machine, versions } = results
  const node = /v(\d+\.\d+)/.exec(versions['node'] ?? '')?.[1] ?? '?'
  const openssh = /OpenSSH_(\d+\.\d+)/.exec(versions['openssh'] ?? '')?.[1] ?? '?'
  const debian = /deb(\d+)u/.exec(versions['openssh'] ?? '')?.[1]
  return [
    `From [one run](bench/results/${file}) of \`npm run bench\` on ${date.slice(0, 10)}: ${machine.cores} cores, ${debian === undefined ? machine.system : `Debian ${debian}`}, `
      + `Node ${node}, OpenSSH ${openssh}, real sshd on loopback, medians of interleaved`,
    `rounds. Every program uses curve25519 and aes128-gcm ("pinned")${ofDefault(results)}. Mitogen is`,
    `Debian's ${versions['mitogen'] ?? '?'} of 2022; its newer versions move files faster. Ratios travel between machines; times do not.`,
    ...[missed(results)].filter((line) => line !== ''),
    '',
    '| what | ramet | beside it | ratio |',
    '| --- | --- | --- | --- |',
    ...lines.flatMap((line) => tableLine(line, results)),
  ].join('\n')
}

/** What the key exchange that OpenSSH prefers costs its client. */
function ofDefault({ rows }: StoredResults): string {
  const [pinned, own] = ['connect-first-call', 'connect-first-call-default'].map((name) => medianIn(rows.find((row) => row.name === name), 'ssh host true'))
  return pinned === undefined || own === undefined ? '' : `; with OpenSSH's default key exchange its clients take ${Math.round(own - pinned)} ms more per connection`
}

function tableLine({ what, row: name, ours, also = [], beside = [] }: Line, { rows }: StoredResults): string[] {
  const row = rows.find((one) => one.name === name)
  const medianOf = (series: string): number | undefined => medianIn(row, series)
  const own = ours.map(([series, label]) => ({ label, value: medianOf(series) })).filter(known)
  if (row === undefined || own.length === 0) return []
  const peers = beside.map(([series, label]) => ({ label, value: medianOf(series) }))
  const ratios = own.flatMap(({ value }) => peers.filter(known).map((peer) => ratio(value / peer.value)))
  const cells = [
    [...own, ...also.map(([series, label]) => ({ label, value: medianOf(series) })).filter(known)].map(({ label, value }) => label + amount(value, row.unit)).join('; '),
    peers.map(({ label, value }) => label + (value === undefined ? 'has no figure' : amount(value, row.unit))).join('; '),
    ratios.join('; '),
  ]
  return [`| ${what} | ${cells.map((cell) => cell + (cell === '' ? '' : ' ')).join('| ')}|`]
}

/** Of the series with this name, or with this name and more behind a full stop (a version's). */
export function medianIn(row: StoredResults['rows'][number] | undefined, series: string): number | undefined {
  const found = row?.series.find((one) => one.name === series) ?? row?.series.find((one) => one.name.startsWith(`${series}.`))
  // What failed midway has a median of fewer rounds than what stands beside it.
  return found?.missing === undefined ? found?.median : undefined
}

function known<T extends { value: number | undefined }>(one: T): one is T & { value: number } {
  return one.value !== undefined && Number.isFinite(one.value)
}

export const ratio = (value: number): string => value >= 2 || value < 0.1 ? value.toPrecision(2) : value.toFixed(2)

/** A figure with as many digits as another run of the bench would repeat. */
export function amount(value: number, unit: string): string {
  if (unit === 'us') return value >= 1000 ? `${short(value / 1000)} ms` : `${short(value)} us`
  if (unit === 'ms') return value >= 1000 ? `${short(value / 1000)} s` : `${short(value)} ms`
  if (unit === 'KB') return value >= 100 ? `${(value / 1000).toPrecision(2)} MB` : `${short(value)} KB`
  if (unit === 'MB' || unit === 'MiB') return `${short(value)} ${unit}`
  return Number(value.toPrecision(3)).toLocaleString('en')
}

const short = (value: number): string => value >= 10 ? String(Math.round(value)) : value.toFixed(1)

/** The README with this text between the markers. */
export function withFigures(readme: string, text: string, around: readonly [string, string] = markers): string {
  const [begin, end] = around.map((marker) => readme.indexOf(marker)) as [number, number]
  if (begin < 0 || end < begin) throw new Error(`README.md has lost the markers around its figures: ${around.join(' ')}`)
  return `${readme.slice(0, begin + around[0].length)}\n${text === '' ? '' : `${text}\n`}${readme.slice(end)}`
}

/** The newest file under bench/results; their names are dates. */
export function newestResults(root: string): { file: string; results: StoredResults } {
  const folder = join(root, 'bench', 'results')
  const file = readdirSync(folder).filter((name) => name.endsWith('.json')).sort().at(-1)
  if (file === undefined) throw new Error('bench/results is empty')
  return { file, results: JSON.parse(readFileSync(join(folder, file), 'utf8')) as StoredResults }
}
