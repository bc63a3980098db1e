import type { Connecting, Context } from '../src/controller/api.ts'
import type { Group } from '../src/controller/group.ts'
import type { Operations } from './driver.ts'
import { checked, type Tasks, tasksUrl } from './ramet-work.ts'
import type { Endpoint } from './workspace.ts'

export interface GrowthHome {
  connect(target: Endpoint, options: { via?: unknown }): Connecting
  group(contexts: readonly Context[]): Group
}

/** What something took here: milliseconds by the clock, and of this process's CPU. */
export interface Spent {
  took: number
  cpu: number
}

/** What ramet's driver can be asked about many contexts. All calls are inline: a Worker's start would drown the rest. */
export function growthOperations({ connect, group }: GrowthHome): Operations {
  let grown: Context[] = []

  return {
    /** Connects to all at once, the n-th behind the n-th of `vias` (taken in turns), and calls each once. */
    grow: async (request) => {
      const { targets, vias } = request as unknown as { targets: Endpoint[]; vias: string[] }
      const opened: Connecting[] = []
      const spent = await spending(async () => {
        for (const [index, target] of targets.entries()) opened.push(connect(target, vias.length === 0 ? {} : { via: vias[index % vias.length] }))
        await Promise.all(opened.map(async (one) => checked(await one.with({ isolate: 'none' }).use<Tasks>(tasksUrl).increment(41), 42)))
      })
      grown = await Promise.all(opened)
      return { ...spent, pids: grown.map(({ info }) => info?.pid) }
    },
    /** The same call to all of them as a group, again when all have answered; means. */
    call_grown: async (request) => {
      const { times } = request as unknown as { times: number }
      const all = group(grown).with({ isolate: 'none' }).use<Tasks>(tasksUrl)
      const { took, cpu } = await spending(async () => {
        for (let i = 0; i < times; i++) for (const result of (await all.noop()).values()) checked(result.ok, true)
      })
      return { took: took / times, cpu: cpu / times }
    },
    shrink: async () => {
      await Promise.all(grown.map((context) => context.close()))
      grown = []
    },
  }
}

async function spending(work: () => Promise<void>): Promise<Spent> {
  const [begun, before] = [performance.now(), process.cpuUsage()]
  await work()
  const { user, system } = process.cpuUsage(before)
  return { took: performance.now() - begun, cpu: (user + system) / 1000 }
}
