import { seconds } from '../format/duration.ts'
import type { Report, Wire } from './contender.ts'
import type { Figures } from './figures.ts'

/** The report as programs get it: one document in the shape of every other command's, with what was measured as its value. */
export function document(report: Report, figures: readonly Figures[]): string {
  const { target, calls, rounds, concurrency, payload, maxTime, elapsed, ending, rtt, versions, leftOut, uncounted, notes, rows, hop } = report
  const value = {
    calls, rounds, concurrency, payload_bytes: payload, max_time: maxTime / 1000, ending,
    rtt_ms: { ...(rtt.tcp === undefined ? {} : { tcp: micro(rtt.tcp) }), ...(rtt.ping === undefined ? {} : { ping: micro(rtt.ping) }) },
    versions: { ...versions, ssh: versions.ssh ?? null },
    results: figures.map((one) => ({
      contender: one.id, name: one.label, kind: one.kind, calls: one.calls, planned: one.planned, failed: one.failed, ...(one.failure === undefined ? {} : { failure: one.failure }),
      p50_ms: micro(one.p50), p95_ms: micro(one.p95), p99_ms: micro(one.p99), calls_per_second: micro(one.perSecond),
      cpu_ms: { own: micro(one.cpuOwn), children: one.cpuChildren === undefined ? null : micro(one.cpuChildren), ...(one.cpuAtLeast ? { at_least: true } : {}) },
      ...(one.wire === undefined ? {} : { per_call: wire(one.wire) }),
      ...(one.opening === undefined ? {} : { opening: wire(one.opening) }),
      ...(one.floor === undefined ? {} : { floor_ms: micro(one.floor) }),
      samples_ms: (rows.find(({ id, kind }) => id === one.id && kind === one.kind)?.times ?? []).map(micro),
    })),
    left_out: leftOut.map(({ id, label, kinds, reason }) => ({ contender: id, name: label, kinds, reason })),
    ...(figures.every((one) => one.wire === undefined) ? {} : { counted_to: hop === undefined ? 'target' : 'hop' }),
    ...(uncounted === undefined ? {} : { not_counted: uncounted }),
    notes,
  }
  const status = figures.length > 0 ? 'success' : 'failure'
  return `${JSON.stringify({ items: [{ target, status, value }], target_count: 1, elapsed_time: seconds(elapsed) })}\n`
}

function wire({ connections, bytesOut, bytesIn, packetsOut, packetsIn, roundTrips }: Wire): Record<string, number> {
  return { connections, bytes_out: bytesOut, bytes_in: bytesIn, packets_out: packetsOut, packets_in: packetsIn, round_trips: roundTrips }
}

/** Three decimals. */
function micro(value: number): number {
  return Math.round(value * 1000) / 1000
}
