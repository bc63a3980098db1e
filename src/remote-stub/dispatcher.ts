import type { ServiceChannel, ServiceHost } from '../modules/service.ts'
import { Answer } from '../router/answer.ts'
import type { Channel, ChannelHandler } from '../router/channel.ts'
import { decode, encode } from '../router/codec.ts'
import { errorToWire } from '../router/errors-wire.ts'
import { RametError } from '../router/errors.ts'
import { ANSWER, OPEN_KIND } from '../router/protocol.ts'
import type { Loader } from './loader.ts'
import type { Scopes } from './scope.ts'

export interface DispatcherOptions {
  loader: Loader
  scopes: Scopes
  /** What our own modules get; undefined in the Worker, where there are none. */
  host?: ServiceHost
  /** Takes a LOG channel; undefined in the Worker, whose log goes through the main thread. */
  log?: (channel: Channel) => void
}

/** Answers the channels that ancestors open: calls, services, the log. */
export class Dispatcher {
  private readonly options: DispatcherOptions

  constructor(options: DispatcherOptions) {
    this.options = options
  }

  opened(channel: Channel, message: Uint8Array): void {
    const content = decode(message)
    const kind: unknown = Array.isArray(content) ? content[0] : undefined
    const request = readRequest(content)
    if (kind === OPEN_KIND.LOG && this.options.log !== undefined) {
      this.options.log(channel)
    } else if (kind === OPEN_KIND.CALL && request !== undefined) {
      this.call(channel, request)
    } else if (kind === OPEN_KIND.SERVICE && request !== undefined && this.options.host !== undefined) {
      this.service(channel, this.options.host, request)
    } else {
      channel.reset('protocol-error', 'a channel of unknown kind was opened')
    }
  }

  private call(channel: Channel, { entry, name, args, timeout }: Request): void {
    const { loader, scopes } = this.options
    const answer = new Answer(channel)
    const deadline = timeout === undefined ? undefined : Date.now() + timeout
    const start = (): void => scopes.run(answer, deadline, () => exported(loader, entry, name), args)
    loader.whenReady(entry, start)
  }

  private service(channel: Channel, host: ServiceHost, { entry, name, args }: Request): void {
    const { loader } = this.options
    const adapter = new ChannelOfService(channel)
    const start = (): void => {
      try {
        exported(loader, entry, name)(adapter, host, ...args)
        adapter.started()
      } catch (error) {
        adapter.fail(error as Error)
      }
    }
    // Commands wait for no function's code.
    if (loader.loaded(entry)) start()
    else loader.whenReady(entry, start)
  }
}

/** What an OPEN asks for. */
interface Request {
  entry: number
  name: string
  args: unknown[]
  timeout: number | undefined
}

function readRequest(content: unknown): Request | undefined {
  if (!Array.isArray(content)) return undefined
  const [, entry, name, args, timeout] = content as unknown[]
  if (typeof entry !== 'number' || typeof name !== 'string' || !Array.isArray(args)) return undefined
  return { entry, name, args, timeout: typeof timeout === 'number' ? timeout : undefined }
}

function exported(loader: Loader, entry: number, name: string): (...args: unknown[]) => unknown {
  const exports = loader.load(entry)
  const fn = Object.prototype.hasOwnProperty.call(exports, name) ? exports[name] : undefined
  if (typeof fn !== 'function') {
    const names = Object.keys(exports).filter((key) => typeof exports[key] === 'function')
    throw new RametError('export-missing', `the module exports no function '${name}'`, {
      hint: names.length > 0 ? `It exports: ${names.join(', ')}.` : 'It exports no function at all.',
    })
  }
  return fn as (...args: unknown[]) => unknown
}

/** A channel as a module of ours sees it. What comes before the module listens is kept. */
class ChannelOfService implements ServiceChannel {
  onMessage: ((message: Uint8Array) => void) | undefined
  onEnd: (() => void) | undefined
  onReset: (() => void) | undefined
  onWritable: (() => void) | undefined
  private readonly channel: Channel
  private early: (() => void)[] | undefined = []

  constructor(channel: Channel) {
    this.channel = channel
    const handler: ChannelHandler = {
      // A message's credit is its length, which the module gives back.
      message: (bytes) => this.whenStarted(() => this.onMessage?.(bytes)),
      end: () => this.whenStarted(() => this.onEnd?.()),
      reset: () => this.whenStarted(() => this.onReset?.()),
      writable: () => this.onWritable?.(),
    }
    channel.handler = handler
  }

  send(message: Uint8Array): boolean {
    return this.channel.send(message)
  }

  end(value: unknown): void {
    this.channel.end(encode([ANSWER.VALUE, value]))
  }

  fail(error: Error): void {
    this.channel.end(encode([ANSWER.ERROR, errorToWire(error)]))
  }

  consumed(bytes: number): void {
    this.channel.consumed(bytes)
  }

  started(): void {
    const early = this.early ?? []
    this.early = undefined
    for (const event of early) event()
  }

  private whenStarted(event: () => void): void {
    if (this.early === undefined) event()
    else this.early.push(event)
  }
}
