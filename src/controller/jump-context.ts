import { orAborted } from '../base/or-aborted.ts'
import type { Pipe } from '../router/pipe.ts'
import type { Router } from '../router/router.ts'
import type { ContextCore } from './core.ts'
import { type JumpWay, noAnswer } from './jump-way.ts'
import { Pace } from '../connect/pace.ts'
import { dialFrom } from './dial-from.ts'

const paces = new WeakMap<ContextCore, Pace>()

/**
 * TCP from the machine of a context: on its own SSH connection where this process holds that, without any process there; else
 * by a module of ours in its interpreter.
 */
export function throughContext(core: ContextCore, router: Router): JumpWay {
  let pace = paces.get(core)
  if (pace === undefined) paces.set(core, (pace = new Pace()))
  const dial = async (host: string, port: number, signal: AbortSignal): Promise<Pipe> => {
    await orAborted(core.ready, signal)
    const { connection } = core
    const open = core.state === 'connected' || core.state === 'unresponsive'
    if (open && connection?.dial !== undefined) return connection.dial(host, port, signal)
    // Where it is over, this says so.
    return dialFrom(core.hop(), router, host, port, signal)
  }
  const name = core.path.join(' > ')
  const waits = (host: string, port: number): string =>
    core.state === 'connecting' ? `jump host ${name} was not connected` : noAnswer(name, host, port)
  return { name, pace, ready: core.ready, dial, waits, release: () => Promise.resolve() }
}
