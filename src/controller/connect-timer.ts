import type { Clock } from '../base/clock.ts'
import { RametError, type Stage } from '../router/errors.ts'

/** The time that connecting may take. It stands still while a person is asked: somebody who types a password is no timeout. */
export class ConnectTimer {
  state: 'running' | 'asking' | 'closed' = 'running'
  private readonly clock: Clock
  private readonly expired: () => void
  private left: number
  private from = 0
  private asked = 0
  private cancel: (() => void) | undefined

  /** `ms`: how long it may take; 0: as long as it likes. */
  constructor(clock: Clock, ms: number, expired: () => void) {
    this.clock = clock
    this.left = ms
    this.expired = expired
    if (ms > 0) this.run()
    else this.state = 'closed'
  }

  /** Called with true when a person is asked, with false when that is over. May be nested. */
  prompting(now: boolean): void {
    this.asked += now ? 1 : -1
    if (this.state === 'running' && this.asked > 0) {
      this.state = 'asking'
      this.cancel?.()
      this.left = Math.max(1, this.left - (this.clock.now() - this.from))
    } else if (this.state === 'asking' && this.asked === 0) {
      this.run()
    }
  }

  close(): void {
    this.state = 'closed'
    this.cancel?.()
  }

  private run(): void {
    this.state = 'running'
    this.from = this.clock.now()
    this.cancel = this.clock.after(this.left, () => {
      this.state = 'closed'
      this.expired()
    })
  }
}

const LATER = ', or give it more time (timeout, --connect-timeout).'
const TIMEOUTS: Record<Stage, { waits: string; hint: string }> = {
  resolve: { waits: 'its configuration, name or keys were not read by then', hint: `Look at the DNS server, Match exec and the agent${LATER}` },
  tcp: { waits: 'no answer to a TCP connection', hint: `Check the address, routes and firewalls on the way${LATER}` },
  'host-key': { waits: 'the server did not finish the key exchange', hint: `Check that an SSH server listens there, and its load${LATER}` },
  auth: { waits: 'the server did not finish the login', hint: `Look into the server's log (DNS, PAM and directory services are slow when they are broken)${LATER}` },
  ssh: { waits: 'ssh had not started a command by then', hint: `Try the same with ssh itself, with -v${LATER}` },
  launch: { waits: 'the login shell did not start the stub', hint: `Look at what its login scripts do: they may wait for something${LATER}` },
  interpreter: { waits: 'Node did not start', hint: `Look at the load of the machine${LATER}` },
  stub: { waits: 'the stub did not arrive', hint: `Look at the network on the way${LATER}` },
  hello: { waits: 'the stub was started and said no word', hint: `Look at the load of the machine${LATER}` },
}

/** The error for a context that was not connected in time, by the stage at which it stood. */
export function connectTimeout(stage: Stage, path: readonly string[], ms: number): RametError {
  const { waits, hint } = TIMEOUTS[stage]
  return new RametError('connect-timeout', `${path.join(' > ')} was not connected within ${ms} ms: ${waits}`, { stage, path, outcome: 'not-sent', hint })
}
