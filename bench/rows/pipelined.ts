import { atLeast, interleave, rowOf, type Benchmark } from '../harness.ts'
import { address, prepared, side } from '../lab.ts'

/** Many calls under way at once on one connection; every result is checked. */
export const pipelined: Benchmark = {
  name: 'pipelined',
  async *rows(lab) {
    const target = address(await lab.sshd())
    const ramet = await prepared(lab.ramet(), 'open', { name: 'a', target })
    const args = { name: 'a', calls: lab.calls(20_000), window: 1000 }
    const series = await interleave([
      side('ramet (inline)', ramet, (driver) => driver.request<number>('pipelined', { ...args, isolate: 'none' })),
      side('mitogen', await prepared(await lab.mitogen(), 'open', { name: 'a', target }), (driver) => driver.request<number>('pipelined', args)),
      side('ramet (Worker)', ramet, (driver) => driver.request<number>('pipelined', args)),
    ], lab.rounds(9))
    const row = rowOf('pipelined', `${args.calls.toLocaleString('en')} calls, at most 1,000 outstanding`, 'calls/s', series)
    atLeast(row, 'ramet (inline)', 'mitogen', 3)
    yield row
  },
}
