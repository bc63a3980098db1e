import type { Clock } from '../base/clock.ts'

/** The time that connecting may take. It stands still while a person is asked: somebody who types a password is no timeout. */
export class ConnectTimer {
  state: 'running' | 'asking' | 'closed' = 'running'
  private readonly clock: Clock
  private readonly expired: () => void
  /** ms that it may take in all. */
  total: number
  private left: number
  private from = 0
  private asked = 0
  private cancel: (() => void) | undefined

  /** `ms`: how long it may take; 0: as long as it likes. */
  constructor(clock: Clock, ms: number, expired: () => void) {
    this.clock = clock
    this.left = this.total = ms
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

  /** Stands still until that has come to be. */
  pauseUntil(other: Promise<void>): void {
    this.prompting(true)
    other.then(() => this.prompting(false), () => {})
  }

  /** Gives it so many ms more. */
  extend(ms: number): void {
    this.total += ms
    this.left += ms
    if (this.state !== 'running') return
    this.cancel?.()
    this.left = Math.max(1, this.left - (this.clock.now() - this.from))
    this.run()
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
