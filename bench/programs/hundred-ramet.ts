/**
 * The smallest honest program on ramet: connect, run one command again and again, each when the one before has been read,
 * print what they said, close. It is measured as a whole process; its one argument is HundredWork as JSON.
 */
import { hostOfWork } from './host.ts'

const { host, work: { argv, times }, close } = await hostOfWork()
for (let i = 0; i < times; i++) process.stdout.write((await host().exec(argv, { check: true })).stdout)
await close()
