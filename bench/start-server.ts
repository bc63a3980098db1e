import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ssh2 from 'ssh2'
import type { ParsedKey } from 'ssh2'
import { newKeyPair } from './new-key-pair.ts'

/** What the server has seen since it started: both sides of the comparison are counted here. Bytes: both ways, TCP payload. */
export interface Counts {
  connections: number
  bytes: number
}

export interface Target {
  port: number
  /** The host key as `ssh-ed25519 AAAA…`. */
  hostKey: string
}

export type ToServer = { kind: 'listen'; count: number; userKey: string; folder: string } | { kind: 'count' }
export type FromServer = { kind: 'listening'; targets: Target[] } | { kind: 'counts'; counts: Counts }

export interface EmbeddedServer {
  targets: Target[]
  /** The throw-away private key that may log in: its text, and a file that holds it. */
  privateKey: string
  identityFile: string
  counts(): Promise<Counts>
  /** Ends the server and removes its folder. Harmless when repeated. */
  close(): Promise<void>
}

/** Starts the embedded server as a child process, with so many targets on ports of their own. */
export async function startServer(count: number): Promise<EmbeddedServer> {
  const folder = await mkdtemp(join(os.tmpdir(), 'ramet-start-'))
  const key = newKeyPair()
  const identityFile = join(folder, 'id_ed25519')
  await writeFile(identityFile, key.private, { mode: 0o600 })

  const child = fork(fileURLToPath(new URL('./embedded-server.js', import.meta.url)), [], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const exited = once(child, 'exit')
  const ask = async <Kind extends FromServer['kind']>(message: ToServer, kind: Kind): Promise<FromServer & { kind: Kind }> => {
    const answer = once(child, 'message') as Promise<[FromServer]>
    child.send(message)
    const [reply] = await Promise.race([answer, exited.then(() => { throw new Error('the embedded SSH server ended by itself') })])
    if (reply.kind !== kind) throw new Error(`the embedded SSH server answered ${reply.kind}`)
    return reply as FromServer & { kind: Kind }
  }

  const { targets } = await ask({ kind: 'listen', count, userKey: key.public, folder }, 'listening')
  return {
    targets,
    privateKey: key.private,
    identityFile,
    counts: async () => (await ask({ kind: 'count' }, 'counts')).counts,
    async close() {
      if (child.connected) child.disconnect()
      if (child.exitCode === null && child.signalCode === null) await exited
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** The bytes of a host key, as SSH sends and known_hosts stores them. */
export function keyBlob(hostKey: string): Buffer {
  return (ssh2.utils.parseKey(hostKey) as ParsedKey).getPublicSSH()
}
