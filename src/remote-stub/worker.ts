import { parentPort, workerData } from 'node:worker_threads'
import { systemClock } from '../base/clock.ts'
import { RateLimit } from '../base/rate-limit.ts'
import { CodeCache } from '../router/code-cache.ts'
import { CodeLink, decodeOffer } from '../router/code-link.ts'
import { decode } from '../router/codec.ts'
import type { Frame } from '../router/frame.ts'
import type { Link } from '../router/link.ts'
import { type Level, TYPE } from '../router/protocol.ts'
import { Router } from '../router/router.ts'
import { Dispatcher } from './dispatcher.ts'
import { captureConsole } from './console.ts'
import type { ToMain, ToWorker, WorkerData } from './lane.ts'
import { Loader } from './loader.ts'
import { DROPPED, LOG_RATE } from './log-sender.ts'
import { PortPipe } from './port-pipe.ts'
import { currentOf, Scopes } from './scope.ts'

/** The stub's program inside the Worker: the same engine, with user code and nothing else behind it. */
export function runWorker(): void {
  if (parentPort === null) return
  const port = parentPort
  const { id, path, maxMessage, nodeOptions, running } = workerData as WorkerData
  if (nodeOptions !== undefined) process.env['NODE_OPTIONS'] = nodeOptions
  const post = (message: ToMain): void => port.postMessage(message)
  // Limited here, not at the main thread alone: a loop that prints would fill its queue.
  const limit = new RateLimit(systemClock, LOG_RATE, (dropped) => post({ log: ['warn', 'ramet', DROPPED, undefined, dropped] }))
  const send = (level: Level, source: string, text: string, fields?: string): void => post({ log: [level, source, text, fields, limit.take()] })
  const log = (level: Level, message: string, fields?: string): void => (limit.pass() ? send(level, 'log', message, fields) : undefined)
  captureConsole(systemClock, limit, send)
  const scopes = new Scopes((channel) => Atomics.store(running, 0, channel | 0))
  // Never trimmed, and never short of anything: the main thread sends all that it was offered for us.
  const texts = new CodeCache()
  const loader = new Loader(texts, { 'ramet/remote': { current: currentOf(scopes, path, log) } }, () => {})
  const dispatcher = new Dispatcher({ loader, scopes })
  const router = new Router(
    {
      opened: (channel, message) => dispatcher.opened(channel, message),
      neighbour: (frame, link) => neighbour(frame, link),
      lost: () => {},
      refused: (message) => post({ log: ['warn', 'ramet', message] }),
    },
    { id, clock: systemClock, maxMessage },
  )
  const pipe = new PortPipe(port, (message) => post({ alive: (message as ToWorker).probe }))
  const code = new CodeLink(router.addLink(pipe, 'parent', { path: ['main'] }))
  function neighbour(frame: Frame, _link: Link): void {
    const message = code.join(frame)
    if (message === undefined) return
    if (frame.type === TYPE.OFFER) {
      loader.offer(decodeOffer(message).offers)
    } else if (frame.type === TYPE.PUSH) {
      const [hashes, pushed] = decode(message) as [string[], Uint8Array[]]
      for (const [i, text] of pushed.entries()) texts.keep(hashes[i] as string, text)
      loader.arrived()
    }
  }
  const uncaught = (error: unknown, promise: unknown): void => scopes.uncaught(error, promise, (text) => log('error', text))
  process.on('uncaughtException', uncaught)
  process.on('unhandledRejection', uncaught)
}
