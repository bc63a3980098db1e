import { type Deferred, deferred } from '../base/deferred.ts'
import type { CommandLane } from '../connect/command.ts'
import type { Link } from '../router/link.ts'
import { type CommandContext, namedError } from './exec.ts'

/** Round trips that somebody waits for. PONGs come in the order of their PINGs. */
export class Pings {
  private waiting: Deferred<number>[] = []

  /** Milliseconds of one round trip on the link. */
  ping(link: Link): Promise<number> {
    const waiter = deferred<number>()
    this.waiting.push(waiter)
    link.ping()
    return waiter.promise
  }

  /** A PONG came; it may be one that liveness asked for. */
  answered(rtt: number): void {
    this.waiting.shift()?.resolve(rtt)
  }

  fail(error: Error): void {
    for (const waiter of this.waiting.splice(0)) waiter.reject(error)
  }
}

/** The same where there is no stub that could answer: the time that a command without work takes. */
export async function pingByCommand(lane: CommandLane, context: CommandContext): Promise<number> {
  const { clock } = context
  const start = clock.now()
  const command = lane.start({ command: ['true'] })
  command.endStdin()
  try {
    await command.ended
  } catch (error) {
    throw namedError(error, 'true', context)
  }
  return clock.now() - start
}
