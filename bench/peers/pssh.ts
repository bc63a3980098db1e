import { findProgram, run } from '../processes.ts'
import type { Suite } from '../sshd.ts'
import type { Workspace } from '../workspace.ts'
import { sshOptions } from './openssh.ts'

export function psshMissing(): string | undefined {
  return findProgram('parallel-ssh') === undefined ? 'parallel-ssh (pssh) is not installed' : undefined
}

/** Milliseconds of one `parallel-ssh` that runs a command on all hosts at once and prints what they said. */
export async function parallelSsh(workspace: Workspace, suite: Suite, port: number, hosts: readonly string[], command: string): Promise<number> {
  const file = workspace.file('pssh-hosts', hosts.map((host) => `${host}:${port}\n`).join(''))
  const options = sshOptions(workspace, suite).flatMap((word) => ['-X', word])
  const done = await run(['parallel-ssh', '-h', file, '-p', String(hosts.length), '-l', workspace.user, '-t', '60', '-i', ...options, '--', command])
  const succeeded = done.stdout.match(/\[SUCCESS\]/g)?.length ?? 0
  if (done.code !== 0 || succeeded !== hosts.length) throw new Error(`parallel-ssh ended with ${done.code} after ${succeeded} hosts: ${done.stderr.trim()}`)
  return done.duration
}
