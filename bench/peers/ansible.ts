import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { cleanEnv, findProgram, python, run, type Finished } from '../processes.ts'
import type { Suite } from '../sshd.ts'
import type { Endpoint, Workspace } from '../workspace.ts'
import { configText, hostsDone, inventoryText, loopPlaybookText, masterOf, playbookText, tasksDone, type Strategy } from './ansible-files.ts'
import { sshOptions } from './openssh.ts'

export interface AnsibleOptions {
  suite?: Suite
  /** `ssh` compresses, as with both strategies it does unless told not to. Default false. */
  compressed?: boolean
}

/**
 * Ansible at its best: pipelining, a master that persists or Mitogen's strategy, no facts, no search for an interpreter. Each
 * run is a process of its own and begins cold: masters end after it, outside of what it took.
 */
export class Ansible {
  readonly #workspace: Workspace
  readonly #strategy: Strategy
  readonly #options: AnsibleOptions
  /** Of its folder in the workspace. */
  readonly #name: string

  constructor(workspace: Workspace, strategy: Strategy, options: AnsibleOptions = {}) {
    this.#workspace = workspace
    this.#strategy = strategy
    this.#options = options
    this.#name = `ansible-${strategy}-${options.suite ?? 'pinned'}${options.compressed ? '-compressed' : ''}`
    mkdirSync(join(this.#folder, 'masters'), { recursive: true, mode: 0o700 })
  }

  get #folder(): string {
    return join(this.#workspace.dir, this.#name)
  }

  static async missing(strategy: Strategy): Promise<string | undefined> {
    if (findProgram('ansible-playbook') === undefined) return 'ansible is not installed'
    if (strategy === 'linear') return undefined
    const imported = await run([python, '-c', 'import ansible_mitogen']).catch(() => undefined)
    return imported?.code === 0 ? undefined : 'ansible-mitogen is not installed'
  }

  /** Milliseconds of a play of `tasks` tasks, one after the other, each `command` by itself. */
  async tasks(target: Endpoint, command: string, tasks: number): Promise<number> {
    return this.#play(target, playbookText(command, tasks), tasks)
  }

  /** Milliseconds of a play of one task: a line for the target's shell. */
  async line(target: Endpoint, line: string): Promise<number> {
    return this.#play(target, loopPlaybookText(line), 1)
  }

  /** Milliseconds of one `ansible -m command` on all hosts. */
  async everywhere(hosts: readonly Endpoint[], command: string): Promise<number> {
    const done = await this.#run(hosts, 'ansible', ['all', '-m', 'command', '-a', command])
    const reached = hostsDone(done.stdout)
    if (done.code !== 0 || reached !== hosts.length) throw failed('ansible', done, `${reached} hosts`)
    return done.duration
  }

  /** Rejects when plays do not run through Mitogen: only its strategy knows this action. */
  async proveMitogen(target: Endpoint): Promise<void> {
    const done = await this.#run([target], 'ansible', ['all', '-m', 'mitogen_get_stack'])
    if (done.code !== 0 || !done.stdout.includes('"method": "ssh"')) throw failed('ansible with Mitogen', done, 'its check')
  }

  async #play(target: Endpoint, text: string, tasks: number): Promise<number> {
    const playbook = this.#workspace.file(join(this.#name, 'play.yml'), text)
    const done = await this.#run([target], 'ansible-playbook', [playbook])
    const ended = tasksDone(done.stdout)
    if (done.code !== 0 || ended !== tasks) throw failed('ansible-playbook', done, `${ended ?? 'a failure among'} of ${tasks} tasks`)
    return done.duration
  }

  async #run(hosts: readonly Endpoint[], program: string, args: readonly string[]): Promise<Finished> {
    const { suite = 'pinned', compressed = false } = this.#options
    const ssh = [...(compressed ? ['-C'] : []), ...sshOptions(this.#workspace, suite)]
    const config = this.#workspace.file(join(this.#name, 'ansible.cfg'), configText(this.#folder, this.#strategy, hosts.length, ssh))
    const inventory = this.#workspace.file(join(this.#name, 'hosts.ini'), inventoryText(hosts, this.#workspace.user))
    try {
      return await run([program, '-i', inventory, ...args], { env: { ...cleanEnv(), ANSIBLE_CONFIG: config } })
    } finally {
      await this.#endMasters(hosts)
    }
  }

  async #endMasters(hosts: readonly Endpoint[]): Promise<void> {
    const sockets = hosts.map((host) => masterOf(this.#folder, host)).filter((socket) => existsSync(socket))
    await Promise.all(sockets.map((socket) => run(['ssh', '-F', '/dev/null', '-o', `ControlPath=${socket}`, '-O', 'exit', '--', 'master'])))
  }
}

function failed(program: string, done: Finished, after: string): Error {
  return new Error(`${program} ended with ${done.code} after ${after}: ${done.stderr.trim().slice(-1000)} ${done.stdout.trim().slice(-1000)}`)
}
