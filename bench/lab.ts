import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Driver } from './driver.ts'
import type { Side } from './harness.ts'
import { Ansible, type AnsibleOptions } from './peers/ansible.ts'
import type { Strategy } from './peers/ansible-files.ts'
import { mitogenMissing, startMitogen } from './peers/mitogen.ts'
import { OpenSsh, sshOptions } from './peers/openssh.ts'
import { Relay, type RelayOptions } from './relay.ts'
import { Sshd, type SshdOptions, type Suite } from './sshd.ts'
import { root, type Endpoint, type Workspace } from './workspace.ts'

export interface LabOptions {
  /** Rounds of every comparison instead of each benchmark's own number. */
  samples?: number
  /** A quick look: fewer rounds and calls. */
  short?: boolean
}

export interface PeerOptions {
  suite?: Suite
  oneCore?: boolean
  /** Of Node, for a driver that is a program of Node's. */
  flags?: readonly string[]
}

/** A program that was started, or the reason why it can't be. */
export type Maybe<T> = T | { missing: string }

/** What one benchmark starts. All of it is closed before the next one begins, so that none measures another's leftovers. */
export class Lab {
  readonly workspace: Workspace
  readonly #options: LabOptions
  readonly #owned: { close(): Promise<void> | void }[] = []

  constructor(workspace: Workspace, options: LabOptions) {
    this.workspace = workspace
    this.#options = options
  }

  rounds(full: number): number {
    return this.#options.samples ?? (this.#options.short ? Math.max(3, Math.ceil(full / 4)) : full)
  }

  get short(): boolean {
    return this.#options.short ?? false
  }

  calls(full: number): number {
    return this.#options.short ? Math.ceil(full / 10) : full
  }

  own<T extends { close(): Promise<void> | void }>(thing: T): T {
    this.#owned.push(thing)
    return thing
  }

  async sshd(options: SshdOptions = {}): Promise<Sshd> {
    return this.own(await Sshd.start(this.workspace, options))
  }

  /** A network before a server. The server's host key is known under its address too. */
  async relay(target: Endpoint, options: RelayOptions = {}): Promise<Relay> {
    const relay = this.own(await Relay.start(target, options))
    this.workspace.trust(relay.port, [relay.host])
    return relay
  }

  ssh(options: PeerOptions = {}): Maybe<OpenSsh> {
    const missing = OpenSsh.missing()
    return missing === undefined ? new OpenSsh(this.workspace, options) : { missing }
  }

  async mitogen(options: PeerOptions = {}): Promise<Maybe<Driver>> {
    const missing = await mitogenMissing()
    return missing === undefined ? this.own(startMitogen(this.workspace, options)) : { missing }
  }

  /** With Mitogen's strategy it is asked once whether plays run through that: Ansible would go on without. */
  async ansible(strategy: Strategy, target: Endpoint, options: AnsibleOptions = {}): Promise<Maybe<Ansible>> {
    const missing = await Ansible.missing(strategy)
    if (missing !== undefined) return { missing }
    const ansible = new Ansible(this.workspace, strategy, options)
    if (strategy === 'linear') return ansible
    return ansible.proveMitogen(target).then(() => ansible, (error: Error) => ({ missing: error.message }))
  }

  /** ramet in a process of its own. It takes the server's algorithms: its own have no order that a caller could set. */
  ramet(options: PeerOptions = {}): Maybe<Driver> {
    if (!existsSync(join(root, 'dist', 'index.js'))) return { missing: 'dist/index.js is not built' }
    const { user, key, knownHosts } = this.workspace
    return this.own(this.#nodeDriver('ramet', { user, key, knownHosts }, options))
  }

  rawEcho(options: PeerOptions = {}): Driver {
    const { user, key } = this.workspace
    return this.own(this.#nodeDriver('raw-echo', { user, key }, options))
  }

  /** OpenSSH's client in OpenSSH's client. */
  sshChain(options: PeerOptions = {}): Maybe<Driver> {
    const missing = OpenSsh.missing()
    if (missing !== undefined) return { missing }
    const settings = { user: this.workspace.user, options: sshOptions(this.workspace, options.suite ?? 'pinned') }
    return this.own(this.#nodeDriver('ssh-chain', settings, options))
  }

  /** One connection of ssh2, with a channel for each command. */
  ssh2(options: PeerOptions = {}): Driver {
    const { user, key } = this.workspace
    return this.own(this.#nodeDriver('ssh2', { user, key, ownAlgorithms: options.suite === 'default' }, options))
  }

  async close(): Promise<void> {
    for (const thing of this.#owned.splice(0).reverse()) await thing.close()
  }

  /** This very program again, as `--driver NAME SETTINGS`. */
  #nodeDriver(name: string, settings: object, options: PeerOptions): Driver {
    const program = fileURLToPath(import.meta.url)
    return new Driver(name, [process.execPath, '--expose-gc', ...options.flags ?? [], program, '--driver', name, JSON.stringify(settings)], options)
  }
}

/** A side of a comparison over a program that may be missing. */
export function side<T extends object>(name: string, peer: Maybe<T>, round: (peer: T) => Promise<number | number[]>): Side {
  return 'missing' in peer ? { name, missing: peer.missing } : { name, round: () => round(peer) }
}

/** Asks a driver once before the rounds; a driver that fails here is missing from then on, with its words. */
export async function prepared(peer: Maybe<Driver>, op: string, args: Record<string, unknown>): Promise<Maybe<Driver>> {
  if ('missing' in peer) return peer
  try {
    await peer.request(op, args)
    return peer
  } catch (error) {
    return { missing: error instanceof Error ? error.message : String(error) }
  }
}

export const address = ({ host, port }: Endpoint): Endpoint => ({ host, port })
