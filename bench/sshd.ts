import { existsSync, mkdirSync } from 'node:fs'
import { findProgram, freePort, onOneCore, ServerProcess } from './processes.ts'
import { addresses, type Endpoint, type Workspace } from './workspace.ts'

/** What every program uses in the pinned rows: ssh2 lacks OpenSSH's default key exchange, and its cost is not ours to win. */
export const pinnedAlgorithms = {
  KexAlgorithms: 'curve25519-sha256',
  Ciphers: 'aes128-gcm@openssh.com',
  HostKeyAlgorithms: 'ssh-ed25519',
} as const

/** dropbear has no GCM; ssh2 and dropbear agree on this, OpenSSH would not choose it by itself. */
const dropbearAlgorithms = { ...pinnedAlgorithms, Ciphers: 'aes128-ctr' } as const

export type Suite = 'pinned' | 'default' | 'dropbear'

export const algorithms: Readonly<Record<Suite, Readonly<Record<string, string>>>> = { pinned: pinnedAlgorithms, dropbear: dropbearAlgorithms, default: {} }

export interface SshdOptions {
  suite?: Suite
  /** The server and its sessions on the first core only. */
  oneCore?: boolean
  /** How many addresses it serves, from 127.0.0.1 up. Default 1, at most 224. */
  hosts?: number
}

/** sshd refuses a seventeenth ListenAddress (MAX_LISTEN_SOCKS), so more hosts are more servers on the same port. */
const addressesPerServer = 16

/** OpenSSH's server on a free port of one or more loopback addresses, with keys and a home of its own. */
export class Sshd implements Endpoint {
  readonly host: string = '127.0.0.1'
  readonly port: number
  readonly #processes: ServerProcess[] = []

  private constructor(port: number) {
    this.port = port
  }

  static async start(workspace: Workspace, options: SshdOptions = {}): Promise<Sshd> {
    const { suite = 'pinned', oneCore = false, hosts = 1 } = options
    const sshd = findProgram('sshd')
    if (sshd === undefined) throw new Error('sshd is not installed: run bench/install-peers.sh')
    // Privilege separation wants this directory; the service that Debian starts makes it likewise.
    if (process.getuid?.() === 0 && !existsSync('/run/sshd')) mkdirSync('/run/sshd', { mode: 0o755 })
    const server = new Sshd(await freePort())
    try {
      for (let first = 0; first < hosts; first += addressesPerServer) {
        const served = addresses.slice(first, Math.min(hosts, first + addressesPerServer))
        const config = workspace.file(`sshd-${server.port}-${first}.conf`, configText(workspace, served, server.port, suite))
        server.#processes.push(await ServerProcess.start(onOneCore([sshd, '-D', '-e', '-f', config], oneCore), server.port, served[0]))
      }
    } catch (error) {
      await server.close()
      throw error
    }
    workspace.trust(server.port, addresses.slice(0, hosts))
    return server
  }

  /** Of the processes that listen: every session is a descendant of one of them. */
  get pids(): number[] {
    return this.#processes.map(({ pid }) => pid)
  }

  async close(): Promise<void> {
    await Promise.all(this.#processes.map((server) => server.close()))
  }
}

function configText(workspace: Workspace, served: readonly string[], port: number, suite: Suite): string {
  const lines = [
    ...served.map((address) => `ListenAddress ${address}:${port}`),
    `HostKey ${workspace.hostKey}`,
    `AuthorizedKeysFile ${workspace.authorizedKeys}`,
    // Overrides the account's home, so that no rc file of this machine is measured.
    `SetEnv HOME=${workspace.home}`,
    'PidFile none',
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PermitRootLogin prohibit-password',
    'PrintMotd no',
    'UseDNS no',
    'LogLevel ERROR',
    // The defaults (10:30:100 and 10) refuse a third of 60 connections that come at once.
    'MaxStartups 1000',
    'MaxSessions 1000',
  ]
  const pins = Object.entries(algorithms[suite]).map(([name, value]) => `${name} ${value}`)
  return [...lines, ...pins, ''].join('\n')
}
