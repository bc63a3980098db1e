import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { compare, interleave, rowOf, type Benchmark, type Row, type Side } from '../harness.ts'
import { side, type Lab } from '../lab.ts'
import { clush, clushMissing } from '../peers/clush.ts'
import { parallelSsh, psshMissing } from '../peers/pssh.ts'
import { cleanEnv, linesOf, run } from '../processes.ts'
import type { Suite } from '../sshd.ts'
import { addresses, root, type Workspace } from '../workspace.ts'

const hosts = addresses.slice(0, 32)
const command = 'hostname'
/** Of what takes seconds. */
const slowRounds = 3

/** The whole process, from its start to its end: one command on 32 targets that nothing is connected to. */
export const cli32: Benchmark = {
  name: 'cli32',
  async *rows(lab) {
    yield await cliRow(lab, 'cli32', 'pinned')
    const plain = await cliRow(lab, 'cli32-default', 'default')
    plain.notes.push("Default against default: the peers are OpenSSH's client, whose default key exchange costs 32 times what ssh2's does.")
    yield plain
  },
}

async function cliRow(lab: Lab, name: string, suite: Suite): Promise<Row> {
  const { workspace } = lab
  const { port } = await lab.sshd({ suite, hosts: hosts.length })
  const targets = hosts.map((host) => ({ host, port }))
  const ansible = await lab.ansible('linear', { host: hosts[0] ?? '', port }, { suite })
  const series = await interleave([
    optional('ramet run', rametMissing(), () => rametRun(workspace, port)),
    optional('clush', clushMissing(), () => clush(workspace, suite, port, hosts, command)),
    optional('parallel-ssh', psshMissing(), () => parallelSsh(workspace, suite, port, hosts, command)),
    { ...side('ansible -m command', ansible, (adHoc) => adHoc.everywhere(targets, command)), rounds: Math.min(slowRounds, lab.rounds(9)) },
  ], lab.rounds(9), { primed: true })
  const row = rowOf(name, 'hostname on 32 cold targets, whole process', 'ms', series)
  compare(row, 'ramet run', 'clush', suite === 'default' ? undefined : 0.7)
  compare(row, 'ramet run', 'parallel-ssh', suite === 'default' ? undefined : 0.9)
  compare(row, 'ramet run', 'ansible -m command', suite === 'default' ? undefined : 0.25)
  row.notes.push('All start from what their interpreters have compiled before: the warm-up leaves ramet its own, the packages of the others brought theirs (.pyc).')
  row.notes.push(`ansible takes part in ${slowRounds} of the rounds, without a warm-up; the others run once unmeasured before each sample. 32 forks, pipelining, its masters ended outside of its time.`)
  return row
}

const cli = join(root, 'dist', 'cli.cjs')

function rametMissing(): string | undefined {
  return existsSync(cli) ? undefined : 'dist/cli.cjs is not built'
}

async function rametRun(workspace: Workspace, port: number): Promise<number> {
  const done = await run([
    process.execPath, cli, 'run', command, '-t', hosts.map((host) => `${host}:${port}`).join(','), '--user', workspace.user,
    '--private-key', workspace.key, '--known-hosts', workspace.knownHosts, '--ssh-config', 'none',
  ], { env: { ...cleanEnv(), XDG_CACHE_HOME: join(workspace.dir, 'cache') } })
  // As of the others, each host's answer is asked for, and not only that it all ended well.
  const lines = linesOf(done.stdout)
  if (done.code !== 0 || lines !== 2 * hosts.length) throw new Error(`ramet run ended with ${done.code} after ${lines} lines: ${done.stderr.trim()} ${done.stdout.slice(-500)}`)
  return done.duration
}

function optional(name: string, missing: string | undefined, round: () => Promise<number>): Side {
  return missing === undefined ? { name, round } : { name, missing }
}
