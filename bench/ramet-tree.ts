import { once } from 'node:events'
import { pathToFileURL } from 'node:url'
import type { Connecting, Context, LinkStats } from '../src/controller/api.ts'
import type { Group } from '../src/controller/group.ts'
import type { DriverRequest, Operations } from './driver.ts'
import { checked, type Tasks, tasksUrl } from './ramet-work.ts'
import type { Endpoint } from './workspace.ts'

export interface TreeHome {
  contexts: Map<string, Context>
  connect(target: Endpoint | 'local:', options: { via?: unknown }): Connecting
  firstCall(opening: Connecting, request: DriverRequest): Promise<void>
  group(contexts: readonly Context[]): Group
  stats(): { links: LinkStats[] }
}

/** How a stream's reader keeps it waiting. */
export type Stall = 'command' | 'process'

const chunk = Buffer.alloc(64 * 1024)

/** What ramet's driver can be asked about contexts behind contexts. */
export function treeOperations({ contexts, connect, firstCall, group, stats }: TreeHome): Operations {
  let crowd: Context[] = []

  const timed = async (target: Endpoint, via: string, request: DriverRequest): Promise<[number, Context]> => {
    const begun = performance.now()
    const opening = connect(target, { via })
    await firstCall(opening, request)
    return [performance.now() - begun, await opening]
  }

  return {
    /** The times of the first and the second target behind a hop that has just been connected and called. */
    behind: async (request) => {
      const opening = connect(request['hop'] as Endpoint, {})
      // A hop has its Worker, however its targets are called.
      await firstCall(opening, { op: request.op })
      const hop = await opening
      contexts.set('behind', hop)
      const times: number[] = []
      for (const target of request['targets'] as Endpoint[]) times.push((await timed(target, 'behind', request))[0])
      await hop.close()
      return times
    },
    /** From nothing to the first answer of what is behind so many hops, none of which is connected yet. */
    through: async (request) => {
      const opened: Connecting[] = []
      const begun = performance.now()
      for (const target of request['chain'] as Endpoint[]) opened.push(connect(target, { via: opened.at(-1) }))
      await firstCall(opened.at(-1) as Connecting, request)
      const took = performance.now() - begun
      for (const opening of opened.reverse()) await (await opening).close()
      return took
    },
    /** `count` processes of the hop's own account below it: where no SSH is measured, none is needed. */
    gather: async (request) => {
      const opening = Array.from({ length: request['count'] as number }, () => connect('local:', { via: request['via'] }))
      crowd = await Promise.all(opening)
      await group(crowd).with({ isolate: 'none' }).use<Tasks>(tasksUrl).noop()
    },
    /** Ships a module that nobody has seen to the first `count` of them; bytes of code on the link to the hop. */
    spread_code: async (request) => {
      const some = crowd.slice(0, request['count'] as number)
      const module = pathToFileURL(request['file'] as string)
      await some[0]?.use(module).files()
      const before = uplink(stats()).codeBytes
      const results = await group(some).with({ isolate: 'none' }).use<{ answer(): number }>(module).answer()
      for (const result of results.values()) checked(result.ok && result.value, request['expected'])
      return uplink(stats()).codeBytes - before
    },
    /** The same call to all of them, `times` times: as one of a group, or one for each in one tick. */
    fan_out: async (request) => {
      const together = group(crowd).with({ isolate: 'none' }).use<Tasks>(tasksUrl)
      const each = crowd.map((context) => context.with({ isolate: 'none' }).use<Tasks>(tasksUrl))
      const times = request['times'] as number
      const framesBefore = uplink(stats()).framesOut
      const begun = performance.now()
      for (let i = 0; i < times; i++) {
        if (request['group'] === true) for (const result of (await together.noop()).values()) checked(result.ok, true)
        else await Promise.all(each.map(({ noop }) => noop()))
      }
      return { frames: (uplink(stats()).framesOut - framesBefore) / times, duration: (performance.now() - begun) / times }
    },
    /** Milliseconds of each ping for a while; with `spin`, while user code of that context computes all the time. */
    pings: async (request) => {
      const context = contexts.get(request['name'] as string)
      const spinner = contexts.get(request['spin'] as string)
      const { duration } = request as unknown as { duration: number }
      const spinning = spinner?.use<Tasks>(tasksUrl).spin(duration)
      // Its Worker is up and has begun.
      await context?.ping()
      const times: number[] = []
      for (const end = performance.now() + duration - 100; performance.now() < end;) times.push(await context?.ping() ?? NaN)
      await spinning
      return times
    },
    /** Milliseconds until all but the last have taken `bytes` each, while the last one takes nothing of `stalledBytes`. */
    streams: async (request) => {
      const { bytes, stalledBytes, stall } = request as unknown as { bytes: number; stalledBytes: number; stall?: Stall }
      const last = crowd.at(-1)
      let stop = (): void => undefined
      if (stall !== undefined && last !== undefined) {
        const stalled = last.spawn(stall === 'command' ? 'exec sleep 1000' : 'exec cat > /dev/null')
        await stalled.pid
        const pid = last.info?.pid ?? 0
        if (stall === 'process') process.kill(pid, 'SIGSTOP')
        let ended = false
        stalled.stdin.on('error', () => undefined)
        // It is killed in the end, and its stdin breaks.
        fill(stalled.stdin, stalledBytes, () => ended).catch(() => undefined)
        stop = () => {
          ended = true
          if (stall === 'process') process.kill(pid, 'SIGCONT')
          stalled.kill('SIGKILL')
          stalled.exited.catch(() => undefined)
        }
      }
      try {
        const begun = performance.now()
        await Promise.all(crowd.slice(0, -1).map(async (context) => {
          const { stdin, exited } = context.spawn('exec cat > /dev/null')
          await fill(stdin, bytes, () => false)
          checked((await exited).exitCode, 0)
        }))
        return performance.now() - begun
      } finally {
        stop()
      }
    },
    disperse: async () => {
      await Promise.all(crowd.map((context) => context.close()))
      crowd = []
    },
  }
}

/** The link from here to the hop. */
function uplink({ links }: { links: LinkStats[] }): LinkStats {
  const link = links.find(({ path }) => path.length === 1)
  if (link === undefined) throw new Error('no hop is connected')
  return link
}

async function fill(stdin: NodeJS.WritableStream, bytes: number, given: () => boolean): Promise<void> {
  for (let sent = 0; sent < bytes && !given(); sent += chunk.length) {
    if (!stdin.write(chunk)) await once(stdin, 'drain')
  }
  stdin.end()
}
