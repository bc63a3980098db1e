import { NO_BYTES } from '../base/bytes.ts'
import { Queue } from '../base/queue.ts'
import { Assembler } from './assembler.ts'
import { ReceiveWindow } from './credit.ts'
import { RametError } from './errors.ts'
import { type Frame, readU32, writeU32 } from './frame.ts'
import type { Link } from './link.ts'
import { FLAG, type FrameType, INITIAL_CREDIT, MAX_BULK, MAX_INLINE, type Reason, TYPE } from './protocol.ts'

/** Who a channel talks to at this end. Called synchronously while a frame is handled. */
export interface ChannelHandler {
  /** A whole message. Its reader gives `credit` back with `consumed` once it has used the bytes. */
  message(bytes: Uint8Array, credit: number): void
  /** The peer's direction ended; `bytes` is the message it ended with. At the opener the channel is closed by then. */
  end(bytes: Uint8Array): void
  /** The channel is gone without an end: reset by the peer, or its link was lost. */
  reset(error: RametError): void
  /** Everything that waited for credit has left. */
  writable?(): void
}

/** What a channel needs of the router it belongs to. */
export interface ChannelHome {
  readonly id: number
  readonly maxMessage: number
  now(): number
  remove(channel: Channel): void
  sendReset(link: Link, dst: number, channel: number, flags: number, reason: Reason, text: string): void
}

interface Outgoing {
  bytes: Uint8Array
  at: number
  /** The frame type of the last piece: a message is DATA, the closing one END. */
  last: FrameType
}

/**
 * One end of a conversation between two contexts, with flow control by credit end to end. DATA costs credit; OPEN and
 * END carry up to MAX_INLINE bytes without. The opener is always the ancestor, and keeps the budgets of the way.
 */
export class Channel {
  state: 'open' | 'ended' | 'closed' = 'open'
  readonly peer: number
  readonly id: number
  handler: ChannelHandler | undefined
  readonly home: ChannelHome
  readonly link: Link
  private readonly opener: boolean
  /** FLAG.USER on every frame of a channel whose far end is in a Worker. */
  private readonly flags: number
  private credit: number
  /** Sent and not yet credited back; held in the link's budget. */
  private lent = 0
  private window: ReceiveWindow | undefined
  private readonly initialWindow: number
  private outgoing: Queue<Outgoing> | undefined
  private assembler: Assembler | undefined
  private waitingForBudget = false
  private asked = false

  constructor(home: ChannelHome, link: Link, peer: number, id: number, opener: boolean, flags: number, windowExponent: number) {
    this.home = home
    this.link = link
    this.peer = peer
    this.id = id
    this.opener = opener
    this.flags = flags & FLAG.USER
    const granted = windowExponent === 0 ? 0 : 2 ** windowExponent
    this.credit = opener ? INITIAL_CREDIT : granted
    this.initialWindow = opener ? granted : INITIAL_CREDIT
  }

  /** Bytes handed to send() or end() that still wait for credit. */
  get queued(): number {
    let bytes = 0
    if (this.outgoing !== undefined) for (const out of this.outgoing) bytes += out.bytes.length - out.at
    return bytes
  }

  /** Sends the message that opens the channel. `fin`: this end will send nothing more. */
  open(message: Uint8Array, fin: boolean, window: number): void {
    if (fin) this.state = 'ended'
    if (message.length <= MAX_INLINE) {
      this.link.send(TYPE.OPEN, this.flags | (fin ? FLAG.FIN : 0), window, this.peer, this.home.id, this.id, message)
      return
    }
    this.link.send(TYPE.OPEN, this.flags | FLAG.MORE, window, this.peer, this.home.id, this.id, message.subarray(0, MAX_INLINE))
    this.enqueue({ bytes: message, at: MAX_INLINE, last: fin ? TYPE.END : TYPE.DATA })
  }

  /** Queues a message. False when it waits for credit: go on after the handler's writable(). */
  send(message: Uint8Array): boolean {
    if (this.state !== 'open') return true
    if (this.outgoing === undefined && message.length <= MAX_BULK && message.length <= this.credit && this.borrow(message.length)) {
      this.credit -= message.length
      this.frame(TYPE.DATA, 0, message)
      return true
    }
    this.enqueue({ bytes: message, at: 0, last: TYPE.DATA })
    return this.outgoing === undefined
  }

  /** Ends our direction with a last message. At the acceptor that ends the channel. */
  end(message: Uint8Array = NO_BYTES): void {
    if (this.state !== 'open') return
    this.state = 'ended'
    if (this.outgoing === undefined && message.length <= MAX_INLINE) {
      this.frame(TYPE.END, 0, message)
      if (!this.opener) this.close()
    } else {
      this.enqueue({ bytes: message, at: 0, last: TYPE.END })
    }
  }

  /** Gives up the channel and tells the peer. True when the peer has not even heard of it: nothing of it ran. */
  reset(reason: Reason, text = ''): boolean {
    if (this.state === 'closed') return false
    const unheard = this.link.withdraw(this.peer, this.home.id, this.id)
    this.close()
    if (!unheard) this.home.sendReset(this.link, this.peer, this.id, this.flags, reason, text)
    return unheard
  }

  /** The reader used up bytes of a message; more may come. */
  consumed(bytes: number): void {
    if (this.state === 'closed' || bytes === 0) return
    const window = this.receiving()
    let grant = window.consumed(bytes, this.home.now(), this.link.rtt ?? 10)
    if (grant === 0) return
    if (this.opener) grant = this.takeGrant(grant)
    this.grant(grant)
  }

  /** A frame of this channel. Throws RametError when the peer breaks the rules: that costs the link. */
  receive(frame: Frame): void {
    if (frame.type === TYPE.CREDIT) {
      this.credited(frame)
    } else if (frame.type === TYPE.DATA) {
      const size = frame.payload.length
      if (!this.receiving().received(size)) {
        throw new RametError('protocol-error', `${this.name()} sent more than it had credit for`, { path: this.link.path })
      }
      if (this.opener) this.link.up.give(size)
      this.piece(frame, size)
    } else {
      this.piece(frame, 0)
    }
  }

  /** Ends the channel here without a word to the peer. */
  lose(error: RametError): void {
    if (this.state === 'closed') return
    this.close()
    this.handler?.reset(error)
  }

  private piece(frame: Frame, credit: number): void {
    const more = (frame.flags & FLAG.MORE) !== 0
    let bytes = frame.payload
    if (more || this.assembler !== undefined) {
      this.assembler ??= new Assembler()
      const whole = this.assembler.add(bytes, more, this.home.maxMessage)
      if (whole === 'too-large') {
        const text = `a message of more than ${this.home.maxMessage} bytes was sent`
        this.reset('message-too-large', text)
        this.handler?.reset(new RametError('message-too-large', `${this.name()}: ${text}`, { path: this.link.path }))
        return
      }
      if (whole === undefined) {
        this.consumed(credit)
        return
      }
      bytes = whole
      this.assembler = undefined
    }
    try {
      if (frame.type === TYPE.END || (frame.flags & FLAG.FIN) !== 0) {
        if (this.opener) this.close()
        this.handler?.end(bytes)
      } else {
        this.handler?.message(bytes, credit)
      }
    } catch (error) {
      // What the peer sent cannot be read. That costs the link; the handler has to hear of it while it is still known.
      this.close()
      this.handler?.reset(error as RametError)
      throw error
    }
  }

  private credited(frame: Frame): void {
    if ((frame.flags & FLAG.WANT) !== 0) {
      if (this.opener && this.receiving().outstanding === 0) this.grant(this.takeGrant(this.receiving().size || INITIAL_CREDIT))
      return
    }
    if (frame.payload.length !== 4) throw new RametError('protocol-error', 'a CREDIT has 4 bytes')
    const bytes = readU32(frame.payload, 0)
    this.credit += bytes
    this.repay(bytes)
    this.pump()
  }

  private enqueue(out: Outgoing): void {
    this.outgoing ??= new Queue()
    this.outgoing.push(out)
    this.pump()
  }

  private pump(): void {
    const queue = this.outgoing
    if (queue === undefined) return
    for (let out = queue.peek(); out !== undefined; out = queue.peek()) {
      const left = out.bytes.length - out.at
      if (out.last === TYPE.END && left <= MAX_INLINE) {
        queue.shift()
        this.frame(TYPE.END, 0, out.bytes.subarray(out.at))
        this.outgoing = undefined
        if (!this.opener) this.close()
        return
      }
      const size = Math.min(left, MAX_BULK, this.credit)
      // A sliver of a large message would cost a frame of its own; it goes with the next grant.
      if (size === 0 || (size < left && size < 1024)) {
        if (!this.opener && !this.asked && this.credit === 0 && left > 0) this.ask()
        return
      }
      if (!this.borrow(size)) return
      this.credit -= size
      const last = size === left && out.last === TYPE.DATA
      this.frame(TYPE.DATA, last ? 0 : FLAG.MORE, out.bytes.subarray(out.at, out.at + size))
      out.at += size
      if (last) queue.shift()
    }
    this.outgoing = undefined
    this.handler?.writable?.()
  }

  /** Asks for a first grant where the OPEN brought none. */
  private ask(): void {
    this.asked = true
    this.frame(TYPE.CREDIT, FLAG.WANT, NO_BYTES)
  }

  private grant(bytes: number): void {
    if (bytes === 0 || this.state === 'closed') return
    const window = this.receiving()
    window.outstanding += bytes
    const payload = new Uint8Array(4)
    writeU32(payload, 0, bytes)
    this.frame(TYPE.CREDIT, 0, payload)
  }

  /** Takes a grant out of the budget of the way; what it does not hold now follows when bytes have come in. */
  private takeGrant(wanted: number): number {
    const taken = this.link.up.take(wanted)
    if (taken < wanted && taken === 0 && !this.waitingForBudget) {
      this.waitingForBudget = true
      this.link.up.wait(() => {
        this.waitingForBudget = false
        if (this.state !== 'closed' && this.receiving().outstanding === 0) this.grant(this.takeGrant(this.receiving().size || INITIAL_CREDIT))
      })
    }
    return taken
  }

  private borrow(bytes: number): boolean {
    if (!this.opener) return true
    const taken = this.link.down.take(bytes)
    if (taken === bytes) {
      this.lent += bytes
      return true
    }
    this.link.down.give(taken)
    if (!this.waitingForBudget) {
      this.waitingForBudget = true
      this.link.down.wait(() => {
        this.waitingForBudget = false
        if (this.state !== 'closed') this.pump()
      })
    }
    return false
  }

  private repay(bytes: number): void {
    if (!this.opener) return
    const back = Math.min(bytes, this.lent)
    this.lent -= back
    this.link.down.give(back)
  }

  private receiving(): ReceiveWindow {
    this.window ??= new ReceiveWindow(this.initialWindow, this.home.now())
    return this.window
  }

  private frame(type: FrameType, flags: number, payload: Uint8Array): void {
    this.link.send(type, this.flags | flags, 0, this.peer, this.home.id, this.id, payload)
  }

  private close(): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.outgoing = undefined
    this.assembler = undefined
    if (this.opener) {
      this.repay(this.lent)
      this.link.up.give(Math.max(0, this.window?.outstanding ?? this.initialWindow))
    }
    this.home.remove(this)
  }

  private name(): string {
    return this.link.path.join(' > ')
  }
}
