import type { Channel, ChannelHandler } from './channel.ts'
import { encode, type EncodeOptions } from './codec.ts'
import { errorToWire } from './errors-wire.ts'
import type { RametError } from './errors.ts'
import { ANSWER } from './protocol.ts'

/**
 * A call under way, seen from the context that runs it. The function may answer with a value, a promise or an async
 * iterable; whoever called may give up at any time.
 */
export class Answer implements ChannelHandler {
  state: 'waiting' | 'running' | 'streaming' | 'ended' = 'waiting'
  readonly channel: Channel
  /** Set by whoever runs the function: told when the caller gave up. */
  onCancel: ((error: RametError) => void) | undefined
  /** Set by the same: calls what ends the function's work. */
  giveUp: (leave: () => void) => void = (leave) => leave()
  /** Called once when nothing of the call is left. */
  onDone: (() => void) | undefined
  private iterator: AsyncIterator<unknown> | undefined
  private resume: (() => void) | undefined

  /** How the codec names what it refuses, and what is too much. */
  private readonly asResult: EncodeOptions

  constructor(channel: Channel) {
    this.channel = channel
    this.asResult = { code: 'result-unsupported', root: 'result', item: 1, limit: channel.home.maxMessage }
    channel.handler = this
  }

  /** Runs `fn` and answers with what it gives. */
  run(fn: () => unknown): void {
    if (this.state !== 'waiting') return
    this.state = 'running'
    // What a function returns may have getters and methods of its own, and any of them may throw.
    try {
      const result = fn()
      if (isThenable(result)) {
        Promise.resolve(result).then(
          (value) => this.give(value),
          (error: unknown) => this.fail(error),
        )
      } else {
        this.give(result)
      }
    } catch (error) {
      this.fail(error)
    }
  }

  /** Ends the call with an error, whatever it was doing. */
  fail(error: unknown): void {
    if (this.state === 'ended') return
    this.done()
    this.channel.end(encode([ANSWER.ERROR, errorToWire(error)]))
  }

  message(): void {
    this.channel.reset('protocol-error', 'a call takes one message')
    this.done()
  }

  end(): void {}

  reset(error: RametError): void {
    if (this.state === 'ended') return
    const iterator = this.iterator
    this.done()
    this.giveUp(() => {
      this.onCancel?.(error)
      if (iterator !== undefined) leave(iterator)
    })
  }

  writable(): void {
    const resume = this.resume
    this.resume = undefined
    resume?.()
  }

  private give(value: unknown): void {
    if (this.state !== 'running') return
    let message: Uint8Array | undefined
    try {
      const iterable = asAsyncIterator(value)
      if (iterable !== undefined) {
        this.iterator = iterable
        this.state = 'streaming'
        this.stream(iterable).catch((error: unknown) => this.fail(error))
        return
      }
      message = value === undefined ? undefined : encode([ANSWER.VALUE, value], this.asResult)
    } catch (error) {
      this.fail(error)
      return
    }
    this.done()
    this.channel.end(message)
  }

  /** Asks for the next item only when the last one has left: the caller's pace is ours. */
  private async stream(iterator: AsyncIterator<unknown>): Promise<void> {
    this.channel.send(encode([ANSWER.ITERABLE]))
    while (this.state === 'streaming') {
      const item = await iterator.next()
      if (this.state !== 'streaming') return
      // As `for await` does: what has no `done` would never end.
      if (Object(item) !== item) throw new TypeError('no object')
      let message: Uint8Array
      try {
        message = encode([item.done === true ? ANSWER.VALUE : ANSWER.ITEM, item.value], this.asResult)
      } catch (error) {
        leave(iterator)
        throw error
      }
      if (item.done === true) {
        this.done()
        this.channel.end(message)
        return
      }
      if (!this.channel.send(message)) await new Promise<void>((resume) => (this.resume = resume))
    }
  }

  private done(): void {
    this.state = 'ended'
    const resume = this.resume
    this.resume = undefined
    this.iterator = undefined
    resume?.()
    this.onDone?.()
  }
}

/** Ends an iterator whose items nobody wants. It may throw, reject or never settle; nobody is left to be told. */
function leave(iterator: AsyncIterator<unknown>): void {
  const left = async (): Promise<void> => {
    await iterator.return?.()
  }
  left().catch(() => {})
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return value !== null && typeof value === 'object' && typeof (value as { then?: unknown }).then === 'function'
}

/** Async iterables and synchronous generators stream; arrays, maps and strings are values. */
function asAsyncIterator(value: unknown): AsyncIterator<unknown> | undefined {
  if (value === null || typeof value !== 'object') return undefined
  const candidate = value as { [Symbol.asyncIterator]?: () => AsyncIterator<unknown>; [Symbol.iterator]?: () => Iterator<unknown>; next?: unknown }
  const open = candidate[Symbol.asyncIterator]
  if (typeof open === 'function') return open.call(candidate)
  const openSync = candidate[Symbol.iterator]
  if (typeof candidate.next !== 'function' || typeof openSync !== 'function') return undefined
  const iterator = openSync.call(candidate)
  return {
    next: () => Promise.resolve(iterator.next()),
    return: () => Promise.resolve(iterator.return?.() ?? { done: true as const, value: undefined }),
  }
}
