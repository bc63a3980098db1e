import { fork } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { usageError } from '../usage-error.ts'
import { noFile, noFolder } from './bench-files.ts'

/** What the server has seen since it started. Bytes: both ways, TCP payload. */
export interface Counts {
  connections: number
  bytes: number
}

export interface EmbeddedTarget {
  port: number
  /** The host key as in known_hosts: type and base64. */
  hostKey: string
}

export type ToServer = { kind: 'listen'; count: number; folder: string } | { kind: 'count' }
export type FromServer = { kind: 'listening'; targets: EmbeddedTarget[]; privateKey: string } | { kind: 'counts'; counts: Counts }

export interface EmbeddedServer {
  readonly targets: readonly EmbeddedTarget[]
  readonly pid: number
  /** The throw-away private key that may log in, under any name: its text, and a file that holds it. */
  readonly privateKey: string
  readonly identityFile: string
  /** A known_hosts file that names every target. */
  readonly knownHosts: string
  counts(): Promise<Counts>
  /** Ends the server and removes its folder. Harmless when repeated. */
  close(): Promise<void>
}

/** Starts the embedded server, a program of this build, with so many targets on ports of their own on 127.0.0.1. */
export async function startEmbedded(count: number, program: URL): Promise<EmbeddedServer> {
  const folder = await mkdtemp(join(os.tmpdir(), 'ramet-start-')).catch((error: unknown) => {
    throw usageError(`a server of its own needs a folder for its keys, and ${noFolder(error)}`, 'set TMPDIR to one that can be written to', error)
  })
  // A session of its own: no signal to all of us ends it. When we are gone it removes the folder, also where we had no time for that.
  const child = fork(fileURLToPath(program), [], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], detached: true })
  // What can't be sent is told by the end of the one who would read it: ^C may be its end before it is our own.
  child.on('error', () => {})
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => {
      if (child.pid === undefined) resolve()
    })
  })
  const ask = async <Kind extends FromServer['kind']>(message: ToServer, kind: Kind): Promise<FromServer & { kind: Kind }> => {
    const answer = new Promise<FromServer>((resolve) => void child.once('message', (reply) => resolve(reply as FromServer)))
    child.send(message)
    const reply = await Promise.race([answer, exited.then(() => { throw new Error('the embedded SSH server ended by itself') })])
    if (reply.kind !== kind) throw new Error(`the embedded SSH server answered ${reply.kind}`)
    return reply as FromServer & { kind: Kind }
  }
  const close = async (): Promise<void> => {
    if (child.connected) child.disconnect()
    if (child.exitCode === null && child.signalCode === null) await exited
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const { targets, privateKey } = await ask({ kind: 'listen', count, folder }, 'listening')
    const identityFile = join(folder, 'id_ed25519')
    const knownHosts = join(folder, 'known_hosts')
    const known = targets.map(({ port, hostKey }) => `[127.0.0.1]:${port} ${hostKey}\n`).join('')
    await Promise.all([writeFile(identityFile, privateKey, { mode: 0o600 }), writeFile(knownHosts, known)]).catch((error: unknown) => {
      throw usageError(`a server of its own needs files for its keys, and ${noFile(error)}`, 'set TMPDIR to a folder with room', error)
    })
    return { targets, pid: child.pid ?? 0, privateKey, identityFile, knownHosts, counts: async () => (await ask({ kind: 'count' }, 'counts')).counts, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** The bytes of a host key, as SSH sends them. */
export function keyBlob(hostKey: string): Buffer {
  return Buffer.from(hostKey.split(' ')[1] ?? '', 'base64')
}
