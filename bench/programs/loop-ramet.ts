/** One function, sent to the target, that runs the command there again and again: the loop is remote, and one call is all. */
import type { Connecting, ConnectOptions } from '../../src/controller/api.ts'
import type { HundredWork } from './work.ts'

interface Ramet {
  Controller: new () => { connect(target: string, options?: ConnectOptions): Connecting; close(): Promise<void> }
}

const { target, user, key, knownHosts, argv, times } = JSON.parse(process.argv[2] ?? '') as HundredWork
const name: string = 'ramet'
const { Controller } = await import(name) as Ramet
const ramet = new Controller()
const host = ramet.connect(`ssh://${user}@${target.host}:${target.port}`, { identityFile: key, knownHosts, sshConfig: false })
process.stdout.write(await host.call(async ([file = '', ...args]: string[], rounds: number) => {
  const { execFileSync } = await import('node:child_process')
  return Array.from({ length: rounds }, () => execFileSync(file, args).toString()).join('')
}, argv, times))
await ramet.close()
