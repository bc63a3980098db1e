import { join } from 'node:path'
import { python } from '../processes.ts'
import type { Endpoint } from '../workspace.ts'

export type Strategy = 'linear' | 'mitogen_linear'

/** Ansible's own pipes each task through an `ssh` over one master; with Mitogen's strategy there is one `ssh` for all and no master. */
export function configText(folder: string, strategy: Strategy, forks: number, sshOptions: readonly string[]): string {
  const persist = strategy === 'linear' ? ['-o', 'ControlMaster=auto', '-o', 'ControlPersist=60s'] : []
  return [
    '[defaults]',
    `strategy = ${strategy}`,
    `forks = ${forks}`,
    'gathering = explicit',
    'retry_files_enabled = False',
    'host_key_checking = True',
    'nocows = True',
    `home = ${folder}`,
    `local_tmp = ${join(folder, 'tmp')}`,
    '[ssh_connection]',
    'pipelining = True',
    // Percent signs are the file's own quotes.
    `control_path_dir = ${join(folder, 'masters')}`,
    `control_path = ${join(folder, 'masters', '%%h-%%p')}`,
    `ssh_args = ${[...sshOptions, ...persist].join(' ')}`,
    '',
  ].join('\n')
}

/** Where the configuration above has the master of a host: what an end of it is sent to. */
export const masterOf = (folder: string, { host, port }: Endpoint): string => join(folder, 'masters', `${host}-${port}`)

/** Mitogen's strategy would ask ssh to compress before any of the options above, and of two words ssh takes the first. */
export function inventoryText(hosts: readonly Endpoint[], user: string): string {
  const all = `ansible_user=${user} ansible_python_interpreter=${python} mitogen_ssh_compression=False`
  return hosts.map(({ host, port }, index) => `target${index + 1} ansible_host=${host} ansible_port=${port} ${all}\n`).join('')
}

/** A play of so many tasks, each of them the `command` module, which starts no shell. */
export function playbookText(command: string, tasks: number): string {
  return ['- hosts: all', '  gather_facts: false', '  tasks:', ...Array<string>(tasks).fill(`    - command: ${command}`), ''].join('\n')
}

/** The same as one task in which the target's shell runs the command again and again. */
export function loopPlaybookText(line: string): string {
  return ['- hosts: all', '  gather_facts: false', '  tasks:', `    - shell: ${JSON.stringify(line)}`, ''].join('\n')
}

/** The tasks that ended well, of all hosts, as a play's recap counts them; undefined where any failed or a host was not reached. */
export function tasksDone(output: string): number | undefined {
  const recap = [...output.matchAll(/^\S+\s+: ok=(\d+)\s+changed=\d+\s+unreachable=(\d+)\s+failed=(\d+)/gm)]
  if (recap.length === 0 || recap.some(([, , unreachable, failed]) => unreachable !== '0' || failed !== '0')) return undefined
  return recap.reduce((sum, [, ok]) => sum + Number(ok), 0)
}

/** The hosts on which an ad hoc command ended well. */
export const hostsDone = (output: string): number => output.match(/^\S+ \| CHANGED \| rc=0 >>$/gm)?.length ?? 0
