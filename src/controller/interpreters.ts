import { RametError } from '../router/errors.ts'
import type { ContextCore } from './core.ts'
import type { RootRouter } from './root-router.ts'

/** Default of `limits.interpreters`: Mitogen's figure for interpreters per target. */
export const MAX_INTERPRETERS = 20

/**
 * How many interpreters run on one machine for us: its own context, accounts that it became, containers on it, isolated
 * processes. Beyond the limit the least recently used one that is idle ends to make room; one in use never does.
 */
export class Interpreters {
  private readonly limit: number
  private readonly router: RootRouter
  /** Context → all on its machine; shared by them. */
  private readonly machines = new Map<ContextCore, Set<ContextCore>>()

  constructor(limit: number, router: RootRouter) {
    this.limit = limit
    this.router = router
  }

  /**
   * Before another one is opened from `parent`, on its machine. Resolves when it may start; undefined: at once. Throws RametError
   * 'too-many-interpreters'.
   */
  makeRoom(parent: ContextCore): Promise<unknown> | undefined {
    const machine = [...(this.machines.get(parent) ?? [])].filter(({ runtime }) => runtime === 'node')
    const alive = machine.filter(({ state }) => state !== 'closed' && state !== 'lost')
    // Closed is said at once, and its process ends a moment later.
    const leaving = machine.filter(({ state }) => state === 'closed')
    if (alive.length < this.limit) return alive.length + leaving.length < this.limit ? undefined : Promise.all(leaving.map((core) => core.close()))
    const idle = alive.filter((core) => core !== parent && this.isIdle(core)).sort((a, b) => a.used - b.used)[0]
    if (idle === undefined) {
      throw new RametError('too-many-interpreters', `${parent.path.join(' > ')}: ${alive.length} interpreters of ours run there, and all are in use`, {
        path: parent.path, outcome: 'not-sent', hint: 'Close contexts that are not needed any more, or raise limits.interpreters.' })
    }
    return idle.close()
  }

  /** `beside`: a context on the same machine; undefined for the first one there. */
  begun(core: ContextCore, beside: ContextCore | undefined): void {
    const machine = (beside === undefined ? undefined : this.machines.get(beside)) ?? new Set()
    machine.add(core)
    this.machines.set(core, machine)
  }

  ended(core: ContextCore): void {
    this.machines.get(core)?.delete(core)
    this.machines.delete(core)
  }

  private isIdle(core: ContextCore): boolean {
    // Its log is a channel, too.
    return core.state === 'connected' && core.children.size === 0 && this.router.describe().filter(({ peer }) => peer === core.id).length <= 1
  }
}
