import { join } from 'node:path'
import { Driver } from '../driver.ts'
import { run } from '../processes.ts'
import { root, type Workspace } from '../workspace.ts'
import { sshOptions } from './openssh.ts'
import type { Suite } from '../sshd.ts'

/** Debian's package is for Debian's Python: another `python3` on PATH does not have it. */
const python = '/usr/bin/python3'

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
