import { connect, createServer, type Server, type Socket } from 'node:net'
import { median } from './stats.ts'
import type { Endpoint } from './workspace.ts'

export interface RelayOptions {
  /** Milliseconds that a byte spends on its way in each direction. Default 0. */
  delay?: number
  /** Bytes per second in each direction. Default: unlimited. */
  rate?: number
  /** Bytes that one direction of one connection holds before the relay stops reading. Default 4 MiB. */
  holds?: number
  /** Called whenever a direction stops reading because of what it holds. */
  onFull?: () => void
}

/** What passed the relay; `packets` are reads of the relay, which is what the sender wrote at once unless it wrote a lot. */
export interface Traffic {
  connections: number
  bytesUp: number
  bytesDown: number
  packetsUp: number
  packetsDown: number
}

interface Chunk {
  bytes: Buffer
  due: number
}

/**
 * A network of our own between a program and a server on this machine: a TCP relay with delay, rate and counters. The TCP
 * handshake itself is not delayed, for nobody, so a connect through it takes one round trip less than on a real network.
 */
export class Relay implements Endpoint {
  readonly host: string = '127.0.0.1'
  readonly port: number
  readonly traffic: Traffic = { connections: 0, bytesUp: 0, bytesDown: 0, packetsUp: 0, packetsDown: 0 }
  readonly #server: Server
  readonly #options: Required<RelayOptions>
  readonly #target: Endpoint
  readonly #open: Set<Socket> = new Set()
  #echo: Endpoint | undefined
  #state: 'open' | 'closed' = 'open'

  private constructor(server: Server, port: number, target: Endpoint, options: RelayOptions) {
    this.#server = server
    this.port = port
    this.#target = target
    this.#options = { delay: 0, rate: Infinity, holds: 4 * 1024 * 1024, onFull: () => undefined, ...options }
    server.on('connection', (near) => this.#accept(near))
  }

  static async start(target: Endpoint, options: RelayOptions = {}): Promise<Relay> {
    const server = createServer({ noDelay: true, allowHalfOpen: true })
    return new Relay(server, await listen(server), target, options)
  }

  /** Milliseconds, median, that a one-byte echo takes through this relay. Nothing else may connect meanwhile. */
  async roundTrip(samples = 9): Promise<number> {
    const before = { ...this.traffic }
    const echo = createServer({ noDelay: true }, (socket) => socket.on('error', () => socket.destroy()).pipe(socket))
    this.#echo = { host: '127.0.0.1', port: await listen(echo) }
    const socket = connect({ port: this.port, host: this.host, noDelay: true })
    try {
      const times: number[] = []
      // The first echo opens the far side and is not counted.
      for (let i = 0; i <= samples; i++) {
        const begun = performance.now()
        socket.write('x')
        await new Promise((resolve, reject) => socket.once('data', resolve).once('error', reject))
        if (i > 0) times.push(performance.now() - begun)
        socket.removeAllListeners('error')
      }
      return median(times)
    } finally {
      this.#echo = undefined
      socket.destroy()
      echo.close()
      Object.assign(this.traffic, before)
    }
  }

  /** Resolves when no connection is open any more, and all bytes are counted. Rejects after `limit` ms. */
  async quiet(limit = 10_000): Promise<void> {
    for (const end = performance.now() + limit; this.#open.size > 0; await new Promise((resolve) => setTimeout(resolve, 5))) {
      if (performance.now() > end) throw new Error(`a connection is still open ${limit} ms after its program has ended`)
    }
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    for (const socket of this.#open) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #accept(near: Socket): void {
    const target = this.#echo ?? this.#target
    const far = connect({ ...target, noDelay: true, allowHalfOpen: true })
    this.traffic.connections++
    for (const [socket, other] of [[near, far], [far, near]] as const) {
      this.#open.add(socket)
      // Whatever ends one side at once ends the other: a relay that hides a reset would hide a fault.
      socket.on('error', () => other.resetAndDestroy())
      socket.on('close', () => this.#open.delete(socket))
    }
    new Direction(near, far, this.#options, (bytes) => {
      this.traffic.bytesUp += bytes
      this.traffic.packetsUp++
    })
    new Direction(far, near, this.#options, (bytes) => {
      this.traffic.bytesDown += bytes
      this.traffic.packetsDown++
    })
  }
}

/** One direction of one connection: chunks in order, each held until it is due. */
class Direction {
  readonly #from: Socket
  readonly #to: Socket
  readonly #options: Required<RelayOptions>
  readonly #queue: Chunk[] = []
  #held = 0
  #lineFree = 0
  #ended = false
  #timer: NodeJS.Timeout | NodeJS.Immediate | undefined
  #blocked = false

  constructor(from: Socket, to: Socket, options: Required<RelayOptions>, count: (bytes: number) => void) {
    this.#from = from
    this.#to = to
    this.#options = options
    from.on('data', (bytes: Buffer) => {
      count(bytes.length)
      this.#take(bytes)
    })
    from.on('end', () => {
      this.#ended = true
      this.#send()
    })
    to.on('drain', () => {
      this.#blocked = false
      this.#send()
    })
    to.on('close', () => this.#queue.splice(0))
  }

  #take(bytes: Buffer): void {
    const now = performance.now()
    // A line of limited rate is busy with what came before; the delay comes on top.
    this.#lineFree = Math.max(now, this.#lineFree) + (bytes.length / this.#options.rate) * 1000
    this.#queue.push({ bytes, due: this.#lineFree + this.#options.delay })
    this.#held += bytes.length
    if (this.#held >= this.#options.holds && !this.#from.isPaused()) {
      this.#from.pause()
      this.#options.onFull()
    }
    this.#send()
  }

  #send(): void {
    if (this.#timer !== undefined || this.#blocked) return
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      const wait = next.due - performance.now()
      if (wait > 0) return this.#wake(wait)
      this.#queue.shift()
      this.#held -= next.bytes.length
      if (this.#held < this.#options.holds && this.#from.isPaused()) this.#from.resume()
      if (!this.#to.write(next.bytes)) {
        this.#blocked = true
        return
      }
    }
    if (this.#ended && !this.#to.writableEnded) this.#to.end()
  }

  /** Timers are whole milliseconds and may be early: the last of one is spent on turns of the loop. */
  #wake(wait: number): void {
    const again = (): void => {
      this.#timer = undefined
      this.#send()
    }
    this.#timer = wait > 1 ? setTimeout(again, Math.floor(wait)) : setImmediate(again)
  }
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      if (address !== null && typeof address === 'object') resolve(address.port)
    })
  })
}
