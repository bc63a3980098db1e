import { findProgram, linesOf, run } from '../processes.ts'
import type { Suite } from '../sshd.ts'
import type { Workspace } from '../workspace.ts'
import { sshOptions } from './openssh.ts'

export function clushMissing(): string | undefined {
  return findProgram('clush') === undefined ? 'clush (clustershell) is not installed' : undefined
}

/** Milliseconds of one `clush` that runs a command on all hosts at once. */
export async function clush(workspace: Workspace, suite: Suite, port: number, hosts: readonly string[], command: string): Promise<number> {
  const options = [...sshOptions(workspace, suite), '-p', String(port)].join(' ')
  const argv = ['clush', '-q', '-f', String(hosts.length), '-l', workspace.user, '-o', options, '-w', hosts.join(','), '--', command]
  const done = await run(argv)
  const lines = linesOf(done.stdout)
  if (done.code !== 0 || lines !== hosts.length) throw new Error(`clush ended with ${done.code} after ${lines} hosts: ${done.stderr.trim()}`)
  return done.duration
}
