import { HOP_DOWN, HOP_UP, type HopFailure, type HopQuestion } from '../connect/hop.ts'
import { type ErrorCode, isRametError, type Outcome, RametError, type Stage } from '../router/errors.ts'

/** What a hop has asked its controller about one target, and waits for. */
export class Questions {
  private readonly path: readonly string[]
  private readonly up: (...message: unknown[]) => void
  private next = 0
  private readonly asked = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()

  constructor(path: readonly string[], up: (...message: unknown[]) => void) {
    this.path = path
    this.up = up
  }

  ask(question: HopQuestion): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const number = this.next++
      this.asked.set(number, { resolve, reject })
      this.up(HOP_UP.ASK, number, question)
    })
  }

  /** A message of the controller's; false when it is no answer. */
  answered(kind: unknown, number: unknown, value: unknown): boolean {
    if (kind !== HOP_DOWN.ANSWER && kind !== HOP_DOWN.REFUSE) return false
    const waiting = this.asked.get(number as number)
    this.asked.delete(number as number)
    if (kind === HOP_DOWN.ANSWER) waiting?.resolve(value)
    else waiting?.reject(failureError(value as HopFailure, this.path))
    return true
  }

  /** Nobody will answer any more. */
  close(): void {
    const closed = new RametError('closed', `${this.path.join(' > ')} is not being connected any more`, { path: this.path, outcome: 'not-sent' })
    for (const { reject } of this.asked.values()) reject(closed)
    this.asked.clear()
  }
}

export function asRamet(error: Error): RametError {
  return isRametError(error) ? error : new RametError('connect-failed', error.message, { cause: error, outcome: 'not-sent' })
}

export function failureOf({ code, message, outcome, hint }: RametError, stage: Stage | undefined): HopFailure {
  return [code, message, stage ?? null, outcome, hint]
}

function failureError([code, message, stage, outcome, hint]: HopFailure, path: readonly string[]): RametError {
  return new RametError(code as ErrorCode, message, { path, outcome: outcome as Outcome, hint, ...(stage === null ? {} : { stage: stage as Stage }) })
}
