import type { Clock } from '../base/clock.ts'
import type { Channel, ChannelHandler } from './channel.ts'
import { decode, encode } from './codec.ts'
import { RametError } from './errors.ts'
import { ANSWER, OPEN_KIND } from './protocol.ts'
import { Queue } from '../base/queue.ts'

export interface CallRequest {
  /** The context that runs it. */
  dst: number
  /** Number of the module, as offered. */
  entry: number
  /** Name of the exported function. */
  name: string
  args: readonly unknown[]
  /** In the context's Worker, or on its main thread. */
  user: boolean
  /** ms; undefined for none. */
  timeout?: number | undefined
  signal?: AbortSignal | undefined
  /** Turns what the remote function threw into what the caller gets. */
  remoteError: (wire: unknown) => Error
  /** Path of the context, for errors raised here. */
  path: readonly string[]
  /** What the caller gets for an error of ours, whether it ends the promise or a stream of items. Default: the error. */
  seen?: ((error: Error) => Error) | undefined
}

/** What opens its channel: a router. */
export interface CallHome {
  readonly clock: Clock
  readonly maxMessage: number
  open(dst: number, message: Uint8Array, handler: ChannelHandler, fin: boolean, user: boolean): Channel
}

/** How a call ends. Exactly one of them is called, once; `iterable` ends it as far as the promise is concerned. */
export interface CallOutcome {
  value(value: unknown): void
  failed(error: Error): void
  iterable(items: AsyncIterableIterator<unknown>): void
}

/**
 * A call under way, seen from its caller: one channel used once. Everything that can end it (answer, error, deadline,
 * abort, lost link) passes through `settle`.
 */
export class PendingCall implements ChannelHandler {
  state: 'open' | 'streaming' | 'settled' = 'open'
  private readonly request: CallRequest
  private readonly outcome: CallOutcome
  private channel: Channel | undefined
  private cancelTimer: (() => void) | undefined
  private stream: ItemStream | undefined
  private readonly aborted = (): void => this.cancel('cancelled', 'the call was aborted')

  /** Sends the call. Throws RametError for what is wrong at this end: 'no-route', 'argument-unsupported', 'message-too-large'. */
  constructor(router: CallHome, request: CallRequest, outcome: CallOutcome) {
    this.request = request
    this.outcome = outcome
    const { dst, entry, name, args, user, timeout, signal } = request
    const message = encode(
      timeout === undefined ? [OPEN_KIND.CALL, entry, name, args] : [OPEN_KIND.CALL, entry, name, args, timeout],
      { root: 'args', item: 3, limit: router.maxMessage },
    )
    const channel = router.open(dst, message, this, true, user)
    // Sending may have shown that the link is gone.
    if (this.isSettled()) return
    this.channel = channel
    if (timeout !== undefined) {
      this.cancelTimer = router.clock.after(timeout, () => this.cancel('timeout', `${name} did not answer within ${timeout} ms`))
    }
    signal?.addEventListener('abort', this.aborted)
  }

  message(bytes: Uint8Array, credit: number): void {
    const [kind, value] = this.read(bytes)
    if (kind === ANSWER.ITERABLE && this.stream === undefined) {
      this.state = 'streaming'
      this.stream = new ItemStream(this)
      this.channel?.consumed(credit)
      this.outcome.iterable(this.stream)
    } else if (kind === ANSWER.ITEM && this.stream !== undefined) {
      this.stream.push(value, credit)
    } else {
      this.abandon(new RametError('protocol-error', 'the answer had an unknown form', { path: this.request.path }))
    }
  }

  end(bytes: Uint8Array): void {
    if (bytes.length === 0) {
      this.settle(undefined, undefined)
      return
    }
    const [kind, value] = this.read(bytes)
    if (kind === ANSWER.VALUE) this.settle(undefined, value)
    else if (kind === ANSWER.ERROR) this.settle(this.request.remoteError(value), undefined)
    else this.settle(new RametError('protocol-error', 'the answer had an unknown form', { path: this.request.path }), undefined)
  }

  reset(error: RametError): void {
    this.settle(error, undefined)
  }

  /** The reader of a stream used up an item. */
  consumed(bytes: number): void {
    this.channel?.consumed(bytes)
  }

  /** Nobody wants the rest. */
  abandon(error?: RametError): void {
    this.channel?.reset('cancelled')
    this.settle(error, undefined)
  }

  private cancel(code: 'cancelled' | 'timeout', text: string): void {
    const unheard = this.channel?.reset(code, text) === true
    const { path, signal } = this.request
    this.settle(
      new RametError(code, `${path.join(' > ')}: ${text}`, {
        path,
        outcome: unheard ? 'not-sent' : 'unknown',
        hint: unheard ? 'It never left this process.' : 'The target was told to stop; what the function had done by then stays done.',
        cause: code === 'cancelled' ? signal?.reason : undefined,
      }),
      undefined,
    )
  }

  private read(bytes: Uint8Array): [unknown, unknown] {
    const content = decode(bytes)
    return Array.isArray(content) ? (content as [unknown, unknown]) : [undefined, undefined]
  }

  private isSettled(): boolean {
    return this.state === 'settled'
  }

  private settle(cause: Error | undefined, value: unknown): void {
    if (this.state === 'settled') return
    const error = cause && (this.request.seen?.(cause) ?? cause)
    const streaming = this.state === 'streaming'
    this.state = 'settled'
    this.cancelTimer?.()
    this.request.signal?.removeEventListener('abort', this.aborted)
    this.channel = undefined
    if (streaming) this.stream?.finish(error, value)
    else if (error !== undefined) this.outcome.failed(error)
    else this.outcome.value(value)
  }
}

/** The items of an async iterable, pulled by its reader; what waits here is bounded by the channel's window. */
class ItemStream implements AsyncIterableIterator<unknown> {
  private readonly call: PendingCall
  private readonly items = new Queue<{ value: unknown; credit: number }>()
  private readonly readers = new Queue<{ resolve(result: IteratorResult<unknown>): void; reject(error: Error): void }>()
  private ended: { error: Error | undefined; value: unknown } | undefined

  constructor(call: PendingCall) {
    this.call = call
  }

  push(value: unknown, credit: number): void {
    const reader = this.readers.shift()
    if (reader === undefined) {
      this.items.push({ value, credit })
      return
    }
    this.call.consumed(credit)
    reader.resolve({ value, done: false })
  }

  finish(error: Error | undefined, value: unknown): void {
    this.ended = { error, value }
    for (let reader = this.readers.shift(); reader !== undefined; reader = this.readers.shift()) {
      this.next().then(reader.resolve, reader.reject)
    }
  }

  next(): Promise<IteratorResult<unknown>> {
    const item = this.items.shift()
    if (item !== undefined) {
      this.call.consumed(item.credit)
      return Promise.resolve({ value: item.value, done: false })
    }
    const ended = this.ended
    if (ended === undefined) return new Promise((resolve, reject) => this.readers.push({ resolve, reject }))
    // An error is thrown once; after it the iterator is simply done.
    this.ended = { error: undefined, value: undefined }
    if (ended.error !== undefined) return Promise.reject(ended.error)
    return Promise.resolve({ value: ended.value, done: true })
  }

  return(): Promise<IteratorResult<unknown>> {
    this.items.clear()
    this.call.abandon()
    return Promise.resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}
