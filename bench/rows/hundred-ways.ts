import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Side } from '../harness.ts'
import type { Lab, Maybe } from '../lab.ts'
import type { Ansible } from '../peers/ansible.ts'
import type { Strategy } from '../peers/ansible-files.ts'
import { mitogenHundred } from '../peers/mitogen.ts'
import { linesOf, run } from '../processes.ts'
import type { HundredWork } from '../programs/work.ts'
import type { Suite } from '../sshd.ts'
import { root, type Endpoint } from '../workspace.ts'

/** A way to have a command run again and again on one host, as whole processes: a cold start to an exit each time. */
export interface Way {
  name: string
  missing?: string
  /** Milliseconds. */
  run: (target: Endpoint) => Promise<number>
  /** As of a Side. */
  rounds?: number
}

export interface Work {
  argv: string[]
  times: number
  suite: Suite
  /** Rounds of what takes seconds. */
  slowRounds: number
}

/** A Way as a side of a comparison. */
export function sideOf({ name, missing, run: round, rounds }: Way, target: Endpoint): Side {
  return missing === undefined ? { name, round: () => round(target), ...(rounds === undefined ? {} : { rounds }) } : { name, missing }
}

/** One call or command or task after the other. `server` is where Ansible is asked whether it runs through Mitogen. */
export async function ways(lab: Lab, server: Endpoint, { argv, times, suite, slowRounds }: Work): Promise<Way[]> {
  const { workspace } = lab
  const command = argv.join(' ')
  const ssh = lab.ssh({ suite })
  const slow = (way: Way): Way => ({ ...way, rounds: slowRounds })
  return [
    nodeWay(lab, 'ramet', 'hundred-ramet', { argv, times }),
    await mitogenWay(lab, 'mitogen', { argv, times, suite, loop: false }),
    nodeWay(lab, 'ssh2, a channel each', 'hundred-ssh2', { argv, times, ownAlgorithms: suite === 'default' }),
    way('ssh over a master', ssh, (client, target) => client.repeated(workspace, target, command, times, true)),
    slow(ansibleWay('ansible, mitogen_linear', await lab.ansible('mitogen_linear', server, { suite }), command, times)),
    slow(way(`${times} × ssh`, ssh, (client, target) => client.repeated(workspace, target, command, times, false))),
    slow(ansibleWay('ansible, linear', await lab.ansible('linear', server, { suite }), command, times)),
  ]
}

/** A play with a task for each command. */
export const ansibleWay = (name: string, ansible: Maybe<Ansible>, command: string, times: number): Way =>
  way(name, ansible, (open, target) => open.tasks(target, command, times))

export const loopLine = (argv: readonly string[], times: number): string => `i=0; while [ $i -lt ${times} ]; do ${argv.join(' ')}; i=$((i+1)); done`

/** The loop is on the target: as a function where a peer has functions, else as a line of shell. */
export async function loopWays(lab: Lab, server: Endpoint, { argv, times, suite, slowRounds }: Work): Promise<Way[]> {
  const line = loopLine(argv, times)
  const ssh = lab.ssh({ suite })
  const shell = async (strategy: Strategy): Promise<Way> =>
    ({ ...way(`ansible, ${strategy}, a shell`, await lab.ansible(strategy, server, { suite }), (ansible, target) => ansible.line(target, line)), rounds: slowRounds })
  return [
    nodeWay(lab, 'ramet, a function', 'loop-ramet', { argv, times }),
    nodeWay(lab, 'ramet, a shell', 'hundred-ramet', { argv: ['sh', '-c', line], times: 1 }, times),
    await mitogenWay(lab, 'mitogen, a function', { argv, times, suite, loop: true }),
    way('ssh, a shell', ssh, (client, target) => client.repeated(lab.workspace, target, line, 1, false, times)),
    await shell('mitogen_linear'),
    await shell('linear'),
  ]
}

function way<T extends object>(name: string, peer: Maybe<T>, timed: (peer: T, target: Endpoint) => Promise<number>): Way {
  return { name, run: (target) => 'missing' in peer ? Promise.reject(new Error(peer.missing)) : timed(peer, target), ...('missing' in peer ? peer : {}) }
}

/** A program of bench/programs in a Node of its own, told what it needs to know by its argument. */
function nodeWay(lab: Lab, name: string, program: string, work: Pick<HundredWork, 'argv' | 'times'> & { ownAlgorithms?: boolean }, lines: number = work.times): Way {
  const file = join(root, 'dist', 'bench', 'programs', `${program}.js`)
  const { user, key, knownHosts } = lab.workspace
  const timed = (target: Endpoint): Promise<number> =>
    finished(name, lines, [process.execPath, file, JSON.stringify({ target, user, key, knownHosts, ...work } satisfies HundredWork)])
  return { name, run: timed, ...(existsSync(file) ? {} : { missing: `${file} is not built` }) }
}

async function mitogenWay(lab: Lab, name: string, work: Pick<HundredWork, 'argv' | 'times'> & { suite: Suite; loop: boolean }): Promise<Way> {
  return way(name, await mitogenHundred(lab.workspace, work), (argv, target) => finished(name, work.times, argv(target)))
}

/** Milliseconds of a program that has to print so many lines. */
async function finished(name: string, lines: number, argv: readonly string[]): Promise<number> {
  const done = await run(argv)
  if (done.code !== 0 || linesOf(done.stdout) !== lines) {
    throw new Error(`${name} ended with ${done.code} after ${linesOf(done.stdout)} of ${lines} lines: ${done.stderr.trim()}`)
  }
  return done.duration
}
