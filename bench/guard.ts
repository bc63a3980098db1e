import { existsSync } from 'node:fs'
import { compare, interleave, rowOf, within, type Benchmark, type Row, type Side } from './harness.ts'
import type { Driver } from './driver.ts'
import { echoBytes } from './echo.ts'
import { address, Lab, prepared, side, type Maybe } from './lab.ts'
import { processTree } from './memory.ts'
import { stubBytes } from './rows/stub.ts'
import { crowdOf, newModule, uplinkBytes } from './rows/tree-crowd.ts'
import { chain } from './rows/tree-connect.ts'
import { median } from './stats.ts'
import { addresses, Workspace, type Endpoint } from './workspace.ts'

/*
 * What CI looks at. Counts are the same on every machine and on a busy one: they fail when they grow. Ratios of times are
 * not: one fails only beyond twice its accepted value in three of three interleaved runs, and warns before.
 */

const calls = 200

/** Bytes, packets, frames, connections and processes of warm calls and commands on one context. */
const callCounts: Benchmark = {
  name: 'guard-calls',
  async *rows(lab) {
    const relay = await lab.relay(await lab.sshd())
    const ramet = present(lab.ramet())
    const pid = running(await ramet.request<number>('open', { name: 'a', target: address(relay) }))
    const measured = async (op: string, args: object): Promise<{ bytes: number; packets: number; framesOut: number; framesIn: number }> => {
      await ramet.request(op, { name: 'a', ...args, calls: 10 })
      const [traffic, link] = [{ ...relay.traffic }, await linkOf(ramet)]
      await ramet.request(op, { name: 'a', ...args, calls })
      const [after, linkAfter] = [relay.traffic, await linkOf(ramet)]
      return {
        bytes: (after.bytesUp + after.bytesDown - traffic.bytesUp - traffic.bytesDown) / calls,
        packets: (after.packetsUp + after.packetsDown - traffic.packetsUp - traffic.packetsDown) / calls,
        framesOut: (linkAfter.framesOut - link.framesOut) / calls,
        framesIn: (linkAfter.framesIn - link.framesIn) / calls,
      }
    }
    // A PING that falls among two hundred calls is no frame per call.
    for (const [what, isolate] of [['inline', 'none'], ['Worker', 'worker']] as const) {
      const call = await measured('warm', { isolate })
      yield count(`bytes per warm call, ${what}`, call.bytes, 140)
      yield count(`packets per warm call, ${what}`, call.packets, 2.1)
      yield count(`frames to the target per warm call, ${what}`, call.framesOut, 1.05)
      yield count(`frames back per warm call, ${what}`, call.framesIn, 1.05)
    }
    const exec = await measured('exec', { command: 'hostname', gap: 0 })
    yield count('bytes per exec', exec.bytes, 260)
    yield count('packets per exec', exec.packets, 2.5)
    yield count('frames to the target per exec', exec.framesOut, 1.05)
    yield count('frames back per exec', exec.framesIn, 2.05)
    yield count('connections for all of them', relay.traffic.connections, 1)
    await ramet.request('shut', { name: 'a' })
    const fresh = running(await ramet.request<number>('open', { name: 'a', target: address(relay) }))
    yield count('processes on the target after a function was called', processTree(fresh).length, 1)
    // Killed is not gone: on a busy machine its threads have to be scheduled once more to end.
    for (let looks = 0; looks < 100 && existsSync(`/proc/${pid}`); looks++) await new Promise((resolve) => setTimeout(resolve, 50))
    yield count('processes left on the target after it was closed', existsSync(`/proc/${pid}`) ? 1 : 0, 0)
  },
}

/** Milliseconds of a round trip in which a busy machine's own time does not matter. */
const farTrip = 200

/** How often an answer is waited for: the time that a network of 200 ms adds, in round trips. */
const roundTrips: Benchmark = {
  name: 'guard-round-trips',
  async *rows(lab) {
    const { port } = await lab.sshd({ hosts: 3 })
    const [near, ...targets] = addresses.slice(0, 3).map((host): Endpoint => ({ host, port })) as [Endpoint, ...Endpoint[]]
    const far = address(await lab.relay(near, { delay: farTrip / 2 }))
    const ramet = present(lab.ramet())
    let made = 0
    const trips = async (round: (target: Endpoint) => Promise<number[]>): Promise<number[]> => {
      const [nearest, farthest] = [await round(near), await round(far)]
      for (let again = 0; again < 2; again++) for (const [best, target] of [[nearest, near], [farthest, far]] as const) {
        for (const [index, time] of (await round(target)).entries()) best[index] = Math.min(best[index] ?? Infinity, time)
      }
      return farthest.map((time, index) => (time - (nearest[index] ?? NaN)) / farTrip)
    }
    const args = { isolate: 'none' }
    // The relay delays no TCP handshake: on a real network it is one more.
    const [connect = NaN] = await trips(async (target) => [await ramet.request<number>('connect_first', { target, ...args })])
    yield count('round trips of connecting until the first result', connect, 3.5)
    const [first = NaN, second = NaN] = await trips((hop) => ramet.request<number[]>('behind', { hop, targets, ...args }))
    yield count('round trips to the hop, for the first target behind it', first, 2.5)
    yield count('round trips to the hop, for the second target behind it', second, 2.5)
    await ramet.request('open', { name: 'near', target: near })
    await ramet.request('open', { name: 'far', target: far })
    const nameOf = (target: Endpoint): string => target === near ? 'near' : 'far'
    const [warm = NaN] = await trips(async (target) => [Math.min(...await ramet.request<number[]>('warm', { name: nameOf(target), calls: 3, ...args })) / 1000])
    yield count('round trips of a warm call', warm, 1.5)
    const [code = NaN] = await trips(async (target) => [await ramet.request<number>('new_code', { name: nameOf(target), ...newModule(lab, ++made) })])
    yield count('round trips of the first call with new code', code, 1.5)
  },
}

const crowd = 20

/** What a hop spares the link to it. */
const treeCounts: Benchmark = {
  name: 'guard-tree',
  async *rows(lab) {
    const { relay, ramet: starting } = await crowdOf(lab, crowd)
    const ramet = present(starting)
    const one = await ramet.request<number>('spread_code', { count: 1, ...newModule(lab, 1001) })
    const all = await ramet.request<number>('spread_code', { count: crowd, ...newModule(lab, 1002) })
    yield count(`bytes of code to a hop for ${crowd} contexts behind it, in those for one`, all / one, 1.1)
    let frames = 0
    const fanOut = async (group: boolean): Promise<number> => uplinkBytes(relay, async () => ({ frames } = await ramet.request<{ frames: number }>('fan_out', { group, times: 10 })))
    const singles = await fanOut(false)
    yield count(`bytes of a call to ${crowd} contexts behind a hop, in those of ${crowd} calls`, await fanOut(true) / singles, 0.25)
    yield count('frames of that call to the hop', frames, 1.05)
    yield count('connections to the hop', relay.traffic.connections, 1)
  },
}

interface Timed {
  name: string
  accepted: number
  /** What is ours, and what it is measured by. */
  sides(lab: Lab): Promise<[Side, Side]>
}

const timed: readonly Timed[] = [
  {
    name: 'connect until the first result / ssh host true', accepted: 0.85,
    sides: async (lab) => {
      const target = address(await lab.sshd())
      return [side('ours', lab.ramet(), (driver) => driver.request<number>('connect_first', { target })), side('peer', lab.ssh(), (ssh) => ssh.command(target, 'true'))]
    },
  },
  {
    name: 'warm inline call / an echo over ssh2', accepted: 1.4,
    sides: async (lab) => {
      const target = address(await lab.sshd())
      const ramet = await prepared(lab.ramet(), 'open', { name: 'a', target })
      const echo = await prepared(lab.rawEcho(), 'open', { target })
      return [side('ours', ramet, (driver) => driver.request<number[]>('warm', { name: 'a', calls: 1000, isolate: 'none' })),
        side('peer', echo, (driver) => driver.request<number[]>('warm', { calls: 1000, bytes: echoBytes }))]
    },
  },
  {
    name: 'exec / ssh over a ControlMaster', accepted: 0.4,
    sides: async (lab) => {
      const target = address(await lab.sshd())
      const ramet = await prepared(lab.ramet(), 'open', { name: 'a', target })
      const ssh = lab.ssh()
      const master = 'missing' in ssh ? ssh : lab.own(await ssh.master(lab.workspace, target))
      return [side('ours', ramet, (driver) => driver.request<number[]>('exec', { name: 'a', calls: 40, gap: 0, command: 'hostname' })),
        side('peer', master, (open) => open.exec('hostname', 10))]
    },
  },
  {
    name: 'warm inline call through three hops / through one', accepted: 2.2,
    sides: async (lab) => {
      const { port } = await lab.sshd({ hosts: 4 })
      const [hop, ...targets] = addresses.slice(0, 4).map((host): Endpoint => ({ host, port })) as [Endpoint, ...Endpoint[]]
      const ramet = await chain(await chain(lab.ramet(), hop, targets, 3), hop, targets, 1)
      const warm = (name: string) => (driver: Driver): Promise<number[]> => driver.request<number[]>('warm', { name, calls: 1000, isolate: 'none' })
      return [side('ours', ramet, warm('leaf3')), side('peer', ramet, warm('leaf1'))]
    },
  },
]

/** Resolves with the exit code. */
export async function guard(): Promise<number> {
  const failures: string[] = []
  let lab: Lab | undefined
  let stopped = false
  const stop = (): void => {
    stopped = true
    void lab?.close()
  }
  // Before there is anything that would be left.
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  const workspace = new Workspace()
  const inLab = async (name: string, work: (lab: Lab) => Promise<void>): Promise<void> => {
    if (stopped) return
    lab = new Lab(workspace, { short: true, samples: 1 })
    try {
      await work(lab)
    } catch (error) {
      failures.push(`${name}: ${error instanceof Error ? error.message : String(error)}`)
    } finally {
      await lab.close()
    }
  }
  try {
    for (const benchmark of [stubBytes, callCounts, roundTrips, treeCounts]) {
      await inLab(benchmark.name, async (lab) => {
        for await (const row of benchmark.rows(lab)) {
          for (const { text, value, met } of row.checks) {
            const line = `${row.figure}: ${Number(value.toPrecision(4))} (${text.trim()})`
            console.log(`${met === true ? 'met    ' : 'MISSED '} ${line}`)
            if (met !== true) failures.push(line)
          }
        }
      })
    }
    for (const one of timed) await inLab(one.name, async (lab) => {
      const verdict = await judged(one, await one.sides(lab))
      console.log(verdict.text)
      if (verdict.failed) failures.push(verdict.text)
    })
  } finally {
    workspace.close()
  }
  if (stopped) {
    console.error('stopped: what is not named above was not looked at')
    return 130
  }
  for (const failure of failures) console.error(`failed: ${failure}`)
  return failures.length > 0 ? 1 : 0
}

/** Three interleaved runs of a ratio. */
async function judged({ name, accepted }: Timed, sides: [Side, Side]): Promise<{ text: string; failed: boolean }> {
  const ratios: number[] = []
  for (let i = 0; i < 3; i++) {
    const row = rowOf(name, name, '', await interleave(sides, 3, { warmUp: i === 0 }))
    compare(row, 'ours', 'peer')
    const [check] = row.checks
    if (check?.missing !== undefined) throw new Error(check.missing)
    ratios.push(check?.value ?? NaN)
  }
  return judge(name, accepted, ratios)
}

/** Exported for its test. */
export function judge(name: string, accepted: number, ratios: readonly number[]): { text: string; failed: boolean } {
  const text = `${name}: ${ratios.map((ratio) => ratio.toFixed(2)).join(', ')} (accepted: ${accepted})`
  const failed = ratios.every((ratio) => !(ratio <= 2 * accepted))
  return { text: `${failed ? 'MISSED ' : median(ratios) <= accepted ? 'met    ' : 'WARNING'} ${text}`, failed }
}

/** Exported for its test. What is counted has happened: where something is accepted, nothing is what a broken counter says. */
export function count(figure: string, value: number, most: number): Row {
  const row = rowOf('guard', figure, '', [{ name: 'ramet', rounds: [[most > 0 && value <= 0 ? NaN : value]] }])
  within(row, 'ramet', most, 'accepted')
  return row
}

/** Of a process that is not there, one would count as itself alone, and as gone. */
function running(pid: number): number {
  if (!existsSync(`/proc/${pid}`)) throw new Error(`the target names process ${pid}, which is not there`)
  return pid
}

function present(peer: Maybe<Driver>): Driver {
  if ('missing' in peer) throw new Error(peer.missing)
  return peer
}

async function linkOf(ramet: Driver): Promise<{ framesOut: number; framesIn: number }> {
  const { links } = await ramet.request<{ links: { framesOut: number; framesIn: number }[] }>('stats')
  if (links[0] === undefined) throw new Error('nothing is connected')
  return links[0]
}
