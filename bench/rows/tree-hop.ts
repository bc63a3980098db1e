import type { Driver } from '../driver.ts'
import { compare, interleave, rowOf, within, type Benchmark } from '../harness.ts'
import { address, prepared, side } from '../lab.ts'
import { resident } from '../memory.ts'
import type { Stall } from '../ramet-tree.ts'
import { quantile } from '../stats.ts'

const megabyte = 2 ** 20

/** User code of a hop has its Worker: what passes through the hop does not wait for it. */
export const treePing: Benchmark = {
  name: 'tree-ping',
  async *rows(lab) {
    const target = address(await lab.sshd())
    const hop = await prepared(lab.ramet(), 'open', { name: 'hop', target })
    const ramet = await prepared(hop, 'open', { name: 'leaf', target: 'local:', via: 'hop' })
    const p99 = async (driver: Driver, args: object): Promise<number> =>
      quantile(await driver.request<number[]>('pings', { name: 'leaf', duration: lab.short ? 2000 : 5000, ...args }), 0.99) * 1000
    const series = await interleave([
      side('hop idle', ramet, (driver) => p99(driver, {})),
      side('hop computes', ramet, (driver) => p99(driver, { spin: 'hop' })),
    ], lab.rounds(5))
    const row = rowOf('tree-ping', 'ping through a hop while user code of the hop computes for 5 s, p99 of each round', 'us', series)
    compare(row, 'hop computes', 'hop idle', 3)
    row.notes.push('The context behind the hop is a process of its own account.')
    yield row
  },
}

const size = 50
/** What the others take each. */
const bytes = 4 * megabyte
const stalledBytes = 256 * megabyte

/** One of fifty takes nothing: it costs the hop no more than its window, and the others nothing. */
export const treeStreams: Benchmark = {
  name: 'tree-streams',
  async *rows(lab) {
    const target = address(await lab.sshd())
    const ramet = lab.ramet()
    const grown: Record<string, number[][]> = {}
    // A hop of its own for each round: what an earlier one left in its heap is no baseline.
    const round = (name: string, stall?: Stall) => async (driver: Driver): Promise<number> => {
      const pid = await driver.request<number>('open', { name: 'hop', target })
      await driver.request('gather', { via: 'hop', count: size })
      const before = resident(pid)
      let most = before
      const sampling = setInterval(() => (most = Math.max(most, resident(pid))), 20)
      try {
        return await driver.request<number>('streams', { bytes, stalledBytes, ...(stall ? { stall } : {}) })
      } finally {
        clearInterval(sampling)
        ;(grown[name] ??= []).push([(most - before) / megabyte])
        await driver.request('disperse')
        await driver.request('shut', { name: 'hop' })
      }
    }
    const names = { alone: 'the others alone', command: 'a command that reads nothing', process: 'a context that stands still' }
    const series = await interleave([
      side(names.alone, ramet, round(names.alone)),
      side(names.command, ramet, round(names.command, 'command')),
      side(names.process, ramet, round(names.process, 'process')),
    ], lab.rounds(3), { warmUp: false })
    const memory = rowOf('tree-streams-memory', `growth of a hop while ${size - 1} contexts take 4 MiB each and one takes nothing of 256 MiB`, 'MiB',
      series.map((one) => ({ ...one, rounds: grown[one.name] ?? [] })))
    const time = rowOf('tree-streams-time', 'the same: until the others have taken theirs', 'ms', series)
    for (const stalled of [names.command, names.process]) {
      within(memory, stalled, 64, '64 MiB')
      compare(time, stalled, names.alone, 1.5)
    }
    memory.notes.push('Largest resident set, looked at every 20 ms. The contexts behind the hop are processes of its own account, which read by cat.')
    yield memory
    yield time
  },
}
