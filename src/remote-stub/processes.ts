import type { Clock } from '../base/clock.ts'
import type { ProcessTable } from '../modules/service.ts'

/** The process groups that the stub's modules started, so that none outlives it. */
export class Processes implements ProcessTable {
  private readonly leaders = new Set<number>()

  add(leader: number): void {
    this.leaders.add(leader)
  }

  delete(leader: number): void {
    this.leaders.delete(leader)
  }

  /** TERM to every group, KILL after `grace` ms to what is left; then `done`. */
  end(clock: Clock, grace: number, done: () => void): void {
    this.signal('SIGTERM')
    if (this.leaders.size === 0) {
      done()
      return
    }
    const kill = (): void => {
      cancel()
      this.signal('SIGKILL')
      done()
    }
    const cancel = clock.after(grace, kill)
    const look = (): void => {
      this.signal(0)
      if (this.leaders.size === 0) kill()
      else clock.after(50, look)
    }
    clock.after(50, look)
  }

  private signal(signal: NodeJS.Signals | 0): void {
    for (const leader of this.leaders) {
      try {
        process.kill(-leader, signal)
      } catch {
        // The group is gone.
        this.leaders.delete(leader)
      }
    }
  }
}
