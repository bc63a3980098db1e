import { Dropbear } from '../dropbear.ts'
import { compare, interleave, medianOf, rowOf, within, type Benchmark, type Row, type Side } from '../harness.ts'
import { address, prepared, side, type Lab } from '../lab.ts'
import type { Relay } from '../relay.ts'
import type { Suite } from '../sshd.ts'
import type { Endpoint } from '../workspace.ts'

const delay = 25

/** The round trip as the same relay gives it in the same run: what the bounds are counted in. */
const echoSide = (relay: Relay): Side => ({ name: 'round trip', round: () => relay.roundTrip() })

export const rtt50Warm: Benchmark = {
  name: 'rtt50-warm',
  async *rows(lab) {
    const relay = await lab.relay(await lab.sshd(), { delay })
    const target = address(relay)
    const ramet = await prepared(lab.ramet(), 'open', { name: 'a', target })
    const mitogen = await prepared(await lab.mitogen(), 'open', { name: 'a', target })
    const args = { name: 'a', calls: lab.calls(20) }
    const series = await interleave([
      echoSide(relay),
      side('ramet (inline)', ramet, async (driver) => inMilliseconds(await driver.request<number[]>('warm', { ...args, isolate: 'none' }))),
      side('ramet (Worker)', ramet, async (driver) => inMilliseconds(await driver.request<number[]>('warm', args))),
      side('mitogen', mitogen, async (driver) => inMilliseconds(await driver.request<number[]>('warm', args))),
    ], lab.rounds(8))
    const row = rowOf('rtt50-warm', 'warm call at 50 ms', 'ms', series)
    for (const ours of ['ramet (inline)', 'ramet (Worker)']) within(row, ours, medianOf(row, 'round trip') + 3, 'RTT + 3 ms')
    yield row
  },
}

/** The Worker is up already; each round ships a module that the target has never seen. */
export const rtt50NewCode: Benchmark = {
  name: 'rtt50-new-code',
  async *rows(lab) {
    const relay = await lab.relay(await lab.sshd(), { delay })
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
    yield row
  },
}

export const rtt50Connect: Benchmark = {
  name: 'rtt50-connect',
  async *rows(lab) {
    yield await connectRow(lab, 'rtt50-connect-openssh', await lab.sshd(), 'pinned')
    const plain = await connectRow(lab, 'rtt50-connect-openssh-default', await lab.sshd({ suite: 'default' }), 'default')
    plain.notes.push("Default against default: OpenSSH's post-quantum key exchange costs it time that ssh2, which has none, does not spend.")
    yield plain
    const missing = await Dropbear.missing()
    if (missing === undefined) yield await connectRow(lab, 'rtt50-connect-dropbear', lab.own(await Dropbear.start(lab.workspace)), 'dropbear')
    else yield { ...rowOf('rtt50-connect-dropbear', 'connect until the first result at 50 ms', 'ms', []), notes: [`not measured: ${missing}`] }
  },
}

async function connectRow(lab: Lab, name: string, server: Endpoint, suite: Suite): Promise<Row> {
  const relay = await lab.relay(server, { delay })
  const target = address(relay)
  const ramet = lab.ramet({ suite })
  const series = await interleave([
    echoSide(relay),
    side('ramet (Worker)', ramet, (driver) => driver.request<number>('connect_first', { target })),
    side('ramet (inline)', ramet, (driver) => driver.request<number>('connect_first', { target, isolate: 'none' })),
    side('ssh host true', lab.ssh({ suite }), (ssh) => ssh.command(target, 'true')),
    side('mitogen', await lab.mitogen({ suite }), (driver) => driver.request<number>('connect_first', { target })),
  ], lab.rounds(11))
  const row = rowOf(name, 'connect until the first result at 50 ms', 'ms', series)
  const roundTrip = medianOf(row, 'round trip')
  for (const ours of ['ramet (Worker)', 'ramet (inline)']) {
    if (suite !== 'default') within(row, ours, 4.5 * roundTrip + 100, '4.5 RTT + 100 ms')
    compare(row, ours, 'ssh host true', suite === 'default' ? undefined : 0.65)
  }
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
