import { compare, interleave, rowOf, type Benchmark, type Series } from '../harness.ts'
import { address, prepared, side, type Maybe } from '../lab.ts'
import type { Driver } from '../driver.ts'
import type { Relay } from '../relay.ts'

/** What a call costs the network: counted by a relay that neither delays nor limits, SSH's own bytes included. */
export const bytesPerCall: Benchmark = {
  name: 'bytes-per-call',
  async *rows(lab) {
    const sshd = await lab.sshd()
    const calls = lab.calls(1000)
    const packets: Record<string, number[]> = {}
    const counted = async (name: string, start: Maybe<Driver>, args: object): Promise<ReturnType<typeof side>> => {
      const relay = await lab.relay(sshd)
      const peer = await prepared(start, 'open', { name, target: address(relay) })
      return side(name, peer, async (driver) => {
        const before = total(relay)
        await driver.request('warm', { name, calls, ...args })
        const after = total(relay)
        packets[name] = [...(packets[name] ?? []), (after.packets - before.packets) / calls]
        return (after.bytes - before.bytes) / calls
      })
    }
    const series = await interleave([
      await counted('ramet (inline)', lab.ramet(), { isolate: 'none' }),
      await counted('ramet (Worker)', lab.ramet(), {}),
      await counted('mitogen', await lab.mitogen(), {}),
    ], lab.rounds(3))
    const row = rowOf('bytes-per-call', 'bytes on the wire per warm call, both ways', 'B', series)
    compare(row, 'ramet (inline)', 'mitogen', 0.8)
    compare(row, 'ramet (Worker)', 'mitogen', 0.8)
    row.notes.push(`packets per call: ${series.map(({ name }: Series) => `${name} ${(packets[name]?.at(-1) ?? NaN).toFixed(2)}`).join(', ')}`)
    yield row
  },
}

function total(relay: Relay): { bytes: number; packets: number } {
  const { bytesUp, bytesDown, packetsUp, packetsDown } = relay.traffic
  return { bytes: bytesUp + bytesDown, packets: packetsUp + packetsDown }
}
