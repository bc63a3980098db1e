import { Queue } from '../base/queue.ts'
import type { Frame } from './frame.ts'
import { HEADER_SIZE, MAX_QUEUED, NEIGHBOUR, TYPE } from './protocol.ts'

/** A frame that waits for the pipe. `payload` undefined marks one that was withdrawn. */
type Waiting = Omit<Frame, 'payload'> & { payload: Uint8Array | undefined }

/** The frames of one channel and direction that wait in the bulk class. */
interface BulkQueue {
  key: string
  frames: Queue<Frame>
  bytes: number
}

/** Key of the neighbours' own bulk: code, which is under no credit, and which the neighbour waits for. */
const CODE = `${NEIGHBOUR}:${NEIGHBOUR}:0`

const isBulk: boolean[] = []
isBulk[TYPE.DATA] = true
isBulk[TYPE.PUSH] = true
const isControl: boolean[] = []
for (const type of [TYPE.CREDIT, TYPE.RESET, TYPE.HELLO, TYPE.PING, TYPE.PONG, TYPE.ROUTE, TYPE.GOAWAY]) isControl[type] = true

/**
 * What a link could not hand to its pipe yet, in three classes that leave in this order: control, interactive, bulk. Bulk
 * goes round-robin over channels; frames of one channel and direction keep their order.
 */
export class SendQueue {
  /** Bytes of all frames that wait, headers included. */
  bytes = 0
  /** Of these, control frames. A peer that asks for answers and takes none must not make us keep them all. */
  controlBytes = 0
  private readonly control = new Queue<Waiting>()
  private readonly interactive = new Queue<Waiting>()
  private readonly bulk = new Map<string, BulkQueue>()
  private readonly turn = new Queue<BulkQueue>()

  /**
   * Takes a frame. Returns a frame of the channel that was dropped because the queue is full: the one with most bytes in
   * bulk. What is for the neighbour itself (code) stays.
   */
  push(frame: Frame): Frame | undefined {
    const size = HEADER_SIZE + frame.payload.length
    this.bytes += size
    if (isControl[frame.type] === true) {
      this.control.push(frame)
      this.controlBytes += size
      return undefined
    }
    const bulk = isBulk[frame.type] === true
    // A channel's END must not overtake its DATA.
    const key = bulk || this.bulk.size > 0 ? keyOf(frame.dst, frame.src, frame.channel) : ''
    let queue = this.bulk.get(key)
    if (queue === undefined) {
      if (!bulk) {
        this.interactive.push(frame)
        return undefined
      }
      queue = { key, frames: new Queue(), bytes: 0 }
      this.bulk.set(key, queue)
      this.turn.push(queue)
    }
    queue.frames.push(frame)
    queue.bytes += size
    return this.bytes > MAX_QUEUED ? this.shed() : undefined
  }

  /** The next frame to leave. */
  shift(): Frame | undefined {
    const control = live(this.control)
    const frame = control ?? live(this.interactive) ?? this.nextBulk()
    if (frame !== undefined) this.bytes -= HEADER_SIZE + frame.payload.length
    if (control !== undefined) this.controlBytes -= HEADER_SIZE + control.payload.length
    return frame
  }

  /**
   * Shows every frame to `fits`, and takes back those for which it returns true; of a channel's bulk all or none. Returns the
   * channels whose OPEN was among them.
   */
  withdraw(fits: (frame: Frame) => boolean): Set<number> {
    const opened = new Set<number>()
    if (this.bytes === 0) return opened
    for (const queue of [this.control, this.interactive]) {
      for (const waiting of queue) {
        if (waiting.payload === undefined || !fits(waiting as Frame)) continue
        const size = HEADER_SIZE + waiting.payload.length
        if (waiting.type === TYPE.OPEN) opened.add(waiting.channel)
        this.bytes -= size
        if (queue === this.control) this.controlBytes -= size
        waiting.payload = undefined
      }
    }
    for (const queue of this.bulk.values()) if ([...queue.frames].filter(fits).length > 0) this.drop(queue)
    // Nobody would come to clear away what was withdrawn.
    if (this.bytes === 0) this.clear()
    return opened
  }

  clear(): void {
    this.control.clear()
    this.interactive.clear()
    this.bulk.clear()
    this.turn.clear()
    this.bytes = 0
    this.controlBytes = 0
  }

  private nextBulk(): Frame | undefined {
    for (let queue = this.turn.shift(); queue !== undefined; queue = this.turn.shift()) {
      const frame = queue.frames.shift()
      if (frame === undefined) continue
      queue.bytes -= HEADER_SIZE + frame.payload.length
      if (queue.frames.length > 0) this.turn.push(queue)
      else this.bulk.delete(queue.key)
      return frame
    }
    return undefined
  }

  /** One slow reader must not cost the others their link. */
  private shed(): Frame | undefined {
    let bytes = 0
    let largest: BulkQueue | undefined
    for (const queue of this.bulk.values()) {
      if (queue.key === CODE) continue
      bytes += queue.bytes
      if (queue.bytes > (largest?.bytes ?? 0)) largest = queue
    }
    // Replies are not bulk: a pile of them is nothing that a stream should pay for.
    if (bytes <= MAX_QUEUED) return undefined
    const head = largest?.frames.peek()
    if (largest !== undefined) this.drop(largest)
    return head
  }

  private drop(queue: BulkQueue): void {
    this.bytes -= queue.bytes
    queue.bytes = 0
    queue.frames.clear()
    this.bulk.delete(queue.key)
  }
}

function live(queue: Queue<Waiting>): Frame | undefined {
  for (let waiting = queue.shift(); waiting !== undefined; waiting = queue.shift()) {
    if (waiting.payload !== undefined) return waiting as Frame
  }
  return undefined
}

function keyOf(dst: number, src: number, channel: number): string {
  return `${dst}:${src}:${channel}`
}
