import { readdirSync, readFileSync } from 'node:fs'

/** CPU spent so far, milliseconds. */
export interface CpuReading {
  own: number
  /** Undefined where the system has no /proc. */
  children: number | undefined
}

/** A tick of /proc: Linux shows 100 per second to programs on every architecture that Node runs on. */
const TICK = 10

/**
 * What this process and its children have spent, those that have ended and were waited for included. Of children that live, only what
 * they did themselves. `not`: process ids that are no part of the local side.
 */
export function readCpu(not: ReadonlySet<number>): CpuReading {
  const { user, system } = process.cpuUsage()
  return { own: (user + system) / 1000, children: ofChildren(not) }
}

function ofChildren(not: ReadonlySet<number>): number | undefined {
  try {
    // Behind the name, which may hold anything: state ppid ... utime stime cutime cstime.
    const fields = afterName(readFileSync('/proc/self/stat', 'latin1'))
    let sum = (Number(fields[13]) + Number(fields[14])) * TICK
    const found = childrenOf('self')
    for (const pid of found) {
      if (not.has(pid)) continue
      sum += spentBy(pid)
      found.push(...childrenOf(String(pid)))
    }
    return sum
  } catch {
    return undefined
  }
}

/** Process ids of the children of a process. */
function childrenOf(pid: string): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) => {
      const text = readFileSync(`/proc/${pid}/task/${task}/children`, 'latin1').trim()
      return text === '' ? [] : text.split(' ').map(Number)
    })
  } catch {
    // It has ended, or this kernel does not tell: what it spent is counted when it has been waited for.
    return []
  }
}

function spentBy(pid: number): number {
  try {
    // Nanoseconds on a core; finer than the ticks of stat.
    const precise = Number(readFileSync(`/proc/${pid}/schedstat`, 'latin1').split(' ')[0]) / 1e6
    const fields = afterName(readFileSync(`/proc/${pid}/stat`, 'latin1'))
    return precise + (Number(fields[13]) + Number(fields[14])) * TICK
  } catch {
    return 0
  }
}

function afterName(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}
