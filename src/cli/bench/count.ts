import type { Clock } from '../../base/clock.ts'
import { orAborted } from '../../base/or-aborted.ts'
import type { Contender, Counted, Door, Entry, Kind } from './contender.ts'
import { combine, CountingRelay, divided, holdFor } from './counting-relay.ts'

/** Calls that are counted, of each kind: all alike, and the second one on a slower way. */
const CALLS = 2

/** A contender with what it is able to do, and the milliseconds that one call takes when it is alone. */
export interface Able {
  entry: Entry
  kinds: ReadonlyMap<Kind, number>
}

export interface CountOptions {
  entries: readonly Able[]
  target: Door
  clock: Clock
  stop: AbortSignal
  progress(text: string): void
}

export interface Counting {
  counted: Map<string, Counted>
  /** Milliseconds of each TCP handshake with the target. */
  handshakes: number[]
  /** Why a contender could not be counted. */
  problems: string[]
}

/** What each contender sends, in a pass of its own through a relay: counting would cost time that is not the contender's. */
export async function count({ entries, target, clock, stop, progress }: CountOptions): Promise<Counting> {
  const counting: Counting = { counted: new Map(), handshakes: [], problems: [] }
  const relay = await CountingRelay.start(target, clock)
  try {
    for (const { entry, kinds } of entries) {
      if (stop.aborted) break
      progress(`counting: ${entry.label}`)
      let contender: Contender | undefined
      try {
        contender = entry.make(relay.door)
        await orAborted(countOne(entry, kinds, contender, relay, counting, stop), stop)
      } catch (error) {
        if (!stop.aborted) counting.problems.push(`${entry.label}: ${(error as Error).message}`)
      } finally {
        await contender?.close()
      }
    }
  } finally {
    await relay.close()
  }
  counting.handshakes.push(...relay.handshakes)
  return counting
}

async function countOne(entry: Entry, kinds: Able['kinds'], contender: Contender, relay: CountingRelay, { counted }: Counting, stop: AbortSignal): Promise<void> {
  const start = { ...relay.counts }
  await contender.open(stop)
  const found: Counted = { fresh: entry.fresh, opening: await relay.since(start), calls: {} }
  counted.set(entry.id, found)
  for (const [kind, alone] of kinds) {
    // The first one may bring code along; who connects for each call does so each time.
    const warm = { ...relay.counts }
    if (!entry.fresh) await contender.call(kind, stop)
    const first = await relay.since(warm)
    const before = { ...relay.counts }
    let roundTrips = Infinity
    for (let turn = 0; turn < CALLS; turn++) {
      if (turn > 0) relay.hold = holdFor(alone)
      const already = relay.counts.roundTrips
      const end = await contender.call(kind, stop)
      // Nobody waits for a goodbye. What one call did not have to wait for, none has to.
      roundTrips = Math.min(roundTrips, relay.counts.roundTrips - already)
      await end?.()
    }
    const each = { ...divided(await relay.since(before), CALLS), roundTrips }
    relay.hold = holdFor(0)
    found.calls[kind] = each
    if (!entry.fresh) found.opening = combine(found.opening, combine(first, each, -1), 1)
  }
}
