import { Answer } from '../../src/router/answer.ts'
import type { CallRequest } from '../../src/router/call.ts'
import { PendingCall } from '../../src/router/call.ts'
import type { Channel } from '../../src/router/channel.ts'
import { decode } from '../../src/router/codec.ts'
import { errorFromWire } from '../../src/router/errors-wire.ts'
import type { RametError } from '../../src/router/errors.ts'
import type { Link } from '../../src/router/link.ts'
import { ROOT } from '../../src/router/protocol.ts'
import { Router } from '../../src/router/router.ts'
import { memoryPipe, type MemoryPipe } from './memory-pipe.ts'
import { settle, TestClock } from './test-clock.ts'

export const CHILD = 2

export type Functions = Record<string, (...args: never[]) => unknown>

/** A controller's engine and a child's, joined in memory, on a clock that the test moves. */
export class Pair {
  readonly clock = new TestClock()
  readonly refused: string[] = []
  readonly lost: RametError[] = []
  readonly childLost: RametError[] = []
  readonly responsive: boolean[] = []
  /** Answers under way at the child. */
  readonly answers: Answer[] = []
  readonly root: Router
  readonly child: Router
  readonly rootPipe: MemoryPipe
  readonly childPipe: MemoryPipe
  readonly down: Link
  readonly up: Link

  constructor(functions: Functions = {}, options: { maxMessage?: number; budget?: number; opened?: (channel: Channel, message: Uint8Array) => void } = {}) {
    const { clock } = this
    ;[this.rootPipe, this.childPipe] = memoryPipe()
    this.root = new Router(
      {
        neighbour: () => {},
        lost: (_link, cause) => this.lost.push(cause),
        refused: (message) => this.refused.push(message),
        responsive: (_link, now) => this.responsive.push(now),
      },
      { id: ROOT, clock, maxMessage: options.maxMessage },
    )
    this.child = new Router(
      {
        opened: options.opened ?? ((channel, message) => this.answer(functions, channel, message)),
        neighbour: () => {},
        lost: (_link, cause) => this.childLost.push(cause),
        refused: (message) => this.refused.push(message),
      },
      { id: CHILD, clock, maxMessage: options.maxMessage },
    )
    this.down = this.root.addLink(this.rootPipe, 'child', { path: ['web1'], budget: options.budget }, CHILD)
    this.up = this.child.addLink(this.childPipe, 'parent', { path: ['controller'] })
  }

  /** Calls a function of the child; a stream's iterator is the value. */
  call(name: string, args: unknown[] = [], options: Partial<CallRequest> = {}): Promise<unknown> {
    return new Promise((value, failed) => {
      const request: CallRequest = { dst: CHILD, entry: 1, name, args, user: false, remoteError: errorFromWire, path: ['web1'], ...options }
      void new PendingCall(this.root, request, { value, failed, iterable: value })
    })
  }

  /** Ends both sides and says what is left: all zero when nothing leaked. */
  async leftovers(): Promise<{ channels: number; timers: number; down: number; up: number }> {
    await settle()
    const left = { channels: this.root.openChannels + this.child.openChannels, timers: 0, down: this.down.down.used, up: this.down.up.used }
    this.root.close()
    await settle()
    left.timers = this.clock.pending
    return left
  }

  private answer(functions: Functions, channel: Channel, message: Uint8Array): void {
    const [, , name, args] = decode(message) as [number, number, string, never[]]
    const answer = new Answer(channel)
    this.answers.push(answer)
    answer.run(() => (functions[name] as (...args: never[]) => unknown)(...args))
  }
}

export const NOTHING = { channels: 0, timers: 0, down: 0, up: 0 }
