import { compare, interleave, rowOf, stretch, type Benchmark, type Row } from '../harness.ts'
import { address, prepared, side, type Lab, type PeerOptions } from '../lab.ts'

const command = 'hostname'

/** A command in its own process group and on its own pipes, on an open connection. */
export const exec: Benchmark = {
  name: 'exec',
  async *rows(lab) {
    for (const [suffix, options] of [['', {}], ['-one-core', { oneCore: true }]] as const) {
      yield await spacedRow(lab, `exec-spaced${suffix}`, options)
      yield await burstRow(lab, `exec-burst${suffix}`, options)
    }
  },
}

async function spacedRow(lab: Lab, name: string, options: PeerOptions): Promise<Row> {
  const target = address(await lab.sshd(options))
  const args = { name: 'a', calls: lab.calls(40), gap: 10, command }
  const series = await interleave([
    side('ramet', await prepared(lab.ramet(options), 'open', { name: 'a', target }), (driver) => driver.request<number[]>('exec', args)),
    side('mitogen', await prepared(await lab.mitogen(options), 'open', { name: 'a', target }), (driver) => driver.request<number[]>('exec', args)),
    side('ssh2, a channel each', await prepared(lab.ssh2(options), 'open', { target }), (driver) => driver.request<number[]>('exec', args)),
  ], lab.rounds(10))
  const row = rowOf(name, 'hostname by sh, calls 10 ms apart', 'us', series)
  compare(row, 'ramet', 'mitogen', 0.85)
  compare(row, 'ramet', 'ssh2, a channel each')
  return row
}

async function burstRow(lab: Lab, name: string, options: PeerOptions): Promise<Row> {
  const target = address(await lab.sshd(options))
  const ssh = lab.ssh(options)
  const master = 'missing' in ssh ? ssh : lab.own(await ssh.master(lab.workspace, target))
  const args = { name: 'a', calls: lab.calls(40), gap: 0, command }
  const series = await interleave([
    side('ramet', await prepared(lab.ramet(options), 'open', { name: 'a', target }), (driver) => driver.request<number[]>('exec', args)),
    side('mitogen', await prepared(await lab.mitogen(options), 'open', { name: 'a', target }), (driver) => driver.request<number[]>('exec', args)),
    side('ssh over a master', master, (open) => open.exec(command, lab.calls(20))),
    side('ssh2, a channel each', await prepared(lab.ssh2(options), 'open', { target }), (driver) => driver.request<number[]>('exec', args)),
  ], lab.rounds(10))
  const row = rowOf(name, 'hostname by sh, back to back', 'us', series)
  compare(row, 'ramet', 'mitogen', 1.4)
  stretch(row, 'ramet', 'mitogen', 0.7)
  compare(row, 'ramet', 'ssh over a master', 0.4)
  compare(row, 'ramet', 'ssh2, a channel each')
  return row
}
