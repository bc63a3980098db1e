/** The same work as hundred-ramet.ts over ssh2: one connection, a channel for each command. */
import { connected, output } from '../peers/ssh2.ts'
import type { HundredWork } from './work.ts'

const { target, user, key, argv, times, ...rest } = JSON.parse(process.argv[2] ?? '') as HundredWork & { ownAlgorithms?: boolean }
const client = await connected({ user, key, ...rest }, target)
for (let i = 0; i < times; i++) process.stdout.write(await output(client, argv.join(' ')))
client.end()
