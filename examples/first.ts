// node examples/first.ts deploy@web1      (Node 22.18 or newer runs TypeScript as it is; without an argument: this machine)
import { Controller } from 'ramet'

const ramet = new Controller()
const host = await ramet.connect(process.argv[2] ?? 'local:')

const { stdout, exitCode } = await host.exec('uptime')
console.log(exitCode, stdout.trim())

const machine = host.use<typeof import('./machine.ts')>(new URL('./machine.ts', import.meta.url))
console.log(await machine.load(), await machine.disks())

console.log(await host.call((a: number, b: number) => a + b, 40, 2))
await ramet.close()
