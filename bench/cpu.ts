import { list, read } from './proc.ts'

/** Linux counts the time of ended processes in these; the rest of one is lost to whoever reads it. */
const tick = 10

/**
 * Milliseconds of CPU that a process has used: its living threads to the nanosecond, and the children that it has waited
 * for, in ticks of 10 ms of which half a one is added for what was cut off. 0 for one that is gone.
 */
export function cpuOf(pid: number): number {
  let nanoseconds = 0
  for (const task of list(`/proc/${pid}/task`)) nanoseconds += Number(read(`/proc/${pid}/task/${task}/schedstat`).split(' ')[0] ?? 0)
  return nanoseconds / 1e6 + reaped(read(`/proc/${pid}/stat`))
}

/** Exported for its test. Milliseconds of the ended children, from a line of /proc/PID/stat. */
export function reaped(stat: string): number {
  // The second field is a name in brackets and may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [user, system] = [Number(fields[13] ?? 0), Number(fields[14] ?? 0)]
  return (user + system) * tick + (user + system > 0 ? tick / 2 : 0)
}

/** Milliseconds of CPU that all cores together were busy, since the system's start or since `from`. */
export function machineCpu(from = { busy: 0 }): { busy: number } {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = (/^cpu +(.*)/.exec(read('/proc/stat'))?.[1] ?? '').split(' ').map(Number)
  return { busy: (user + nice + system + irq + softirq + steal) * tick - from.busy }
}

/** The parent's pid, 0 for a process that is gone. */
export function parentOf(pid: number): number {
  const stat = read(`/proc/${pid}/stat`)
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? 0)
}
