import type { Connecting, ConnectOptions } from '../../src/controller/api.ts'
import type { HundredWork } from './work.ts'

interface Ramet {
  Controller: new () => { connect(target: string, options?: ConnectOptions): Connecting; close(): Promise<void> }
}

/** Connects to the target of a program's one argument (HundredWork as JSON), by the package as it is installed. */
export async function hostOfWork(): Promise<{ host: () => Connecting; work: HundredWork; close(): Promise<void> }> {
  const work = JSON.parse(process.argv[2] ?? '') as HundredWork
  const { target, user, key, knownHosts } = work
  const name: string = 'ramet'
  const { Controller } = await import(name) as Ramet
  const ramet = new Controller()
  const host = ramet.connect(`ssh://${user}@${target.host}:${target.port}`, { identityFile: key, knownHosts, sshConfig: false })
  // As a function: a promise that a promise resolves with would be waited for.
  return { host: () => host, work, close: () => ramet.close() }
}
