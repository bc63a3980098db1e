/**
 * The smallest honest program on ramet: connect, run one command again and again, each when the one before has been read,
 * print what they said, close. It is measured as a whole process; its one argument is HundredWork as JSON.
 */
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
for (let i = 0; i < times; i++) process.stdout.write((await host.exec(argv, { check: true })).stdout)
await ramet.close()
