import type { Clock } from '../base/clock.ts'
import { deferred } from '../base/deferred.ts'
import { withinTime } from '../base/within-time.ts'
import type { CommandLane } from '../connect/command.ts'
import { RawLane } from '../connect/raw.ts'
import type { Connection } from '../connect/transport.ts'
import type { CoreHome } from './core-options.ts'
import type { Keepalive } from './api.ts'
import { ExecLane, type ExecHome } from './exec-lane.ts'
import { LateLane } from './late-lane.ts'
import type { Together } from './together.ts'

/** The ways that commands take on one context: channels to its stub, plain channels of its connection, or whichever it will turn out to be. */
export class CommandLanes {
  private readonly path: readonly string[]
  private readonly stub: CommandLane
  private readonly shared: CommandLane
  private readonly decided = deferred<CommandLane>()
  private raw: RawLane | undefined

  /** `ship` offers the module that runs commands; `together`: commands that are the same on many contexts. */
  constructor(home: CoreHome, of: Pick<ExecHome, 'path' | 'remoteError'> & { id: number; ship(together: Together | undefined): number }) {
    const { router, together } = home
    const { id, path, remoteError } = of
    this.path = path
    this.stub = new ExecLane({
      path, remoteError, open: (message, handler) => router.open(id, message, handler, false, false), execModule: () => of.ship(undefined),
    })
    this.shared = new ExecLane({
      path, remoteError, execModule: () => of.ship(together),
      open: (message, handler, alone) => (alone ? together : router).open(id, message, handler, false, false), flush: () => together.flush(),
    })
    this.decided.promise.catch(() => {})
  }

  /** `undecided`: nobody knows yet whether there will be a stub; commands wait until it is known. */
  lane(undecided: boolean, together: boolean): CommandLane {
    if (this.raw !== undefined) return this.raw
    if (undecided) return new LateLane(this.decided.promise, this.path)
    return together ? this.shared : this.stub
  }

  /** There is no interpreter, only this connection. */
  becomeRaw(connection: Connection, clock: Clock, keepalive: Keepalive): void {
    connection.ready.then(() => connection.watch?.(keepalive), () => {})
    this.raw = new RawLane(connection, { clock })
    this.decide()
  }

  decide(): void {
    this.decided.resolve(this.raw ?? this.stub)
  }

  fail(cause: Error): void {
    this.decided.reject(cause)
  }

  /** Ends commands on plain channels, for at most `ms`. */
  async close(clock: Clock, ms: number): Promise<void> {
    if (this.raw !== undefined) await withinTime(this.raw.close(), clock, ms)
  }
}
