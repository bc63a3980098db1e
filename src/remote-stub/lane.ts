import { Worker } from 'node:worker_threads'
import type { CodeCache } from '../router/code-cache.ts'
import { CodeLink, type Offer } from '../router/code-link.ts'
import { encode } from '../router/codec.ts'
import { NO_BYTES } from '../base/bytes.ts'
import type { Frame } from '../router/frame.ts'
import type { Link } from '../router/link.ts'
import { type Level, type Reason, TYPE } from '../router/protocol.ts'
import { encodeReset } from '../router/reset.ts'
import type { Router } from '../router/router.ts'
import { PortPipe } from './port-pipe.ts'

/** How long a Worker may leave a probe unanswered after a call in it was given up, in ms. */
const GRACE = 1000
/** The second look at what has the thread comes this much later (ms): between two calls it is nobody's for a moment. */
const AGAIN = 100

export interface LaneOptions {
  router: Router
  texts: CodeCache
  /** The stub's own text: a Worker runs it, too. */
  stub: () => string
  path: readonly string[]
  env: Record<string, string | undefined>
  /** Asks for texts that this context was offered and has no more. */
  need: (hashes: string[]) => void
  log: (...record: LogLine) => void
}

/** `fields` is JSON. */
export type LogLine = [level: Level, source: string, text: string, fields?: string | undefined, dropped?: number]

/** What the Worker gets to start with. */
export interface WorkerData {
  id: number
  path: readonly string[]
  maxMessage: number
  /** Kept from the Worker's own start, which would act on it. */
  nodeOptions: string | undefined
  /** One number: the channel whose call has the thread right now. */
  running: Int32Array
}

export type ToMain = { log: LogLine } | { alive: number }
export type ToWorker = { probe: number }

/**
 * The Worker that user code runs in, seen from the main thread: a link of its own, over which frames of its channels
 * pass untouched. It starts with the first of them; when it ends, its calls end as unknown and the next call starts
 * another.
 */
export class Lane {
  state: 'idle' | 'running' | 'ending' | 'closed' = 'idle'
  private readonly options: LaneOptions
  private worker: Worker | undefined
  private link: Link | undefined
  private code: CodeLink | undefined
  private readonly offers = new Map<number, Offer>()
  /** Open channels by number; all are of ancestors, whose numbers do not collide at one peer. */
  private readonly calls = new Map<string, Frame>()
  private readonly running = new Int32Array(new SharedArrayBuffer(4))
  /** Frames of channels that were opened while the Worker was in doubt. */
  private held: Frame[] = []
  private exitReason: [Reason, string] | undefined
  private probe = 0
  private cancelProbe: (() => void) | undefined

  constructor(options: LaneOptions) {
    this.options = options
  }

  /** Starts the Worker ahead of its first frame. */
  start(): void {
    if (this.state !== 'idle') return
    const { router, path, stub, log } = this.options
    const { NODE_OPTIONS: nodeOptions, ...env } = this.options.env
    this.state = 'running'
    const data: WorkerData = { id: router.id, path, maxMessage: router.maxMessage, nodeOptions, running: this.running }
    const worker = new Worker(stub(), { eval: true, workerData: data, stdout: true, stderr: true, env, execArgv: [] })
    this.worker = worker
    const pipe = new PortPipe(worker, (message) => this.control(message as ToMain))
    worker.on('error', (error: Error) => {
      this.exitReason = ['worker-exited', `the Worker failed: ${error.message}`]
      log('error', 'ramet', `the Worker failed: ${error.stack ?? error.message}`)
    })
    worker.on('exit', (code) => this.exited(worker, pipe, code))
    this.link = router.addLink(pipe, 'lane', { path: [...path, 'worker'] })
    this.code = new CodeLink(this.link)
    this.deliver([...this.offers.values()])
  }

  /** A frame for a channel in the Worker. */
  frame(frame: Frame): void {
    if (this.state === 'closed') return
    if (this.cancelProbe !== undefined || this.state === 'ending') {
      // The Worker may be about to end: what has not begun in it belongs to the next one.
      if (frame.type === TYPE.OPEN || this.held.some((other) => keyOf(other) === keyOf(frame))) {
        if (frame.type === TYPE.RESET) this.held = this.held.filter((other) => keyOf(other) !== keyOf(frame))
        else this.held.push(frame)
        return
      }
    }
    this.start()
    const key = keyOf(frame)
    if (frame.type === TYPE.OPEN) this.calls.set(key, { ...frame, payload: NO_BYTES })
    this.link?.forward(frame, true)
    if (frame.type === TYPE.RESET && this.calls.delete(key)) this.check()
  }

  /** The Worker ended a channel: its frame passes through the router on its way up. */
  ended(frame: Frame): void {
    if (frame.type === TYPE.END || frame.type === TYPE.RESET) this.calls.delete(`${frame.dst}:${frame.channel}`)
  }

  offer(offers: readonly Offer[]): void {
    for (const offer of offers) this.offers.set(offer.number, offer)
    if (this.state === 'running') this.deliver(offers)
  }

  /** Texts have come in: what the Worker was offered and lacks goes on to it. */
  arrived(): void {
    if (this.state === 'running') this.push([...this.offers.values()])
  }

  close(): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.cancelProbe?.()
    void this.worker?.terminate()
  }

  private deliver(offers: readonly Offer[]): void {
    if (offers.length === 0) return
    this.push(offers)
    this.code?.offer({ dsts: [this.options.router.id], user: true, offers: [...offers], pushed: new Set(offers.map(({ hash }) => hash)) })
  }

  private push(offers: readonly Offer[]): void {
    const { texts, need } = this.options
    const lacking = this.code?.lacking(offers.map(({ hash }) => hash)) ?? []
    const here = lacking.filter((hash) => texts.has(hash))
    // With their hashes: loading what computes them takes longer than all else that the Worker does with a text.
    if (here.length > 0) this.code?.push(here, encode([here, here.map((hash) => texts.get(hash))]))
    if (here.length < lacking.length) need(lacking.filter((hash) => !texts.has(hash)))
  }

  private control(message: ToMain): void {
    if ('log' in message) {
      this.options.log(...message.log)
    } else {
      this.cancelProbe?.()
      this.cancelProbe = undefined
      this.release()
      // A call was given up after that probe had been sent.
      if (message.alive !== this.probe && this.state === 'running') this.watch()
    }
  }

  /**
   * A call was given up. A Worker that still answers has heard of it; one that does not is spinning, and only its end ends
   * that call. A call that still is wanted is left alone, however long it has the thread: we look again until it lets go.
   */
  private check(): void {
    this.worker?.postMessage({ probe: ++this.probe })
    if (this.cancelProbe === undefined && this.state === 'running') this.watch()
  }

  private watch(ms = GRACE, suspect?: number): void {
    this.cancelProbe = this.options.router.clock.after(ms, () => {
      const running = Atomics.load(this.running, 0) >>> 0
      if (running !== 0 && [...this.calls.values()].some(({ channel }) => channel === running)) {
        this.watch()
        return
      }
      if (running !== suspect) {
        this.watch(AGAIN, running)
        return
      }
      this.cancelProbe = undefined
      this.exitReason = ['worker-exited', 'a call that had been given up did not let go of the Worker, which was ended']
      this.state = 'ending'
      void this.worker?.terminate()
    })
  }

  private exited(worker: Worker, pipe: PortPipe, code: number): void {
    if (worker !== this.worker) return
    const [reason, text] = this.exitReason ?? ['worker-exited', `the code in the Worker ended it (exit code ${code})`]
    this.exitReason = undefined
    this.cancelProbe?.()
    this.cancelProbe = undefined
    this.worker = undefined
    Atomics.store(this.running, 0, 0)
    pipe.close()
    const { router } = this.options
    for (const frame of this.calls.values()) {
      router.linkTo(frame.src)?.send(TYPE.RESET, frame.flags, 0, frame.src, frame.dst, frame.channel, encodeReset(reason, text))
    }
    this.calls.clear()
    this.link = undefined
    this.code = undefined
    if (this.state === 'closed') return
    this.state = 'idle'
    this.release()
  }

  private release(): void {
    for (const frame of this.held.splice(0)) this.frame(frame)
  }
}

function keyOf(frame: Frame): string {
  return `${frame.src}:${frame.channel}`
}

