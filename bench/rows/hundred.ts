import { compare, faster, interleave, rowOf, type Benchmark, type Row } from '../harness.ts'
import { address, type Lab } from '../lab.ts'
import type { Suite } from '../sshd.ts'
import { ansibleWay, loopLine, loopWays, sideOf, ways } from './hundred-ways.ts'

const times = 100
const argv = ['hostname']
const ssh = `${times} × ssh`
const [ansible, mitogen] = ['ansible, linear', 'ansible, mitogen_linear']

/** Whole processes: so many commands on one host that nothing is connected to, each begun when the one before has been read. */
export const hundred: Benchmark = {
  name: 'hundred',
  async *rows(lab) {
    const row = await timeRow(lab, 'hundred', 'pinned', 9, 5)
    faster(row, 'ramet', ansible, 25)
    faster(row, 'ramet', mitogen, 6)
    faster(row, 'ramet', ssh, 30)
    for (const peer of ['mitogen', 'ssh over a master', 'ssh2, a channel each']) compare(row, 'ramet', peer)
    row.notes.push(
      `ramet, Mitogen and ssh2 are small programs over the library. Ansible's play has ${times} tasks of the command module, no loop.`,
      'What takes seconds has fewer rounds, and no warm-up. The others run once unmeasured before each sample: whoever came first after those seconds would pay for it.')
    yield row
    const plain = await timeRow(lab, 'hundred-default', 'default', 3, 1)
    for (const peer of [ansible, mitogen, ssh]) faster(plain, 'ramet', peer)
    plain.notes.push("Default against default: each connection of OpenSSH's client costs its key exchange more (connect-first-call beside connect-first-call-default), a hundred times for the one that connects a hundred times.")
    yield plain
  },
}

async function timeRow(lab: Lab, name: string, suite: Suite, rounds: number, slow: number): Promise<Row> {
  const target = address(await lab.sshd({ suite }))
  const all = await ways(lab, target, { argv, times, suite, slowRounds: Math.min(slow, lab.rounds(rounds)) })
  const series = await interleave(all.map((way) => sideOf(way, target)), lab.rounds(rounds), { primed: true })
  return rowOf(name, `${times} × ${argv.join(' ')} on one host, whole process, cold start to exit`, 'ms', series)
}

export const hundredLoop: Benchmark = {
  name: 'hundred-loop',
  async *rows(lab) {
    const target = address(await lab.sshd())
    const all = await loopWays(lab, target, { argv, times, suite: 'pinned', slowRounds: Math.min(3, lab.rounds(7)) })
    const series = await interleave(all.map((way) => sideOf(way, target)), lab.rounds(7), { primed: true })
    const row = rowOf('hundred-loop', `the same as one remote loop: ${argv.join(' ')} ${times} times on the target, asked for once`, 'ms', series)
    compare(row, 'ramet, a function', 'mitogen, a function')
    for (const peer of ['ssh', 'ansible, mitogen_linear', 'ansible, linear']) compare(row, 'ramet, a shell', `${peer}, a shell`)
    row.notes.push(`A shell's loop: ${loopLine(argv, times)}`)
    yield row
  },
}

/** What all of it costs the network, from the first byte of the first connection to the last of the last. */
export const hundredBytes: Benchmark = {
  name: 'hundred-bytes',
  async *rows(lab) {
    yield await bytesRow(lab, 'hundred-bytes', 'pinned')
    const plain = await bytesRow(lab, 'hundred-bytes-default', 'default')
    plain.notes.push("Default against default: OpenSSH's post-quantum key exchange doubles what each of its connections costs. Ansible connects once and is not run again.")
    yield plain
  },
}

async function bytesRow(lab: Lab, name: string, suite: Suite): Promise<Row> {
  const sshd = await lab.sshd({ suite })
  const relay = await lab.relay(sshd)
  const packets = new Map<string, string>()
  // Those two connect once: the key exchange that the default row is about is nothing to them.
  const all = (await ways(lab, address(sshd), { argv, times, suite, slowRounds: 1 })).filter(({ name }) => suite === 'pinned' || ![ansible, mitogen].includes(name))
  const compressing = (name: string): string => `${name}, ssh -C`
  if (suite === 'pinned') for (const [name, strategy] of [[mitogen, 'mitogen_linear'], [ansible, 'linear']] as const) {
    const peer = await lab.ansible(strategy, address(sshd), { suite, compressed: true })
    all.push({ ...ansibleWay(compressing(name), peer, argv.join(' '), times), rounds: 1 })
  }
  const series = await interleave(all.map((way) => sideOf({
    ...way,
    run: async (target) => {
      const before = { ...relay.traffic }
      await way.run(target)
      await relay.quiet()
      const { bytesUp, bytesDown, packetsUp, packetsDown, connections } = relay.traffic
      packets.set(way.name, `${packetsUp + packetsDown - before.packetsUp - before.packetsDown} in ${connections - before.connections}`)
      return (bytesUp + bytesDown - before.bytesUp - before.bytesDown) / 1000
    },
  }, address(relay))), lab.rounds(2), { warmUp: false })
  const row = rowOf(name, `${times} × ${argv.join(' ')} on one host from cold: bytes on the wire, both ways`, 'KB', series)
  if (suite === 'pinned') {
    // So it is unless told otherwise, and where bytes count that is its best. In the rows of times nobody compresses.
    compare(row, 'ramet', compressing(mitogen), 0.12)
    compare(row, 'ramet', mitogen)
    // The goal is set by what it takes uncompressed; both are shown.
    compare(row, 'ramet', ansible, 0.005)
    compare(row, 'ramet', compressing(ansible))
  }
  // The goal is set by what a hundred logins of OpenSSH's own choice take: pinned, they take half of that.
  compare(row, 'ramet', ssh, suite === 'default' ? 0.1 : undefined)
  compare(row, 'ramet', 'mitogen')
  row.notes.push(`Packets and connections: ${[...packets].map(([way, counted]) => `${way} ${counted}`).join(', ')}.`)
  return row
}
