import { drawn } from '../src/cli/bench/drawing.ts'
import type { Bar } from '../src/cli/bench/drawing.ts'
import { amount, medianIn, ratio, type StoredResults } from './readme-figures.ts'

/** Where the README's picture is, from the root of the repository. */
export const pictureFile = 'bench/figures.svg'

/** A pair of bars: ours, and the peer's under it. */
interface Pair {
  what: string
  row: string
  ours: string
  peer: string
}

const groups: readonly { title: (versions: Record<string, string>) => string; pairs: readonly Pair[] }[] = [
  {
    title: ({ mitogen }) => `beside Mitogen ${mitogen ?? ''}`.trim(),
    pairs: [
      { what: 'connect, first function answered', row: 'connect-first-call', ours: 'ramet (Worker)', peer: 'mitogen' },
      { what: 'new code, first call, 50 ms away', row: 'rtt50-new-code', ours: 'ramet (Worker)', peer: 'mitogen' },
      { what: 'warm call', row: 'warm', ours: 'ramet (Worker)', peer: 'mitogen' },
      { what: '32 targets behind a hop, from cold', row: 'tree32', ours: 'ramet (Worker)', peer: 'mitogen' },
      { what: 'shell command, back to back', row: 'exec-burst', ours: 'ramet', peer: 'mitogen' },
    ],
  },
  {
    title: () => 'beside ssh with the same ciphers',
    pairs: [
      { what: 'first function / ssh host true', row: 'connect-first-call', ours: 'ramet (Worker)', peer: 'ssh host true' },
      { what: 'shell command / ControlMaster', row: 'exec-burst', ours: 'ramet', peer: 'ssh over a master' },
      { what: '100 \u00d7 hostname / 100 \u00d7 ssh', row: 'hundred', ours: 'ramet', peer: '100 \u00d7 ssh' },
    ],
  },
  {
    title: () => 'beside tools for many machines, whole process',
    pairs: [
      { what: 'hostname on 32 targets / clush', row: 'cli32', ours: 'ramet run', peer: 'clush' },
      { what: 'hostname on 32 targets / parallel-ssh', row: 'cli32', ours: 'ramet run', peer: 'parallel-ssh' },
      { what: 'hostname on 32 targets / ansible', row: 'cli32', ours: 'ramet run', peer: 'ansible -m command' },
      { what: '100 \u00d7 hostname / Ansible with Mitogen', row: 'hundred', ours: 'ramet', peer: 'ansible, mitogen_linear' },
      { what: '100 \u00d7 hostname / Ansible', row: 'hundred', ours: 'ramet', peer: 'ansible, linear' },
    ],
  },
]

/** The ratios that tell most, each as a pair of bars. What was not measured, of ours or of a peer, is left out. */
export function picture({ date, machine, versions, rows }: StoredResults): string {
  return drawn({
    title: 'Time beside other programs',
    captions: [
      `medians of ${date.slice(0, 10)} on ${machine.cores} cores, real sshd on loopback; shorter is better`,
      "behind each pair: ramet's time as a share of the other's, and both times",
    ],
    oneScale: true,
    legend: { ours: 'ramet', other: 'the other program' },
    groups: groups.map(({ title, pairs }) => ({
      title: title(versions),
      bars: pairs.flatMap(({ what, row: name, ours, peer }): Bar[] => {
        const row = rows.find((one) => one.name === name)
        const [own, other] = [medianIn(row, ours), medianIn(row, peer)]
        if (row === undefined || own === undefined || other === undefined || !(other > 0)) return []
        return [{ label: what, text: `${ratio(own / other)} (${amount(own, row.unit)} : ${amount(other, row.unit)})`, length: own / other, against: 1, ours: true }]
      }),
    })),
  })
}
