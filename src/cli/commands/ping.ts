import { milliseconds } from '../connect-flags.ts'
import { onTargets } from '../on-targets.ts'
import { TARGET_OPTIONS } from '../options.ts'
import { usageError } from '../usage-error.ts'
import type { Command } from './command.ts'

export const pingCommand: Command = {
  name: 'ping',
  words: [['ping']],
  usage: 'ping -t LIST [options]',
  summary: 'connects to every target and measures one round trip',
  details: ['Says which lane a target has: node (our stub runs in a Node there) or raw (commands only).'],
  examples: ['ramet ping -t web1,db1', 'ramet ping -t @hosts.txt --connect-timeout 5 --format jsonl'],
  options: TARGET_OPTIONS,

  async run(desk, words, flags) {
    if (words.length > 0) throw usageError(`'ramet ping' takes no word: ${words[0]}`, 'name the targets with -t')
    return onTargets(desk, flags, {
      command: 'ping',
      object: '',
      runtime: 'auto',
      logLevel: 'warn',
      async work(connecting, { signal, clock }) {
        const from = clock.now()
        const context = await connecting
        const connect = clock.now() - from
        const rtt = await context.ping(flags.timeout === undefined ? { signal } : { signal, timeout: milliseconds(flags.timeout) })
        return { kind: 'ping', ping: { rtt, connect, runtime: context.runtime, info: context.info } }
      },
    })
  },
}
