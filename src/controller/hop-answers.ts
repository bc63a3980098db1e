import { HOP_DOWN, type HopFailure, type HopQuestion } from '../connect/hop.ts'
import { isRametError, RametError } from '../router/errors.ts'
import type { HopWay } from './hop-way.ts'

/** Questions of one hop about one target that may wait for their answers: one at a time is what happens. */
const MAX_QUESTIONS = 8
/** Questions that nobody expects before the hop has asked too much. */
const MAX_UNEXPECTED = 20
/** Questions about one login in all: many keys, and answers to the server's own questions. */
export const MAX_ASKED = 100
/** Bytes of answers that a hop may leave waiting. */
export const MAX_UNHEARD = 1024 * 1024

export interface HopAnswersHome {
  /** Sends an answer. */
  down(...message: unknown[]): void
  /** A question that nobody expects. */
  refused(text: string): void
  /** The hop goes on with those. */
  guilty(error: RametError): void
  /** Questions in all; each may cost us a signature to verify. Default: as many as there are commands that need a password. */
  most?: number
}

/** Answers what a hop asks about one target, as far as the way to it has answers. */
export class HopAnswers {
  private readonly path: readonly string[]
  private readonly home: HopAnswersHome
  private way: HopWay | undefined
  private waiting = 0
  private count = 0
  private unexpected = 0

  constructor(path: readonly string[], home: HopAnswersHome) {
    this.path = path
    this.home = home
  }

  /** From now on there is somebody to ask. */
  open(way: HopWay): void {
    this.way = way
  }

  async asked(number: number, question: unknown): Promise<void> {
    const { way } = this
    if (way === undefined || this.waiting >= MAX_QUESTIONS || ++this.count > (this.home.most ?? Infinity)) {
      const error = this.error('not-allowed', 'is below a hop that asks what nobody expects')
      if (++this.unexpected > MAX_UNEXPECTED) {
        this.home.guilty(error)
        return
      }
      this.home.refused(error.message)
      this.refuse(number, error)
      return
    }
    this.waiting++
    try {
      this.home.down(HOP_DOWN.ANSWER, number, await way.answer(question as HopQuestion))
    } catch (error) {
      this.refuse(number, isRametError(error) ? error : this.error('connect-failed', `could not be answered for: ${(error as Error).message}`))
    } finally {
      this.waiting--
    }
  }

  close(): void {
    this.way?.close()
    this.way = undefined
  }

  private refuse(number: number, { code, message, stage, outcome, hint }: RametError): void {
    const failure: HopFailure = [code, message, stage ?? null, outcome, hint]
    this.home.down(HOP_DOWN.REFUSE, number, failure)
  }

  private error(code: RametError['code'], text: string): RametError {
    return new RametError(code, `${this.path.join(' > ')} ${text}`, { path: this.path, outcome: 'unknown', hint: 'Find out who runs on the hop.' })
  }
}
