import { compare, faster, interleave, rowOf, within, type Benchmark, type Row } from '../harness.ts'
import { prepared, side, type Lab } from '../lab.ts'
import { privateDirty, processTree, resident } from '../memory.ts'
import type { Driver } from '../driver.ts'
import type { Suite } from '../sshd.ts'
import { addresses, type Endpoint } from '../workspace.ts'

const size = 60

/** Threads in which Mitogen connects: its calls block. Fewer were slower here, and so were more. */
const width = 16

/** One controller, sixty targets on one machine: connect to all and call each once. */
export const fleet60: Benchmark = {
  name: 'fleet60',
  async *rows(lab) {
    yield await speedRow(lab, 'fleet60', 'pinned')
    const plain = await speedRow(lab, 'fleet60-default', 'default')
    plain.notes.push("Default against default: sixty of OpenSSH's post-quantum key exchanges are in Mitogen's time, on both sides of each.")
    yield plain
    yield await memoryRow(lab)
  },
}

async function fleetOf(lab: Lab, suite: Suite): Promise<Endpoint[]> {
  const { port } = await lab.sshd({ suite, hosts: size })
  return addresses.slice(0, size).map((host) => ({ host, port }))
}

async function speedRow(lab: Lab, name: string, suite: Suite): Promise<Row> {
  const targets = await fleetOf(lab, suite)
  const ramet = lab.ramet({ suite })
  const round = async (driver: Driver, args: object): Promise<number> => {
    const took = await driver.request<number>('fleet', { targets, width, ...args })
    await driver.request('scatter')
    return took
  }
  const series = await interleave([
    side('ramet (Worker)', ramet, (driver) => round(driver, {})),
    side('mitogen', await lab.mitogen({ suite }), (driver) => round(driver, {})),
    side('ramet (inline)', ramet, (driver) => round(driver, { isolate: 'none' })),
  ], lab.rounds(5))
  const row = rowOf(name, `${size} targets: connect all and call each once`, 'ms', series)
  for (const ours of ['ramet (Worker)', 'ramet (inline)']) faster(row, ours, 'mitogen', suite === 'default' ? undefined : 1.8)
  return row
}

/**
 * What the controller grows by for each target that waits, in a fresh process per round: for the first sixty, where V8's young
 * generation grows with the work of connecting (by some MB, up to its bound), and for three times sixty more, where that is over
 * sooner or later and what a target keeps is left.
 */
async function memoryRow(lab: Lab): Promise<Row> {
  const targets = await fleetOf(lab, 'pinned')
  /** Grown behind `first` fleets by `more`, per target. */
  const grown = async (driver: Driver, measure: (pid: number) => number, first: number, more: number): Promise<number> => {
    try {
      await driver.request('settle')
      let before = measure(driver.pid)
      for (let i = 1; i <= first + more; i++) {
        await driver.request('fleet', { targets, width })
        await driver.request('settle')
        if (i === first) before = measure(driver.pid)
      }
      return (measure(driver.pid) - before) / (more * size) / 1000
    } finally {
      await driver.close()
    }
  }
  const round = async (start: ReturnType<Lab['mitogen']>, measure: (pid: number) => number, first = 0, more = 1): Promise<number> => {
    const driver = await prepared(await start, 'open', { name: 'a', target: targets[0] })
    if ('missing' in driver) throw new Error(driver.missing)
    return grown(driver, measure, first, more)
  }
  const series = await interleave([
    { name: 'ramet', round: () => round(Promise.resolve(lab.ramet()), resident, 1, 3) },
    { name: 'ramet, the first sixty', round: () => round(Promise.resolve(lab.ramet()), resident) },
    { name: 'mitogen', round: () => round(lab.mitogen(), resident) },
    { name: 'mitogen with its ssh', round: () => round(lab.mitogen(), (pid) => privateDirty(processTree(pid))) },
  ], lab.rounds(3), { warmUp: false })
  const row = rowOf('fleet60-memory', 'what the controller grows by per idle target (with its ssh: Private_Dirty of all)', 'KB', series)
  within(row, 'ramet', 150, '150 KB')
  within(row, 'ramet, the first sixty', 150, '150 KB')
  compare(row, 'ramet, the first sixty', 'mitogen with its ssh')
  row.notes.push("What a further target costs is the mean of the 180 that follow sixty. The first sixty's figure has the growth of V8's young generation under sixty logins at once in it.")
  return row
}
