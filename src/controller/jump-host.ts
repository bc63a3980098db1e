import { orAborted } from '../base/or-aborted.ts'
import type { JumpStop } from '../connect/jump-route.ts'
import type { Connection } from '../connect/transport.ts'
import { RametError } from '../router/errors.ts'
import type { Pipe } from '../router/pipe.ts'
import type { ConnectOptions } from './api.ts'
import { keepaliveOf } from './greeting.ts'
import { type JumpUser, type JumpWay, noAnswer } from './jump-way.ts'
import { Pace } from '../connect/pace.ts'
import type { ReachContext } from './reach-context.ts'
import { loginBySsh2 } from './reach-ssh2.ts'
import { loginThrough } from './reach-through.ts'

/** What a jump host may use; all but what is its own. */
export type JumpHome = Pick<ReachContext, 'clock' | 'book' | 'jumps' | 'pace'> & {
  /** Nobody is to be given it any more. */
  gone(host: JumpHost): void
}

/**
 * An SSH server that carries TCP to the next one and runs nothing of ours: one connection, however many need it. It is
 * opened with the first, which is there from the start, and closed with the last.
 */
export class JumpHost {
  state: 'open' | 'lost' | 'closed' = 'open'
  readonly name: string
  private readonly home: JumpHome
  private readonly pace = new Pace()
  private readonly users = new Set<JumpUser>()
  /** Questions that a person is being asked for it. */
  private asked = 0
  private readonly abort = new AbortController()
  private readonly unfinished: Promise<unknown>[] = []
  private readonly connection: Promise<Connection>
  private readonly ready: Promise<void>
  private opened: Connection | undefined
  /** It has let us in. */
  private up = false
  private closing: Promise<void> | undefined

  /** `upstream`: the jump host through which this one is reached. */
  constructor(stop: JumpStop, options: ConnectOptions, upstream: JumpHost | undefined, home: JumpHome) {
    const { name, config } = stop
    this.name = name
    this.home = home
    const context: ReachContext = {
      ...home, name, path: [`jump host ${name}`], signal: this.abort.signal,
      prompting: (now) => this.prompting(now), unfinished: (work) => this.unfinished.push(work), heed: () => {},
    }
    this.connection = upstream === undefined
      ? loginBySsh2(config, options, context)
      : loginThrough(upstream.use({ prompting: (now) => this.prompting(now) }), config, options, context)
    const lost = (): void => this.lost()
    const opened = async (connection: Connection): Promise<void> => {
      this.opened = connection
      await connection.ready
      this.up = true
      connection.onClose(lost)
      connection.watch?.(keepaliveOf({ ...config.keepalive, ...options.keepalive }))
    }
    this.ready = this.connection.then(opened)
    this.ready.catch(lost)
  }

  /** A way through it for one that needs it. Only while it is open. */
  use(user: JumpUser): JumpWay {
    this.users.add(user)
    for (let i = 0; i < this.asked; i++) user.prompting(true)
    let released: Promise<void> | undefined
    return {
      name: this.name,
      pace: this.pace,
      ready: this.ready,
      dial: (host, port, signal) => this.dial(host, port, signal),
      waits: (host, port) => this.waits(host, port),
      release: () => (released ??= this.release(user)),
    }
  }

  describe(): Record<string, unknown> {
    return { name: this.name, state: this.state, users: this.users.size }
  }

  private async dial(host: string, port: number, signal: AbortSignal): Promise<Pipe> {
    const connection = await orAborted(this.connection, signal)
    if (connection.dial === undefined) throw new RametError('not-supported', `${this.name}: it cannot carry TCP`, { stage: 'tcp', hint: 'Use another one.' })
    return connection.dial(host, port, signal)
  }

  private waits(host: string, port: number): string {
    if (this.up) return noAnswer(this.name, host, port)
    const { opened } = this
    const further = opened?.stage === 'tcp' ? opened.waits : undefined
    return further ?? `jump host ${this.name} was not logged in to (stage ${opened?.stage ?? 'resolve'})`
  }

  private async release(user: JumpUser): Promise<void> {
    this.users.delete(user)
    for (let i = 0; i < this.asked; i++) user.prompting(false)
    if (this.users.size === 0) await this.close()
  }

  private close(): Promise<void> {
    return (this.closing ??= this.end())
  }

  private async end(): Promise<void> {
    this.state = 'closed'
    this.home.gone(this)
    this.abort.abort(new RametError('cancelled', `${this.name}: nobody needs it any more`, { outcome: 'not-sent', hint: 'Connect again when it is wanted.' }))
    await this.connection.then((connection) => connection.close(), () => {})
    await Promise.all(this.unfinished)
  }

  /** Those that use it hear of it through what they dialled. */
  private lost(): void {
    if (this.state !== 'open') return
    this.state = 'lost'
    this.home.gone(this)
  }

  private prompting(now: boolean): void {
    this.asked += now ? 1 : -1
    for (const user of this.users) user.prompting(now)
  }
}
