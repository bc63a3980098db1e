import { RametError } from '../router/errors.ts'
import type { Link } from '../router/link.ts'
import type { Pipe, PipeSink } from '../router/pipe.ts'
import { PipeAround } from '../router/pipe-around.ts'
import { HEADER_SIZE, MAX_CONTROL, MAX_PROCESS, MAX_QUEUED, TYPE } from '../router/protocol.ts'
import type { HopHost } from './hop-host.ts'

/** Bytes that come from children between two looks at what waits of theirs. */
const EVERY = 512 * 1024
/** What a waiting frame takes beside its own bytes; the first one of a channel's bulk has a queue to itself. */
const FRAME = 128
const QUEUE = 512
/** A payload is a part of what was read at once, all of which it keeps: from so many bytes on it is copied. */
const SLACK = 1024
/** Bytes of one child's that may wait. */
const MAX_CHILD = 2 * MAX_QUEUED

/** What waits of one child's, in bytes. */
interface Share {
  /** CREDIT and RESET: of more than MAX_CONTROL the link itself would die, with everything behind it. */
  control: number
  /** DATA: of more than MAX_QUEUED the link gives up the largest channel, whosever it is. Ancestors have granted half of that at most. */
  bulk: number
  /** Everything, with what it takes beside. */
  all: number
}

const LIMITS: [kind: keyof Share, most: number][] = [
  ['control', MAX_CONTROL / 2],
  ['bulk', MAX_QUEUED * 0.75],
  ['all', MAX_PROCESS],
]

/**
 * What children have sent and the link towards the controller has not taken yet. A child is not believed to keep to its credit, and
 * what it floods us with must not cost its siblings: when too much waits, the child with most of it is given up.
 */
export class Uplink {
  private readonly host: HopHost
  private since = 0

  constructor(host: HopHost) {
    this.host = host
  }

  /** A child's pipe, whose bytes are counted. */
  metered(pipe: Pipe): Pipe {
    return new MeteredPipe(pipe, (bytes) => this.took(bytes))
  }

  private took(bytes: number): void {
    const link = this.host.router.parent
    if (link === undefined || link.queued === 0) {
      this.since = 0
      return
    }
    this.since += bytes
    if (this.since < EVERY) return
    this.since = 0
    this.look(link)
  }

  private look(link: Link): void {
    const shares = this.shares(link)
    const guilty = new Set<Link>()
    for (const [child, { all }] of shares) if (all > MAX_CHILD) guilty.add(child)
    for (const [kind, most] of LIMITS) {
      for (;;) {
        let sum = 0
        let largest: Link | undefined
        for (const [child, share] of shares) {
          if (guilty.has(child)) continue
          sum += share[kind]
          if (largest === undefined || share[kind] > (shares.get(largest) as Share)[kind]) largest = child
        }
        if (largest === undefined || sum <= most) break
        guilty.add(largest)
      }
    }
    if (guilty.size === 0) return
    const { router, log } = this.host
    link.sift(({ src }) => guilty.has(router.routeTo(src)?.link as Link))
    for (const child of guilty) {
      const { path } = child
      const text = `${path.join(' > ')} sent more than could be passed on, and was given up`
      log.write('warn', 'ramet', text)
      child.close(new RametError('overflow', text, { path, outcome: 'unknown', hint: 'Connect again; a stub of ours sends what was granted to it and no more.' }))
    }
  }

  private shares(link: Link): Map<Link, Share> {
    const shares = new Map<Link, Share>()
    link.sift((frame) => {
      const { type, payload } = frame
      if (payload.buffer.byteLength > 2 * payload.length + SLACK) frame.payload = new Uint8Array(payload)
      const child = this.host.router.routeTo(frame.src)?.link
      if (child === undefined) return false
      let share = shares.get(child)
      if (share === undefined) shares.set(child, (share = { control: 0, bulk: 0, all: 0 }))
      const size = HEADER_SIZE + payload.length
      if (type === TYPE.DATA) share.bulk += size
      else if (type !== TYPE.END) share.control += size
      share.all += size + (type === TYPE.DATA ? QUEUE : FRAME)
      return false
    })
    return shares
  }
}

class MeteredPipe extends PipeAround {
  private readonly took: (bytes: number) => void

  constructor(pipe: Pipe, took: (bytes: number) => void) {
    super(pipe)
    this.took = took
  }

  protected override received(bytes: Uint8Array, sink: PipeSink): void {
    super.received(bytes, sink)
    this.took(bytes.length)
  }
}
