import { TARGET_OPTIONS } from '../options.ts'
import { usageError } from '../usage-error.ts'
import type { Command } from './command.ts'

export const benchCommand: Command = {
  name: 'bench',
  words: [['bench']],
  usage: 'bench [-t TARGET] [options]',
  summary: 'measures ramet beside ssh and ssh2 on one target',
  details: [
    'A shell command and a function, by a new ssh for each call (as it is configured, and with the key exchange and cipher of ramet), by ssh over a ControlMaster, by the ssh2 library with a channel for each call, and by ramet: raw (without a Node there), cold (a new connection for each call) and warm.',
    'They take turns in rounds. Per call: p50, p95, p99, calls per second, CPU of this side with its child processes, round trips and what they take at least, bytes, packets, connections; these last are counted at the end, by a relay on this side of the target or of the first hop. Nothing of it is left here or there, also after ^C, which shows what was measured so far.',
    'With --via, ssh takes -J and the ssh2 library the same way. Calls at once are at most 8 where the server bounds sessions or logins.',
    'Without -t it measures on an SSH server of its own on this machine.',
  ],
  examples: ['ramet bench -t web1', 'ramet bench -t web1 --calls 200 --payload 10000 --svg bench.svg', 'ramet bench -t web1 --via bastion --max-time 120 --format json'],
  options: [...TARGET_OPTIONS.filter((name) => name !== 'timeout' && name !== 'runtime'), 'calls', 'payload', 'max-time', 'svg'],
  says: {
    targets: { help: 'the one target to measure on', fallback: 'an SSH server of its own on this machine' },
    concurrency: { help: 'calls at once', fallback: '1' },
    format: { help: 'what stdout gets', choices: ['human', 'json'] },
  },

  async run(desk, words, flags) {
    if (words.length > 0) throw usageError(`'ramet bench' takes no word: ${words[0]}`, 'name the target with -t')
    const { bench } = await import('../bench/bench.ts')
    return bench(desk, flags)
  },
}
