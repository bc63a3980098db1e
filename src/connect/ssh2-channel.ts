import { deferred } from '../base/deferred.ts'
import type { RametError } from '../router/errors.ts'
import { PIPE_LOW_WATER, type Pipe, type PipeSink } from '../router/pipe.ts'
import type { ChannelKind } from './ssh2-channel-kind.ts'
import { Incoming, Outgoing, RECEIVE_PACKET } from './ssh2-flow.ts'
import { rekeying, type SshProtocol } from './ssh2-protocol.ts'
import type { ProcessEnd, RemoteProcess } from './transport.ts'

/** What a channel needs of its connection. */
export interface ChannelOwner {
  /** Undefined when there is no connection (any more). */
  protocol(): SshProtocol | undefined
  /** Bytes of all channels that the operating system has not taken yet. */
  wirePending(): number
  /** The channel is over, or never came to be: its number is free again. */
  gone(channel: SshChannel): void
  /** Ends the whole connection. */
  fail(error: RametError): void
  error(code: 'launch-failed' | 'protocol-error', text: string, hint: string): RametError
}

/**
 * One process (or one connection onwards) on one SSH channel: own window accounting straight over ssh2's protocol object, without the streams of
 * ssh2's Client, which cost time per write and hold back up to 4 MiB that nobody can count.
 *
 * Bytes given to write() belong to the channel: until the login is certain they may have to be sent again.
 */
export class SshChannel implements Pipe, RemoteProcess {
  /**
   * waiting: nothing sent · ahead: open, exec and first bytes left before the login was confirmed · opening: waits for the
   * server's channel number · running · closing: our CLOSE is sent · closed
   */
  state: 'waiting' | 'ahead' | 'opening' | 'running' | 'closing' | 'closed' = 'waiting'
  readonly pipe: Pipe = this
  readonly exited: Promise<ProcessEnd>
  /** Resolves when the server has said how the process ended, or that the channel is over. */
  readonly reported = deferred<void>()
  /** Bytes delivered and bytes taken so far. */
  bytesIn = 0
  bytesOut = 0
  /** Our number for the channel, -1 before it has one. */
  id = -1
  private readonly kind: ChannelKind
  private readonly owner: ChannelOwner
  private remote = 0
  private sink: PipeSink | undefined
  private readonly ended = deferred<ProcessEnd>()
  private result: ProcessEnd = { exitCode: null, signal: null }
  private readonly outgoing = new Outgoing()
  private readonly incoming: Incoming
  private full = false
  private writing = false
  private eof: 'no' | 'wanted' | 'sent' = 'no'
  private unwanted = false
  private remoteEnded = false
  private cause: Error | undefined
  private told = false

  constructor(kind: ChannelKind, owner: ChannelOwner) {
    this.kind = kind
    this.owner = owner
    this.exited = this.ended.promise
    this.incoming = new Incoming((bytes) => {
      if (this.state === 'running' && !this.remoteEnded) this.owner.protocol()?.channelWindowAdjust(this.remote, bytes)
    })
  }

  // -- towards the server --

  get pending(): number {
    return this.state === 'closed' ? 0 : this.outgoing.queued + this.owner.wirePending()
  }

  get unstarted(): boolean {
    return this.state === 'waiting' || this.state === 'opening'
  }

  write(bytes: Uint8Array): void {
    if (this.state === 'closed' || this.unwanted || this.eof !== 'no' || bytes.length === 0) return
    const { outgoing } = this
    this.bytesOut += bytes.length
    this.writing = true
    if (outgoing.queued === 0 && bytes.length <= outgoing.packet && bytes.length <= outgoing.room && this.mayWrite()) {
      outgoing.pass(bytes, this.send)
    } else {
      outgoing.add(bytes)
      this.pump()
    }
    this.writing = false
    if (this.pending > PIPE_LOW_WATER) this.full = true
    else if (this.full) process.nextTick(() => this.wireDrained())
  }

  end(): void {
    if (this.eof !== 'no') return
    this.eof = 'wanted'
    this.pump()
  }

  close(): void {
    if (this.state === 'closed' || this.unwanted) return
    this.unwanted = true
    this.outgoing.clear()
    this.incoming.discard()
    this.sendClose()
    process.nextTick(() => this.tellClosed())
  }

  kill(signal?: string): void {
    if (this.state === 'running') this.owner.protocol()?.signal(this.remote, (signal ?? 'SIGKILL').replace(/^SIG/, ''))
    // Servers may ignore signals (OpenSSH does so for root); closing the channel at least takes the stdio away.
    if (signal === undefined) this.close()
  }

  /** Sends what window, login and key exchange allow; called whenever one of them has changed. */
  pump(): void {
    if (this.mayWrite()) {
      this.outgoing.pump(this.send)
      if (this.eof === 'wanted' && this.outgoing.queued === 0) {
        this.eof = 'sent'
        this.owner.protocol()?.channelEOF(this.remote)
      }
    }
    this.wireDrained()
  }

  /** The operating system took something. */
  wireDrained(): void {
    if (!this.full || this.writing || this.pending > PIPE_LOW_WATER) return
    this.full = false
    if (!this.told) this.sink?.drain()
  }

  // -- towards us --

  start(sink: PipeSink): void {
    this.sink = sink
    // Not from within start(): the caller may not have finished setting itself up.
    process.nextTick(() => {
      if (!this.unwanted) this.incoming.onData = (bytes) => sink.data(bytes)
      this.deliver()
    })
  }

  stderr(listener: (bytes: Uint8Array) => void): void {
    if (this.unwanted) return
    this.incoming.onStderr = listener
    process.nextTick(() => this.deliver())
  }

  pause(): void {
    if (!this.unwanted) this.incoming.pause()
  }

  resume(): void {
    this.incoming.resume()
    this.deliver()
  }

  // -- life, driven by the connection --

  /** Sends open, exec and the first bytes without waiting. The server is known to call its first channel 0. */
  launchAhead(id: number, loan: number): void {
    const protocol = this.begin(id, 'ahead')
    this.outgoing.begin(this.kind.start === undefined ? 0 : loan, true)
    if (protocol === undefined) return
    this.kind.open(protocol, id)
    this.kind.start?.(protocol, 0)
    this.pump()
  }

  /** The login was refused, so what was sent ahead went nowhere: it will be sent again. */
  takeBack(): void {
    if (this.state !== 'ahead') return
    this.state = 'waiting'
    this.outgoing.takeBack()
    if (this.eof === 'sent') this.eof = 'wanted'
  }

  /** The login is confirmed: what was sent ahead is carried out, once. */
  settle(): void {
    this.outgoing.settle()
  }

  launch(id: number, loan: number): void {
    const protocol = this.begin(id, 'opening')
    this.outgoing.begin(this.kind.start === undefined ? 0 : loan, false)
    if (protocol !== undefined) this.kind.open(protocol, id)
  }

  private begin(id: number, state: 'ahead' | 'opening'): SshProtocol | undefined {
    this.id = id
    this.remote = 0
    this.state = state
    return this.owner.protocol()
  }

  opened(remote: number, window: number, packetSize: number): void {
    if (this.state !== 'ahead' && this.state !== 'opening') return
    if (this.state === 'ahead' && this.kind.start !== undefined && remote !== 0) {
      this.owner.fail(this.owner.error('launch-failed', `the server called its first channel ${remote}, not 0`,
        'Use transport openssh for this server, and report its version.'))
      return
    }
    const ahead = this.state === 'ahead'
    this.state = 'running'
    this.remote = remote
    this.outgoing.grant(window)
    this.outgoing.packet = Math.max(1, Math.min(packetSize, RECEIVE_PACKET))
    if (this.unwanted) return this.sendClose()
    const protocol = this.owner.protocol()
    if (!ahead && protocol !== undefined) this.kind.start?.(protocol, remote)
    this.kind.opened?.()
    this.pump()
  }

  refused(reason: number, text: string): void {
    this.finish(this.kind.refused(reason, text))
  }

  execRefused(): void {
    this.sendClose()
    this.finish(this.owner.error('launch-failed', 'the server refused to start a command',
      'The account may be restricted to a subsystem or to forwarding; try it with ssh.'))
  }

  adjust(bytes: number): void {
    this.outgoing.grant(bytes)
    this.pump()
  }

  received(bytes: Uint8Array, stderr: boolean): void {
    if (this.state === 'closed' || this.remoteEnded) return
    this.bytesIn += bytes.length
    if (this.incoming.push(bytes, stderr)) return
    this.owner.fail(this.owner.error('protocol-error', 'the server sent more than its window allows', 'Report the server\'s version.'))
  }

  request(type: string, wantReply: boolean, data: unknown): void {
    if (type === 'exit-status' && typeof data === 'number') this.result = { exitCode: data, signal: null }
    else if (type === 'exit-signal') this.result = { exitCode: null, signal: `SIG${(data as { signal?: string }).signal ?? ''}` }
    else if (wantReply) return this.owner.protocol()?.channelFailure(this.remote)
    if (this.result.exitCode !== null || this.result.signal !== null) this.reported.resolve()
  }

  /** It runs a process, and is no connection onwards. */
  get process(): boolean {
    return this.kind.start !== undefined
  }

  /** The process has nothing more to say: it has ended or is about to. Of a connection onwards that says nothing. */
  get ending(): boolean {
    return this.remoteEnded && this.process
  }

  endOfFile(): void {
    this.remoteEnded = true
    this.deliver()
  }

  /** The server closed the channel, or there is no connection any more. May be called again. */
  finish(cause?: Error): void {
    if (this.state === 'closed') return
    // The server's CLOSE is answered with ours.
    if (cause === undefined && this.state === 'running') this.sendClose()
    this.state = 'closed'
    this.cause = cause
    this.reported.resolve()
    this.outgoing.clear()
    this.owner.gone(this)
    this.kind.over?.(cause)
    this.deliver()
  }

  private mayWrite(): boolean {
    if (this.state !== 'running' && (this.state !== 'ahead' || this.kind.start === undefined)) return false
    const protocol = this.owner.protocol()
    // During a key exchange ssh2 would queue without limit; here the bytes stay counted.
    return protocol !== undefined && !rekeying(protocol)
  }

  private readonly send = (bytes: Uint8Array): void => {
    this.owner.protocol()?.channelData(this.remote, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))
  }

  private sendClose(): void {
    if (this.state === 'running') {
      this.state = 'closing'
      this.owner.protocol()?.channelClose(this.remote)
    } else if (this.state === 'waiting') this.finish()
  }

  private deliver(): void {
    this.incoming.deliver()
    if (this.incoming.holds(false)) return
    if (this.remoteEnded || this.state === 'closed') this.tellClosed()
    if (this.state === 'closed' && !this.incoming.holds(true)) this.ended.resolve(this.result)
  }

  private tellClosed(): void {
    if (this.told || this.sink === undefined) return
    this.told = true
    this.full = false
    this.sink.closed(this.cause)
  }
}
