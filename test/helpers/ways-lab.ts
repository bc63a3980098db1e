import { join } from 'node:path'
import { controllerProcesses, type ControllerProcesses } from './controller-process.ts'
import { loginTo, targetOf } from './e2e-lab.ts'
import { haveSshd, startSshd, type TestServer } from './sshd.ts'

/** Controllers in processes of their own, and what they reach: this machine and, where there is one, an sshd. */
export class WaysLab {
  readonly processes: ControllerProcesses
  private readonly sshd: TestServer | undefined

  private constructor(processes: ControllerProcesses, sshd: TestServer | undefined) {
    this.processes = processes
    this.sshd = sshd
  }

  static async start(): Promise<WaysLab> {
    return new WaysLab(await controllerProcesses(), haveSshd ? await startSshd() : undefined)
  }

  /** For tests that are skipped where there is none. */
  get server(): TestServer {
    if (this.sshd === undefined) throw new Error('no sshd')
    return this.sshd
  }

  /** How a controller process reaches a target, and the home that marks what runs there. */
  way(transport: 'local' | 'ssh2' | 'openssh'): { target: string; options: Record<string, unknown>; home: string } {
    if (transport === 'local') return { target: 'local:', options: {}, home: this.processes.home }
    return { target: targetOf(this.server), options: { ...loginTo(this.server), transport }, home: join(this.server.dir, 'home') }
  }

  async stop(): Promise<void> {
    this.processes[Symbol.dispose]()
    await this.sshd?.stop()
  }
}
