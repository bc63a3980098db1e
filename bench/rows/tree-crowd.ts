import type { Driver } from '../driver.ts'
import { compare, interleave, rowOf, type Benchmark, type Row } from '../harness.ts'
import { address, prepared, side, type Lab, type Maybe } from '../lab.ts'
import type { Relay } from '../relay.ts'

const size = 50
const local = `The hop is reached by SSH; the ${size} behind it are processes of its own account, since their way is not what is counted.`

export interface Crowd {
  /** Before the hop; it counts. */
  relay: Relay
  ramet: Maybe<Driver>
}

/** A hop with so many contexts behind it, each connected and called. */
export async function crowdOf(lab: Lab, count: number): Promise<Crowd> {
  const relay = await lab.relay(await lab.sshd())
  const hop = await prepared(lab.ramet(), 'open', { name: 'hop', target: address(relay) })
  return { relay, ramet: await prepared(hop, 'gather', { via: 'hop', count }) }
}

/** Bytes from the controller to the hop, on the wire, while something is done. What trickles after it is waited for. */
export async function uplinkBytes(relay: Relay, work: () => Promise<unknown>): Promise<number> {
  const before = relay.traffic.bytesUp
  await work()
  for (let last = -1; last !== relay.traffic.bytesUp;) {
    last = relay.traffic.bytesUp
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return relay.traffic.bytesUp - before
}

/** Code crosses the link to a hop once, however many behind it need it. */
export const treeCode: Benchmark = {
  name: 'tree-code',
  async *rows(lab) {
    const { relay, ramet } = await crowdOf(lab, size)
    let made = 0
    const code: Record<number, number[]> = { 1: [], [size]: [] }
    const spread = (count: number) => (driver: Driver): Promise<number> => uplinkBytes(relay, async () => {
      const number = ++made
      code[count]?.push(await driver.request<number>('spread_code', { count, ...newModule(lab, number) }))
    })
    const wire = await interleave([side('one context', ramet, spread(1)), side(`${size} contexts`, ramet, spread(size))], lab.rounds(9))
    // The warm-up round is in neither.
    const packs = wire.map(({ name, missing }, index) => ({ name, rounds: (code[index === 0 ? 1 : size] ?? []).slice(1).map((bytes) => [bytes]), ...(missing === undefined ? {} : { missing }) }))
    const row = rowOf('tree-code', `a new function on contexts behind a hop: bytes of code from the controller to the hop`, 'B', packs)
    compare(row, `${size} contexts`, 'one context', 1.1)
    row.notes.push(local)
    yield row
    const all = rowOf('tree-code-wire', 'the same, everything on the wire to the hop: SSH, the offer and the calls, too', 'B', wire)
    compare(all, `${size} contexts`, 'one context')
    all.notes.push('The module has about 6 KB of text.')
    yield all
  },
}

/** The same call to all behind a hop is one frame to the hop. */
export const treeFanOut: Benchmark = {
  name: 'tree-fan-out',
  async *rows(lab) {
    const { relay, ramet } = await crowdOf(lab, size)
    const times = 10
    const frames: Record<string, number> = {}
    const fanOut = (name: string, group: boolean) => async (driver: Driver): Promise<number> => {
      const bytes = await uplinkBytes(relay, async () => {
        frames[name] = (await driver.request<{ frames: number }>('fan_out', { group, times })).frames
      })
      return bytes / times
    }
    const series = await interleave(
      [['one fan-out', true] as const, [`${size} calls in one tick`, false] as const].map(([name, group]) => side(name, ramet, fanOut(name, group))), lab.rounds(9))
    const row: Row = rowOf('tree-fan-out', `a call of a function that does nothing on ${size} contexts behind a hop: bytes on the wire from the controller to the hop`, 'B', series)
    compare(row, 'one fan-out', `${size} calls in one tick`, 0.25)
    row.notes.push(`Frames from the controller to the hop: ${Object.entries(frames).map(([name, count]) => `${name} ${count}`).join(', ')}.`, local)
    yield row
  },
}

/** A module of a few kilobytes that does not compress to nothing; the number makes its text new. */
export function newModule(lab: Lab, number: number): { file: string; expected: number } {
  let state = number * 2654435761 % 2 ** 32
  const words = Array.from({ length: 500 }, () => (state = (state * 1664525 + 1013904223) % 2 ** 32).toString(36))
  const text = `const words = ${JSON.stringify(words.join(' '))}\nexport function answer(): number {\n  return words.length > 0 ? ${number} : 0\n}\n`
  return { file: lab.workspace.file(`tree_code_${number}.ts`, text), expected: number }
}
