import { milliseconds } from '../connect-flags.ts'
import { onTargets } from '../on-targets.ts'
import { TARGET_OPTIONS } from '../options.ts'
import { TreeBook } from '../tree-book.ts'
import { usageError } from '../usage-error.ts'
import type { Command } from './command.ts'

/** Pings per context. Work of other processes only ever adds to a round trip: the shortest tells most. */
const PINGS = 3

export const treeCommand: Command = {
  name: 'tree',
  words: [['tree']],
  usage: 'tree -t LIST [options]',
  summary: 'connects to every target and draws the tree of contexts',
  details: [
    'Per context: its state, host name and Node; of the link above it the transport, its round trip, bytes and frames both ways, and the modules that were sent or were there already.',
    'PING is the whole round trip from here (the best of three), RTT what the link adds to it. Branches are drawn with lines where LC_ALL, LC_CTYPE or LANG names UTF-8, else in ASCII.',
  ],
  examples: ['ramet tree -t web1,db1 --via bastion', "ramet tree -t 'web[1-3] via:bastion, sudo:root via:web1, x jump:gate' --format json"],
  options: TARGET_OPTIONS,

  async run(desk, words, flags) {
    if (words.length > 0) throw usageError(`'ramet tree' takes no word: ${words[0]}`, 'name the targets with -t')
    const book = new TreeBook(desk.self)
    return onTargets(desk, flags, {
      command: 'tree',
      object: '',
      runtime: 'auto',
      logLevel: 'warn',
      async work(connecting, { signal, clock, hops, place, tree }) {
        const from = clock.now()
        const context = await connecting
        const connect = clock.now() - from
        const way = [...await Promise.all(hops), context]
        // What a hop says of its links is as new as its last answer.
        const limit = flags.timeout === undefined ? { signal } : { signal, timeout: milliseconds(flags.timeout) }
        const rtts = await Promise.all(way.map((one) => best(() => one.ping(limit))))
        way.forEach((one, index) => book.seen(place.steps.slice(0, index + 1), one, tree, rtts[index]))
        const rtt = rtts.at(-1)!
        return { kind: 'tree', ping: { rtt, connect, runtime: context.runtime, info: context.info } }
      },
      seen: (steps, context, tree) => book.seen(steps, context, tree),
      ended: (place, result) => book.ended(place, result),
      nodes: () => book.nodes(),
    })
  },
}

async function best(ping: () => Promise<number>): Promise<number> {
  let least = Infinity
  for (let count = 0; count < PINGS; count++) least = Math.min(least, await ping())
  return least
}
