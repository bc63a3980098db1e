import { readFileSync, readdirSync } from 'node:fs'
import { type Clock, stayAlive } from '../base/clock.ts'
import { deferred } from '../base/deferred.ts'

/** Milliseconds between two searches of /proc, in times of what one takes: a machine with many processes must not pay for our haste. */
const REST = 10
/** Milliseconds between looks at a group that was killed. */
const LOOK = 5

/** A process group that was told to end. */
export class Group {
  private readonly leader: number
  private readonly clock: Clock
  /** A member that ran when we looked last. */
  private member = 0
  private nextSearch = -Infinity

  constructor(leader: number, clock: Clock) {
    this.leader = leader
    this.clock = clock
  }

  /**
   * Whether a member still runs. Zombies do not: where nobody collects orphans (a container without init) they stay members
   * for good. Without /proc any member counts.
   */
  lives(): boolean {
    try {
      process.kill(-this.leader, 0)
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EPERM'
    }
    if (process.platform !== 'linux' || this.runs(this.member)) return true
    const now = this.clock.now()
    if (now < this.nextSearch) return true
    let processes: number[]
    try {
      processes = readdirSync('/proc').map(Number).filter((pid) => pid > 0)
    } catch {
      return true
    }
    // Without ourselves it is no /proc of this system's.
    if (!processes.includes(process.pid)) return true
    this.member = processes.find((pid) => this.runs(pid)) ?? 0
    const after = this.clock.now()
    this.nextSearch = after + REST * (after - now)
    return this.member !== 0
  }

  private runs(pid: number): boolean {
    if (pid === 0) return false
    try {
      // pid (name) state parent group: the name may hold anything.
      const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
      const [state = '', , group] = text.slice(text.lastIndexOf(')') + 2).split(' ', 3)
      return Number(group) === this.leader && !'ZXx'.includes(state)
    } catch {
      return false
    }
  }
}

/**
 * Resolves when no member of a killed group runs any more: they end when the system has time for them, which may be after their
 * leader was collected. What is left after `ms` sits in a system call that nothing interrupts; those of other users are not waited for.
 */
export async function groupGone(leader: number, ms: number, clock: Clock): Promise<void> {
  const group = new Group(leader, clock)
  const until = clock.now() + ms
  const over = stayAlive()
  while (isOurs(leader) && group.lives() && clock.now() < until) {
    const { promise, resolve } = deferred<void>()
    clock.after(LOOK, resolve)
    await promise
  }
  over()
}

/** Whether the process was stopped (SIGSTOP, ^Z). False where that cannot be seen. */
export function isStopped(pid: number): boolean {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text.charAt(text.lastIndexOf(')') + 2) === 'T'
  } catch {
    return false
  }
}

/** Whether there is a member that we may signal. */
function isOurs(leader: number): boolean {
  try {
    return process.kill(-leader, 0)
  } catch {
    return false
  }
}
