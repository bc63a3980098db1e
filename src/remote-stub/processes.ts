import type { Clock } from '../base/clock.ts'
import type { ProcessTable } from '../modules/service.ts'

/** ms between looks at groups that were told to end. */
const LOOK = 10
/** ms that killed groups may take to be gone: what is left then sits in a system call that nothing interrupts. */
const KILLED = 500

/** The process groups that the stub's modules started, so that none outlives it. */
export class Processes implements ProcessTable {
  state: 'open' | 'ending' | 'closed' = 'open'
  private readonly leaders = new Set<number>()

  /** Registers a group; one that comes while we end is ended, too. */
  add(leader: number): void {
    this.leaders.add(leader)
    if (this.state !== 'open') this.signal(this.state === 'ending' ? 'SIGTERM' : 'SIGKILL')
  }

  delete(leader: number): void {
    this.leaders.delete(leader)
  }

  /** TERM to every group, KILL after `grace` ms to what is left; `done` when all are gone. */
  end(clock: Clock, grace: number, done: () => unknown): void {
    if (this.state !== 'open') return
    this.state = 'ending'
    this.signal('SIGTERM')
    let until = clock.now() + grace
    const look = (): void => {
      this.signal(0)
      if (this.leaders.size > 0 && clock.now() < until) {
        clock.after(LOOK, look)
      } else if (this.state === 'ending') {
        this.state = 'closed'
        this.signal('SIGKILL')
        until += KILLED
        look()
      } else {
        done()
      }
    }
    look()
  }

  private signal(signal: NodeJS.Signals | 0): void {
    for (const leader of this.leaders) {
      try {
        process.kill(-leader, signal)
        // A stopped process sees TERM only when it goes on.
        if (signal === 'SIGTERM') process.kill(-leader, 'SIGCONT')
      } catch {
        // The group is gone, or is somebody else's by now and not ours to end.
        this.leaders.delete(leader)
      }
    }
  }
}
