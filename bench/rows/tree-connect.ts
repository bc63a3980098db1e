import type { Driver } from '../driver.ts'
import { compare, faster, interleave, medianOf, rowOf, type Benchmark, type Row, type Series } from '../harness.ts'
import { address, prepared, side, type Lab, type Maybe } from '../lab.ts'
import type { Suite } from '../sshd.ts'
import { addresses, type Endpoint } from '../workspace.ts'

/** The hop is the first address of one server, what stands behind it the next ones. */
async function tree(lab: Lab, suite: Suite, size: number): Promise<{ hop: Endpoint; targets: Endpoint[] }> {
  const { port } = await lab.sshd({ suite, hosts: size + 1 })
  const [hop, ...targets] = addresses.slice(0, size + 1).map((host) => ({ host, port }))
  return { hop: hop as Endpoint, targets }
}

/** The hop is connected and has been called; what is behind it is not. Each round has a hop of its own. */
export const treeConnect: Benchmark = {
  name: 'tree-connect',
  async *rows(lab) {
    yield* connectRows(lab, '', 'pinned')
    for await (const row of connectRows(lab, '-default', 'default')) {
      row.notes.push("Default against default: the client on Mitogen's hop is OpenSSH, whose key exchange costs more than ours there.")
      yield row
    }
  },
}

async function* connectRows(lab: Lab, suffix: string, suite: Suite): AsyncGenerator<Row> {
  const { hop, targets } = await tree(lab, suite, 2)
  const ramet = lab.ramet({ suite })
  const behind = (isolate?: 'none') => (driver: Driver): Promise<number[]> => driver.request<number[]>('behind', { hop, targets, isolate })
  const series = await interleave([
    side('ramet (Worker)', ramet, behind()),
    side('ramet (inline)', ramet, behind('none')),
    side('mitogen', await lab.mitogen({ suite }), behind()),
  ], lab.rounds(15))
  for (const [index, which, bound] of [[0, 'first', 0.7], [1, 'second', 0.6]] as const) {
    const row = rowOf(`tree-connect-${which}${suffix}`, `${which} target behind a connected hop: connect until the first result`, 'ms', part(series, index))
    for (const ours of ['ramet (Worker)', 'ramet (inline)']) compare(row, ours, 'mitogen', suite === 'default' ? undefined : bound)
    yield row
  }
}

/** A chain of which nothing is connected: what each stretch adds. */
export const treeThrough: Benchmark = {
  name: 'tree-through',
  async *rows(lab) {
    const { hop, targets } = await tree(lab, 'pinned', 3)
    const chains = [['direct', [hop]], ['one hop', [hop, ...targets.slice(0, 1)]], ['three hops', [hop, ...targets]]] as const
    const [ramet, mitogen] = [lab.ramet(), await lab.mitogen()]
    const series = await interleave(chains.flatMap(([way, chain]) => [
      side(`ramet (Worker), ${way}`, ramet, (driver) => driver.request<number>('through', { chain })),
      side(`ramet (inline), ${way}`, ramet, (driver) => driver.request<number>('through', { chain, isolate: 'none' })),
      side(`mitogen, ${way}`, mitogen, (driver) => driver.request<number>('through', { chain })),
    ]), lab.rounds(7))
    const row = rowOf('tree-through', 'connect through hops that are not connected either, until the first result of the last', 'ms', series)
    for (const [way] of chains) compare(row, `ramet (Worker), ${way}`, `mitogen, ${way}`)
    yield row
  },
}

/** One of the figures that each round gave. */
function part(series: readonly Series[], index: number): Series[] {
  return series.map((one) => ({ ...one, rounds: one.rounds.map((round) => round.slice(index, index + 1)) }))
}

const size = 32

/** Threads in which Mitogen connects: its calls block. Its hop opens what is behind it one after the other. */
const width = 16

export const tree32: Benchmark = {
  name: 'tree32',
  async *rows(lab) {
    yield await crowdRow(lab, 'tree32', 'pinned')
    const plain = await crowdRow(lab, 'tree32-default', 'default')
    plain.notes.push("Default against default: thirty-two of OpenSSH's post-quantum key exchanges are in Mitogen's time.")
    yield plain
  },
}

async function crowdRow(lab: Lab, name: string, suite: Suite): Promise<Row> {
  const { hop, targets } = await tree(lab, suite, size)
  const ramet = lab.ramet({ suite })
  const round = async (driver: Driver, args: object): Promise<number> => {
    await driver.request('open', { name: 'hop', target: hop })
    const took = await driver.request<number>('fleet', { targets, width, via: 'hop', ...args })
    await driver.request('scatter')
    await driver.request('shut', { name: 'hop' })
    return took
  }
  const series = await interleave([
    side('ramet (Worker)', ramet, (driver) => round(driver, {})),
    side('mitogen', await lab.mitogen({ suite }), (driver) => round(driver, {})),
    side('ramet (inline)', ramet, (driver) => round(driver, { isolate: 'none' })),
  ], lab.rounds(5))
  const row = rowOf(name, `${size} targets behind one connected hop: connect all and call each once`, 'ms', series)
  for (const ours of ['ramet (Worker)', 'ramet (inline)']) faster(row, ours, 'mitogen', suite === 'default' ? undefined : 3)
  return row
}

const delay = 25

/** The hop is 50 ms away, the target beside the hop: what counts is how often the hop has to ask. */
export const treeRtt50: Benchmark = {
  name: 'tree-rtt50',
  async *rows(lab) {
    const { hop, targets } = await tree(lab, 'pinned', 2)
    const relay = await lab.relay(hop, { delay })
    const ramet = lab.ramet()
    const mitogen = await lab.mitogen()
    const behind = (args: object) => (driver: Driver): Promise<number[]> => driver.request<number[]>('behind', { targets, ...args })
    const far = address(relay)
    const series = await interleave([
      { name: 'round trip', round: async () => Array(2).fill(await relay.roundTrip()) as number[] },
      side('ramet (Worker)', ramet, behind({ hop: far })),
      side('ramet (inline)', ramet, behind({ hop: far, isolate: 'none' })),
      side('mitogen', mitogen, behind({ hop: far })),
      side('ramet (inline), hop near', ramet, behind({ hop, isolate: 'none' })),
      side('mitogen, hop near', mitogen, behind({ hop })),
    ], lab.rounds(9))
    for (const [index, which] of [[0, 'first'], [1, 'second']] as const) {
      const row = rowOf(`tree-rtt50-${which}`, `${which} target behind a connected hop that is 50 ms away: connect until the first result`, 'ms', part(series, index))
      compare(row, 'ramet (Worker)', 'mitogen')
      compare(row, 'ramet (inline)', 'mitogen')
      const trips = (name: string): string => ((medianOf(row, name) - medianOf(row, `${name}, hop near`)) / medianOf(row, 'round trip')).toFixed(2)
      row.notes.push(`Round trips between controller and hop: ramet ${trips('ramet (inline)')}, mitogen ${trips('mitogen')}. `
        + 'The floor is 2: the hop asks for a signature once it knows the server, and the result comes back.')
      yield row
    }
    yield await warmRow(lab, hop, targets)
  },
}

/** Three hops are three servers' sessions; only the first stretch is 50 ms. */
async function warmRow(lab: Lab, hop: Endpoint, targets: Endpoint[]): Promise<Row> {
  const relay = await lab.relay(hop, { delay })
  const args = { calls: lab.calls(20), isolate: 'none' }
  const ramet = await chain(lab.ramet(), address(relay), targets, 1)
  const mitogen = await chain(await lab.mitogen(), address(relay), targets, 1)
  const milliseconds = (times: number[]): number[] => times.map((time) => time / 1000)
  const series = await interleave([
    { name: 'round trip', round: () => relay.roundTrip() },
    side('ramet (inline)', ramet, async (driver) => milliseconds(await driver.request<number[]>('warm', { name: 'leaf1', ...args }))),
    side('mitogen', mitogen, async (driver) => milliseconds(await driver.request<number[]>('warm', { name: 'leaf1', ...args }))),
  ], lab.rounds(5))
  return rowOf('tree-rtt50-warm', 'warm call through one hop that is 50 ms away', 'ms', series)
}

/** Opens `hop`, from there `hops` - 1 more, and a leaf of that name behind the last; and 'leaf0' straight from here. */
export async function chain(peer: Maybe<Driver>, hop: Endpoint, targets: readonly Endpoint[], hops: number): Promise<Maybe<Driver>> {
  let open = await prepared(peer, 'open', { name: 'hop1', target: hop })
  for (let i = 1; i < hops; i++) open = await prepared(open, 'open', { name: `hop${i + 1}`, target: targets[i - 1], via: `hop${i}` })
  return prepared(open, 'open', { name: `leaf${hops}`, target: targets[hops - 1], via: `hop${hops}` })
}
