/** One function, sent to the target, that runs the command there again and again: the loop is remote, and one call is all. */
import { hostOfWork } from './host.ts'

const { host, work: { argv, times }, close } = await hostOfWork()
process.stdout.write(await host().call(async ([file = '', ...args]: string[], rounds: number) => {
  const { execFileSync } = await import('node:child_process')
  return Array.from({ length: rounds }, () => execFileSync(file, args).toString()).join('')
}, argv, times))
await close()
