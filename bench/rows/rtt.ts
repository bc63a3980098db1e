import { Dropbear } from '../dropbear.ts'
import { compare, interleave, medianOf, rowOf, stretchWithin, unmeasuredRow, within, type Benchmark, type Row, type Side } from '../harness.ts'
import { address, prepared, side, type Lab } from '../lab.ts'
import type { Relay } from '../relay.ts'
import type { Suite } from '../sshd.ts'
import { quantile } from '../stats.ts'
import type { Endpoint } from '../workspace.ts'

/** Round trips in milliseconds. The goals are for 50; the others show what a figure is made of, and need fewer rounds. */
const networks = [0, 10, 50, 180] as const
const judged = 50
/** Warm calls of a round: without a network it is the code that counts, and it has to be warm too. */
const callsAt = { 0: 1000, 10: 50, 50: 20, 180: 5 } as const

/** The round trip as the same relay gives it in the same run: what the bounds are counted in. */
const echoSide = (relay: Relay): Side => ({ name: 'round trip', round: () => relay.roundTrip() })

/** What the relay itself adds to what is asked of it, in figures that stand beside it: it is in every series of the row. */
function ownError(row: Row, asked: number): string {
  const echoes = row.series.find(({ name }) => name === 'round trip')?.rounds.flat() ?? []
  const [low, middle, high] = [0, 0.5, 1].map((q) => (quantile(echoes, q) - asked).toFixed(2))
  return `The relay's own error: a one-byte echo takes ${middle} ms more than the ${asked} ms asked for (${low} to ${high}). It delays no TCP handshake.`
}

export const rttWarm: Benchmark = {
  name: 'rtt-warm',
  async *rows(lab) {
    for (const rtt of networks) {
      const relay = await lab.relay(await lab.sshd(), { delay: rtt / 2 })
      const target = address(relay)
      const ramet = await prepared(lab.ramet(), 'open', { name: 'a', target })
      const mitogen = await prepared(await lab.mitogen(), 'open', { name: 'a', target })
      const args = { name: 'a', calls: lab.calls(callsAt[rtt]) }
      const series = await interleave([
        echoSide(relay),
        side('ramet (inline)', ramet, async (driver) => inMilliseconds(await driver.request<number[]>('warm', { ...args, isolate: 'none' }))),
        side('ramet (Worker)', ramet, async (driver) => inMilliseconds(await driver.request<number[]>('warm', args))),
        side('mitogen', mitogen, async (driver) => inMilliseconds(await driver.request<number[]>('warm', args))),
      ], lab.rounds(rtt > judged ? 4 : 8))
      const row = rowOf(`rtt${rtt}-warm`, `warm call at ${rtt} ms`, 'ms', series)
      for (const ours of ['ramet (inline)', 'ramet (Worker)']) {
        if (rtt === judged) within(row, ours, medianOf(row, 'round trip') + 3, 'RTT + 3 ms')
        else compare(row, ours, 'mitogen')
      }
      row.notes.push(ownError(row, rtt))
      yield row
    }
  },
}

/** The Worker is up already; each round ships a module that the target has never seen. */
export const rtt50NewCode: Benchmark = {
  name: 'rtt50-new-code',
  async *rows(lab) {
    const relay = await lab.relay(await lab.sshd(), { delay: judged / 2 })
    const target = address(relay)
    const ramet = await prepared(lab.ramet(), 'open', { name: 'a', target })
    const mitogen = await prepared(await lab.mitogen(), 'open', { name: 'a', target })
    let made = 0
    const series = await interleave([
      echoSide(relay),
      side('ramet (Worker)', ramet, (driver) => driver.request<number>('new_code', { name: 'a', ...newModule(lab, ++made) })),
      side('ramet (inline)', ramet, (driver) => driver.request<number>('new_code', { name: 'a', isolate: 'none', ...newModule(lab, ++made) })),
      side('mitogen', mitogen, (driver) => driver.request<number>('new_code', { name: 'a', ...newModule(lab, ++made) })),
    ], lab.rounds(15))
    const row = rowOf('rtt50-new-code', 'first call with new code at 50 ms', 'ms', series)
    for (const ours of ['ramet (Worker)', 'ramet (inline)']) within(row, ours, medianOf(row, 'round trip') + 20, 'RTT + 20 ms')
    row.notes.push(ownError(row, judged))
    yield row
  },
}

export const rttConnect: Benchmark = {
  name: 'rtt-connect',
  async *rows(lab) {
    for (const rtt of networks) yield await connectRow(lab, rtt, 'openssh', await lab.sshd(), 'pinned')
    const plain = await connectRow(lab, judged, 'openssh-default', await lab.sshd({ suite: 'default' }), 'default')
    plain.notes.push("Default against default: OpenSSH's post-quantum key exchange costs it time that ssh2, which has none, does not spend.")
    yield plain
    const missing = await Dropbear.missing()
    if (missing === undefined) yield await connectRow(lab, judged, 'dropbear', lab.own(await Dropbear.start(lab.workspace)), 'dropbear')
    else yield unmeasuredRow(`rtt${judged}-connect-dropbear`, figureOf(judged), 'dropbear', missing)
  },
}

const figureOf = (rtt: number): string => `connect until the first result at ${rtt} ms`

async function connectRow(lab: Lab, rtt: number, name: string, server: Endpoint, suite: Suite): Promise<Row> {
  const relay = await lab.relay(server, { delay: rtt / 2 })
  const target = address(relay)
  const ramet = lab.ramet({ suite })
  const series = await interleave([
    echoSide(relay),
    side('ramet (Worker)', ramet, (driver) => driver.request<number>('connect_first', { target })),
    side('ramet (inline)', ramet, (driver) => driver.request<number>('connect_first', { target, isolate: 'none' })),
    side('ssh host true', lab.ssh({ suite }), (ssh) => ssh.command(target, 'true')),
    side('mitogen', await lab.mitogen({ suite }), (driver) => driver.request<number>('connect_first', { target })),
  ], lab.rounds(rtt === judged ? 11 : 5))
  const row = rowOf(`rtt${rtt}-connect-${name}`, figureOf(rtt), 'ms', series)
  const roundTrip = medianOf(row, 'round trip')
  const bound = rtt === judged && suite !== 'default'
  for (const ours of ['ramet (Worker)', 'ramet (inline)']) {
    if (bound) within(row, ours, 4.5 * roundTrip + 100, '4.5 RTT + 100 ms')
    if (bound) stretchWithin(row, ours, 4 * roundTrip + 60, '4 RTT + 60 ms')
    compare(row, ours, 'ssh host true', bound ? 0.65 : undefined)
    compare(row, ours, 'mitogen')
  }
  row.notes.push(ownError(row, rtt))
  return row
}

/** The same module in both languages; the number makes its text, and so its hash, new. */
function newModule(lab: Lab, number: number): { file: string; module: string; expected: number } {
  const module = `new_code_${number}`
  lab.workspace.file(`${module}.py`, `def answer():\n    return ${number}\n`)
  const file = lab.workspace.file(`${module}.ts`, `export function answer(): number {\n  return ${number}\n}\n`)
  return { file, module, expected: number }
}

const inMilliseconds = (microseconds: number[]): number[] => microseconds.map((value) => value / 1000)
