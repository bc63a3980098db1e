import { compare, interleave, rowOf, type Benchmark, type Row } from '../harness.ts'
import { address, side, type Lab, type PeerOptions } from '../lab.ts'

/** From nothing to the first answer of a user function. Code is bundled before the clock starts. */
export const connectFirstCall: Benchmark = {
  name: 'connect-first-call',
  async *rows(lab) {
    yield await connectRow(lab, 'connect-first-call', {})
    yield await connectRow(lab, 'connect-first-call-one-core', { oneCore: true })
    const plain = await connectRow(lab, 'connect-first-call-default', { suite: 'default' })
    plain.notes.push('Default against default: OpenSSH spends about 60 ms per connection on sntrup761, which ssh2 does not have; that is no merit of ours.')
    yield plain
    yield await bundlingRow(lab)
  },
}

async function connectRow(lab: Lab, name: string, options: PeerOptions): Promise<Row> {
  const sshd = await lab.sshd(options)
  const target = address(sshd)
  const ramet = lab.ramet(options)
  const series = await interleave([
    side('ramet (Worker)', ramet, (driver) => driver.request<number>('connect_first', { target })),
    side('ramet (inline)', ramet, (driver) => driver.request<number>('connect_first', { target, isolate: 'none' })),
    side('mitogen', await lab.mitogen(options), (driver) => driver.request<number>('connect_first', { target })),
    side('ssh host true', lab.ssh(options), (ssh) => ssh.command(target, 'true')),
  ], lab.rounds(21))
  const row = rowOf(name, 'connect until the first user function has answered', 'ms', series)
  const bound = options.suite !== 'default'
  for (const ours of ['ramet (Worker)', 'ramet (inline)']) {
    compare(row, ours, 'mitogen', bound ? 0.5 : undefined)
    compare(row, ours, 'ssh host true', bound ? 0.85 : undefined)
  }
  return row
}

/** The first connect of a fresh process: bundling, and everything that a program loads only once, are in it. */
async function bundlingRow(lab: Lab): Promise<Row> {
  const target = address(await lab.sshd())
  const once = async (start: () => ReturnType<Lab['mitogen']>): Promise<number> => {
    const driver = await start()
    if ('missing' in driver) throw new Error(driver.missing)
    try {
      // Starting the interpreter and loading the library are no part of it, for neither.
      await driver.request('settle')
      return await driver.request<number>('connect_first', { target })
    } finally {
      await driver.close()
    }
  }
  const series = await interleave([
    { name: 'ramet (Worker)', round: () => once(() => Promise.resolve(lab.ramet())) },
    { name: 'mitogen', round: () => once(() => lab.mitogen()) },
  ], lab.rounds(9))
  const row = rowOf('connect-first-call-bundling', 'the same, first in a fresh process: with bundling', 'ms', series)
  compare(row, 'ramet (Worker)', 'mitogen')
  return row
}
