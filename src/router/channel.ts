import { NO_BYTES } from '../base/bytes.ts'
import { Assembler } from './assembler.ts'
import { type Borrower, type Budget, ReceiveWindow } from './credit.ts'
import { RametError } from './errors.ts'
import { type Frame, readU32, writeU32 } from './frame.ts'
import type { Link } from './link.ts'
import { FLAG, type FrameType, HEADER_SIZE, INITIAL_CREDIT, MAX_INLINE, MIN_PIECE, type Reason, TYPE } from './protocol.ts'
import { Sending, type SendingHome } from './sending.ts'

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

/** The way to a context. To a neighbour it is the link itself. */
export interface Route {
  /** The link it begins with. */
  readonly link: Link
  /** Names from the controller down, for errors. */
  readonly path: readonly string[]
  /** What we may have under way to (down) and grant to (up) this context. */
  readonly down: Budget
  readonly up: Budget
  /** Smoothed round trip in ms; undefined until measured. */
  readonly rtt: number | undefined
}

/** What a channel needs of the router it belongs to. */
export interface ChannelHome {
  readonly id: number
  readonly maxMessage: number
  now(): number
  remove(channel: Channel): void
  sendReset(link: Link, dst: number, channel: number, flags: number, reason: Reason, text: string): void
}

/**
 * One end of a conversation between two contexts, with flow control by credit end to end. DATA costs credit; OPEN and
 * END carry up to MAX_INLINE bytes without. The opener is always the ancestor, and keeps the budgets of the way.
 */
export class Channel implements SendingHome, Borrower {
  /** new: whoever prepared it sends its OPEN later, and nothing before that. */
  state: 'new' | 'open' | 'ended' | 'closed' = 'open'
  readonly peer: number
  readonly id: number
  handler: ChannelHandler | undefined
  readonly home: ChannelHome
  readonly link: Link
  readonly route: Route
  private readonly opener: boolean
  /** FLAG.USER on every frame of a channel whose far end is in a Worker. */
  private readonly flags: number
  /** What OPEN granted to the acceptor: 2^exponent bytes, or none for 0. */
  readonly exponent: number
  // Most channels are one small frame each way, and need none of these.
  private sending: Sending | undefined
  private window: ReceiveWindow | undefined
  private assembler: Assembler | undefined
  /** An account was asked for, and nothing was sent or granted since. */
  private asked = false

  constructor(home: ChannelHome, route: Route, peer: number, id: number, opener: boolean, flags: number, window: number) {
    this.home = home
    this.route = route
    this.link = route.link
    this.peer = peer
    this.id = id
    this.opener = opener
    this.flags = flags & FLAG.USER
    this.exponent = window
  }

  private get granted(): number {
    return this.exponent === 0 ? 0 : 2 ** this.exponent
  }

  /** Bytes handed to send() or end() that still wait for credit. */
  get queued(): number {
    return this.sending?.queued ?? 0
  }

  /** Sends the message that opens the channel. `fin`: this end will send nothing more. */
  open(message: Uint8Array, fin: boolean): void {
    if (fin) this.state = 'ended'
    if (message.length <= MAX_INLINE) {
      this.link.send(TYPE.OPEN, this.flags | (fin ? FLAG.FIN : 0), this.exponent, this.peer, this.home.id, this.id, message)
      return
    }
    this.link.send(TYPE.OPEN, this.flags | FLAG.MORE, this.exponent, this.peer, this.home.id, this.id, message.subarray(0, MAX_INLINE))
    if (!this.isClosed()) this.out().message(message, MAX_INLINE, fin ? TYPE.END : TYPE.DATA)
  }

  /** Queues a message. False when it waits for credit: go on after the handler's writable(). */
  send(message: Uint8Array): boolean {
    if (this.state !== 'open') return true
    const sending = this.out()
    sending.message(message, 0, TYPE.DATA)
    return sending.idle
  }

  /** Ends our direction with a last message. At the acceptor that ends the channel. */
  end(message: Uint8Array = NO_BYTES): void {
    if (this.state !== 'open') return
    this.state = 'ended'
    if (message.length <= MAX_INLINE && this.sending?.idle !== false) {
      this.frame(TYPE.END, 0, message)
      this.sent(true)
    } else {
      this.out().message(message, 0, TYPE.END)
    }
  }

  /** Gives up the channel and tells the peer. True when the peer has not even heard of it: nothing of it ran. */
  reset(reason: Reason, text = ''): boolean {
    if (this.state === 'closed') return false
    const unheard = this.link.withdraw(this.peer, this.home.id, this.id).size > 0
    this.close()
    if (!unheard) this.home.sendReset(this.link, this.peer, this.id, this.flags, reason, text)
    return unheard
  }

  /** The reader used up bytes of a message; more may come. */
  consumed(bytes: number): void {
    if (this.state === 'closed' || bytes === 0) return
    this.receiving().consumed(bytes, this.home.now(), this.route.rtt ?? 10)
    this.offer()
  }

  /** A frame of this channel. Throws RametError when the peer breaks the rules: that costs the link. */
  receive(frame: Frame): void {
    if (frame.type === TYPE.CREDIT) {
      this.credited(frame)
    } else if (frame.type !== TYPE.DATA) {
      this.piece(frame, 0)
    } else if ((frame.flags & FLAG.WANT) !== 0) {
      if (this.opener) throw this.broken()
      this.account()
    } else {
      const size = frame.payload.length
      if (!this.receiving().received(size)) throw this.broken()
      if (this.opener) this.route.up.give(size + HEADER_SIZE)
      this.piece(frame, size)
      // Its header is used up already; of no bytes nobody would say that they are.
      if (size === 0 && !this.isClosed()) this.offer()
    }
  }

  /** Ends the channel here without a word to the peer. */
  lose(error: RametError): void {
    if (this.state === 'closed') return
    this.close()
    this.handler?.reset(error)
  }

  /** The way is short of bytes: asks the acceptor what of ours has arrived, and for credit that it does not use. */
  settle(): void {
    if (!this.opener || this.asked || this.state === 'closed' || this.state === 'new') return
    if ((this.sending?.lent ?? 0) === 0 && (this.window?.outstanding ?? this.granted) === 0) return
    // As DATA it comes behind all that was sent.
    this.frame(TYPE.DATA, FLAG.WANT, NO_BYTES)
  }

  // What its own direction of sending, and the budget of the way, ask for.

  frame(type: FrameType, flags: number, payload: Uint8Array): void {
    this.asked = (flags & FLAG.WANT) !== 0
    this.link.send(type, this.flags | flags, 0, this.peer, this.home.id, this.id, payload)
  }

  sent(ended: boolean): void {
    if (!ended) this.handler?.writable?.()
    else if (!this.opener) this.close()
  }

  freed(): void {
    if (this.state !== 'closed') this.offer()
  }

  private piece(frame: Frame, credit: number): void {
    const more = (frame.flags & FLAG.MORE) !== 0
    let bytes = frame.payload
    let toUse = credit
    if (more || this.assembler !== undefined) {
      this.assembler ??= new Assembler()
      const whole = this.assembler.add(bytes, more, this.home.maxMessage)
      if (whole === 'too-large') {
        const text = `a message of more than ${this.home.maxMessage} bytes was sent`
        this.reset('message-too-large', text)
        this.handler?.reset(new RametError('message-too-large', `${this.name()}: ${text}`, { path: this.route.path }))
        return
      }
      if (whole === undefined) {
        if (credit > 0) this.receiving().gather(credit)
        this.consumed(credit)
        return
      }
      bytes = whole
      this.assembler = undefined
      if (this.window !== undefined) toUse += this.window.whole()
    }
    try {
      if (frame.type === TYPE.END || (frame.flags & FLAG.FIN) !== 0) {
        if (this.opener) this.close()
        this.handler?.end(bytes)
      } else {
        this.handler?.message(bytes, toUse)
      }
    } catch (error) {
      // What the peer sent cannot be read. That costs the link; the handler has to hear of it while it is still known.
      this.close()
      this.handler?.reset(error as RametError)
      throw error
    }
  }

  private credited(frame: Frame): void {
    const { payload } = frame
    if ((frame.flags & FLAG.WANT) !== 0) {
      this.receiving().quiet = false
      this.offer()
      return
    }
    if (payload.length !== (this.opener ? 12 : 4)) throw this.broken()
    const sending = this.out()
    if (this.opener) {
      const returned = readU32(payload, 8)
      const window = this.receiving()
      if (returned > window.outstanding || !sending.arrived(readU32(payload, 4))) throw this.broken()
      window.outstanding -= returned
      window.quiet ||= returned > 0
      this.route.up.give(returned)
      // Whoever waited for these bytes may have cost the link.
      if (this.isClosed()) return
    }
    if (!sending.granted(readU32(payload, 0))) throw this.broken()
  }

  /** Says what has arrived, and lets go of the credit that nobody here can use. */
  private account(): void {
    const sending = this.out()
    const returned = sending.surrender()
    this.grant(this.receiving().room, returned)
    sending.pump()
  }

  /** Grants what the reader has made room for; at the opener, as far as the way has bytes for it. What is short follows when some come back. */
  private offer(): void {
    const { due } = this.receiving()
    if (due === 0) return
    const bytes = this.opener ? this.route.up.take(due, Math.min(due, MIN_PIECE)) : due
    if (bytes > 0) this.grant(bytes, 0)
    if (bytes < due && !this.isClosed()) this.route.up.wait(this)
  }

  private grant(bytes: number, returned: number): void {
    const window = this.receiving()
    window.outstanding += bytes
    const payload = new Uint8Array(this.opener ? 4 : 12)
    writeU32(payload, 0, bytes)
    if (!this.opener) {
      writeU32(payload, 4, window.arrived)
      writeU32(payload, 8, returned)
    }
    window.arrived = 0
    this.frame(TYPE.CREDIT, 0, payload)
  }

  private receiving(): ReceiveWindow {
    this.window ??= new ReceiveWindow(this.opener ? this.granted : INITIAL_CREDIT, this.home.now())
    return this.window
  }

  private out(): Sending {
    this.sending ??= new Sending(this, this.opener ? this.route.down : undefined, this.opener ? INITIAL_CREDIT : this.granted)
    return this.sending
  }

  private close(): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.assembler = undefined
    this.home.remove(this)
    this.sending?.close()
    if (!this.opener) return
    this.route.up.forget(this)
    this.route.up.give(Math.max(0, this.window?.outstanding ?? this.granted))
  }

  /** As a call: between two looks at `state` anything may have happened. */
  private isClosed(): boolean {
    return this.state === 'closed'
  }

  private broken(): RametError {
    return new RametError('protocol-error', `${this.name()} broke the rules of credit`, { path: this.route.path })
  }

  private name(): string {
    return this.route.path.join(' > ')
  }
}
