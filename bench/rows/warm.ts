import { cpuOf } from '../cpu.ts'
import type { Driver } from '../driver.ts'
import { echoBytes } from '../echo.ts'
import { compare, interleave, rowOf, stretch, type Benchmark, type Row } from '../harness.ts'
import { address, prepared, side, type Lab, type PeerOptions } from '../lab.ts'
import { processTree } from '../memory.ts'

/** One call after the other on an open connection, a function that does nothing. */
export const warmCall: Benchmark = {
  name: 'warm',
  async *rows(lab) {
    yield await warmRow(lab, 'warm', {})
    yield await warmRow(lab, 'warm-one-core', { oneCore: true })
    yield await cpuRow(lab)
  },
}

async function warmRow(lab: Lab, name: string, options: PeerOptions): Promise<Row> {
  const target = address(await lab.sshd(options))
  const ramet = await prepared(lab.ramet(options), 'open', { name: 'a', target })
  const calls = lab.calls(1000)
  const series = await interleave([
    side('ramet (inline)', ramet, (driver) => driver.request<number[]>('warm', { name: 'a', calls, isolate: 'none' })),
    side('raw echo', await prepared(lab.rawEcho(options), 'open', { target }), (driver) => driver.request<number[]>('warm', { calls, bytes: echoBytes })),
    side('ramet (Worker)', ramet, (driver) => driver.request<number[]>('warm', { name: 'a', calls })),
    side('mitogen', await prepared(await lab.mitogen(options), 'open', { name: 'a', target }),
      (driver) => driver.request<number[]>('warm', { name: 'a', calls })),
  ], lab.rounds(12))
  const row = rowOf(name, 'warm call of a function that does nothing', 'us', series)
  compare(row, 'ramet (inline)', 'mitogen', 0.6)
  compare(row, 'ramet (inline)', 'raw echo', 1.4)
  compare(row, 'ramet (Worker)', 'mitogen', 0.85)
  compare(row, 'raw echo', 'mitogen')
  stretch(row, 'ramet (inline)', 'mitogen', 0.5)
  return row
}

/** What a warm call costs the machine of the controller: its program, and what that started to speak SSH. */
async function cpuRow(lab: Lab): Promise<Row> {
  const target = address(await lab.sshd())
  const calls = lab.calls(1000)
  const cost = async (driver: Driver, more: object): Promise<number> => {
    const local = processTree(driver.pid)
    const before = local.map(cpuOf)
    await driver.request<number[]>('warm', { name: 'a', calls, ...more })
    return local.reduce((sum, pid, index) => sum + cpuOf(pid) - (before[index] ?? 0), 0) / calls * 1000
  }
  const ramet = await prepared(lab.ramet(), 'open', { name: 'a', target })
  const series = await interleave([
    side('ramet (inline)', ramet, (driver) => cost(driver, { isolate: 'none' })),
    side('ramet (Worker)', ramet, (driver) => cost(driver, {})),
    side('mitogen with its ssh', await prepared(await lab.mitogen(), 'open', { name: 'a', target }), (driver) => cost(driver, {})),
  ], lab.rounds(12))
  const row = rowOf('warm-cpu', "CPU of the controller's side per warm call", 'us', series)
  stretch(row, 'ramet (inline)', 'mitogen with its ssh', 0.25)
  compare(row, 'ramet (Worker)', 'mitogen with its ssh')
  return row
}
