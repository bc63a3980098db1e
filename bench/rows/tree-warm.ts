import { echoBytes } from '../echo.ts'
import { compare, interleave, rowOf, type Benchmark, type Row } from '../harness.ts'
import { prepared, side, type Lab, type PeerOptions } from '../lab.ts'
import { addresses, type Endpoint } from '../workspace.ts'
import { chain } from './tree-connect.ts'

/** One call after the other: straight, through one hop, and through three. Every stretch is an SSH connection of its own. */
export const treeWarm: Benchmark = {
  name: 'tree-warm',
  async *rows(lab) {
    yield await warmRow(lab, 'tree-warm', {})
    yield await warmRow(lab, 'tree-warm-one-core', { oneCore: true })
  },
}

async function warmRow(lab: Lab, name: string, options: PeerOptions): Promise<Row> {
  const { port } = await lab.sshd({ ...options, hosts: 4 })
  const [hop, ...targets] = addresses.slice(0, 4).map((host): Endpoint => ({ host, port })) as [Endpoint, ...Endpoint[]]
  const calls = lab.calls(500)
  const [ramet, mitogen] = await Promise.all([lab.ramet(options), lab.mitogen(options)].map(async (starting) => {
    const direct = await prepared(await starting, 'open', { name: 'leaf0', target: hop })
    return chain(await chain(direct, hop, targets, 3), hop, targets, 1)
  })) as [Awaited<ReturnType<Lab['mitogen']>>, Awaited<ReturnType<Lab['mitogen']>>]
  const ways = [['direct', 0], ['one hop', 1], ['three hops', 3]] as const
  let ssh = lab.sshChain(options)
  for (const [name, hops] of ways) ssh = await prepared(ssh, 'open', { name, chain: [hop, ...targets].slice(0, hops + 1) })
  const series = await interleave([
    ...ways.flatMap(([way, hops]) => [
      side(`ramet (inline), ${way}`, ramet, (driver) => driver.request<number[]>('warm', { name: `leaf${hops}`, calls, isolate: 'none' })),
      side(`mitogen, ${way}`, mitogen, (driver) => driver.request<number[]>('warm', { name: `leaf${hops}`, calls })),
      side(`echo by ssh in ssh, ${way}`, ssh, (driver) => driver.request<number[]>('warm', { name: way, calls, bytes: echoBytes })),
    ]),
    side('ramet (Worker), one hop', ramet, (driver) => driver.request<number[]>('warm', { name: 'leaf1', calls })),
  ], lab.rounds(12))
  const row = rowOf(name, 'warm call of a function that does nothing', 'us', series)
  compare(row, 'ramet (inline), one hop', 'mitogen, one hop', 0.7)
  compare(row, 'ramet (inline), three hops', 'ramet (inline), one hop', 2.2)
  compare(row, 'ramet (Worker), one hop', 'mitogen, one hop')
  compare(row, 'ramet (inline), three hops', 'mitogen, three hops')
  compare(row, 'ramet (inline), one hop', 'ramet (inline), direct')
  compare(row, 'mitogen, three hops', 'mitogen, one hop')
  compare(row, 'echo by ssh in ssh, three hops', 'echo by ssh in ssh, one hop')
  return row
}
