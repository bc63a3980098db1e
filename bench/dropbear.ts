import { execFileSync } from 'node:child_process'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { findProgram, freePort, run, ServerProcess } from './processes.ts'
import type { Endpoint, Workspace } from './workspace.ts'

/**
 * dropbear on a free port. It reads authorized_keys from the account's home and nowhere else, so it runs in a mount
 * namespace of its own in which the bench's home stands there: nothing of the machine is touched, and it needs root.
 */
export class Dropbear implements Endpoint {
  readonly host: string = '127.0.0.1'
  readonly port: number
  readonly #process: ServerProcess

  private constructor(port: number, process: ServerProcess) {
    this.port = port
    this.#process = process
  }

  /** Why it cannot run here, or undefined when it can. */
  static async missing(): Promise<string | undefined> {
    if (findProgram('dropbear') === undefined || findProgram('dropbearconvert') === undefined) return 'dropbear is not installed'
    const namespace = await run(['unshare', '--mount', 'true']).catch(() => undefined)
    return namespace?.code === 0 ? undefined : 'dropbear needs a mount namespace (root) for a home of its own'
  }

  static async start(workspace: Workspace): Promise<Dropbear> {
    const key = join(workspace.dir, 'dropbear_host_key')
    execFileSync('dropbearconvert', ['openssh', 'dropbear', workspace.hostKey, key], { stdio: 'ignore' })
    const port = await freePort()
    const script = 'mount --bind "$1" "$2" && exec "$3" -F -E -s -m -r "$4" -P "" -p "127.0.0.1:$5"'
    const program = findProgram('dropbear') ?? 'dropbear'
    const server = await ServerProcess.start(
      ['unshare', '--mount', 'sh', '-c', script, 'sh', workspace.home, homedir(), program, key, String(port)], port)
    workspace.trust(port, ['127.0.0.1'])
    return new Dropbear(port, server)
  }

  close(): Promise<void> {
    return this.#process.close()
  }
}
