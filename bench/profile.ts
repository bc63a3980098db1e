import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Driver } from './driver.ts'
import { Lab } from './lab.ts'
import { resident } from './memory.ts'
import { shares, type CpuProfile } from './profile-shares.ts'
import { addresses, Workspace, type Endpoint } from './workspace.ts'

/** What is profiled, and how often in one run: enough that a process's start is a small part of its life. */
const phases = {
  'boot of 30 targets behind the hop': { count: 30, work: (ramet: Driver, targets: Endpoint[]) => ramet.request('fleet', { targets, via: 'hop', isolate: 'none' }) },
  'warm calls, one after the other': { count: 6000, work: (ramet: Driver) => ramet.request('warm', { name: 'target', calls: 6000, isolate: 'none' }) },
  'pipelined calls': { count: 60_000, work: (ramet: Driver) => ramet.request('pipelined', { name: 'target', calls: 60_000, window: 1000, isolate: 'none' }) },
  'fan-outs to 50': { count: 300, work: (ramet: Driver) => ramet.request('fan_out', { times: 300, group: true }) },
} as const

type Phase = keyof typeof phases

/**
 * Where controller, hop and target spend their time: each phase in processes of their own, under V8's sampling profiler. Prints, per
 * phase and process, the shares of its busy time and the functions that take most. Nothing is judged: PROFILE.md says what follows.
 */
export async function profile(): Promise<void> {
  const workspace = new Workspace()
  const lab = new Lab(workspace, {})
  try {
    for (const phase of Object.keys(phases) as Phase[]) {
      for (const [process, text] of await profiled(lab, phase)) console.log(`${phase}: ${process}\n${text}\n`)
      await lab.close()
    }
  } finally {
    await lab.close()
    workspace.close()
  }
}

async function profiled(lab: Lab, phase: Phase): Promise<[string, string][]> {
  const { count, work } = phases[phase]
  const folder = (name: string): string => join(lab.workspace.dir, 'profiles', phase.replaceAll(/\W+/g, '-'), name)
  const underProfile = (name: string): string[] => {
    mkdirSync(folder(name), { recursive: true })
    return ['--cpu-prof', '--cpu-prof-interval', '100', `--cpu-prof-dir=${folder(name)}`]
  }
  const { port } = await lab.sshd({ hosts: 33 })
  const [hop, target, ...others] = addresses.slice(0, 33).map((host): Endpoint => ({ host, port })) as [Endpoint, Endpoint, ...Endpoint[]]
  const ramet = lab.ramet({ flags: underProfile('controller') })
  if ('missing' in ramet) throw new Error(ramet.missing)
  const hopPid = await ramet.request<number>('open', { name: 'hop', target: hop, node: [process.execPath, ...underProfile('hop')] })
  if (phase !== 'boot of 30 targets behind the hop') {
    await ramet.request('open', { name: 'target', target, via: 'hop', isolate: 'none', node: [process.execPath, ...underProfile('target')] })
  }
  if (phase === 'fan-outs to 50') await ramet.request('gather', { via: 'hop', count: 50 })
  const begun = performance.now()
  await work(ramet, others.slice(0, 30))
  const took = performance.now() - begun
  const memory = [['controller', ramet.pid], ['hop', hopPid]].map(([name, pid]) => `${name} ${(resident(pid as number) / 2 ** 20).toFixed(0)} MiB`)
  for (const name of ['target', 'hop']) await ramet.request('shut', { name })
  await ramet.close()
  return ['controller', 'hop', 'target'].flatMap((name): [string, string][] => {
    const found = read(folder(name))
    return found === undefined ? [] : [[name, shares(found, count) + (name === 'controller' ? `\n  ${(took / count).toFixed(3)} ms each by the clock; resident: ${memory.join(', ')}` : '')]]
  })
}

/** The profile that a process left when it ended; undefined where none was made. The largest one is the main thread's. */
function read(folder: string): CpuProfile | undefined {
  const texts = list(folder).map((name) => readFileSync(join(folder, name), 'utf8')).sort((a, b) => b.length - a.length)
  return texts[0] === undefined ? undefined : JSON.parse(texts[0]) as CpuProfile
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'))
  } catch {
    return []
  }
}
