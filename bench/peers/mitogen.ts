import { join } from 'node:path'
import { Driver } from '../driver.ts'
import { python, run } from '../processes.ts'
import { root, type Endpoint, type Workspace } from '../workspace.ts'
import { sshOptions } from './openssh.ts'
import type { Suite } from '../sshd.ts'

export async function mitogenMissing(): Promise<string | undefined> {
  const done = await run([python, '-c', 'import mitogen']).catch(() => undefined)
  return done?.code === 0 ? undefined : 'python3-mitogen is not installed'
}

/** Mitogen at its best: compression off, OpenSSH without configuration file, functions in a module of their own. */
export function startMitogen(workspace: Workspace, options: { suite?: Suite; oneCore?: boolean } = {}): Driver {
  const settings = {
    user: workspace.user,
    key: workspace.key,
    ssh_args: sshOptions(workspace, options.suite ?? 'pinned'),
    modules: workspace.dir,
  }
  return new Driver('mitogen', [python, '-B', join(root, 'bench', 'peers', 'mitogen_driver.py'), JSON.stringify(settings)], options)
}

/** The argv of a whole program over Mitogen's library that runs a command so many times, in a loop here or there. */
export async function mitogenHundred(
  workspace: Workspace, work: { argv: string[]; times: number; suite: Suite; loop: boolean },
): Promise<((target: Endpoint) => string[]) | { missing: string }> {
  const missing = await mitogenMissing()
  if (missing !== undefined) return { missing }
  const { suite, ...told } = work
  const settings = { user: workspace.user, key: workspace.key, ssh_args: sshOptions(workspace, suite), ...told }
  return (target) => [python, '-B', join(root, 'bench', 'peers', 'mitogen_hundred.py'), JSON.stringify({ target, ...settings })]
}
