import { deferred } from '../base/deferred.ts'
import { RametError, isRametError } from '../router/errors.ts'
import type { Pipe } from '../router/pipe.ts'
import type { HostKeyGate } from './ssh2-host-key.ts'
import { type Negotiated, type ProtocolHandlers, type SshAlgorithms, type SshProtocol, createProtocol, hostSignature,
  sessionId } from './ssh2-protocol.ts'

const NO_BYTES = Buffer.alloc(0)
/** What OpenSSH's server says instead of its identification when it has no room, or none for this address now. */
const BUSY = /MaxStartups|not allowed|too many|exceeded/i

/** Bytes kept of what a server says before its identification, for messages. */
const GREETING_CAP = 512

export interface TransportOwner {
  /** The server is who it should be and the connection is encrypted; nothing of ours has been sent yet. */
  secured(): void
  /** The server has proven its key, and somebody else decides on it: confirmed() or fail() follows, and nothing is sent before. */
  proven(): void
  /** A key exchange has ended: what waited for it may leave. */
  rekeyed(): void
  /** The operating system has taken bytes. */
  drained(): void
  /** Bytes came, and what they said has been dealt with. */
  heard(): void
  /** The connection is over; called once. */
  lost(error: RametError): void
}

export interface TransportOptions {
  name: string
  pipe: Pipe
  gate: HostKeyGate
  algorithms: SshAlgorithms
  handlers: ProtocolHandlers
  owner: TransportOwner
}

/** One SSH connection over one pipe up to the point where it is encrypted and the host key is accepted. */
export class SshTransport {
  /** deciding: encrypted, and the host key is being asked about elsewhere. */
  state: 'ident' | 'exchange' | 'deciding' | 'secured' | 'closed' = 'ident'
  readonly protocol: SshProtocol
  /** 'OpenSSH_9.2p1', 'dropbear_2022.83', …; '' before it is known. */
  ident = ''
  /** Signature algorithms that the server said it accepts. */
  signatureAlgorithms: string[] | undefined
  negotiated: Negotiated | undefined
  /** We have written since bytes last came. */
  answered = false
  /** Resolves when the pipe is gone. */
  readonly gone = deferred<void>()
  private readonly options: TransportOptions
  private greeting = NO_BYTES

  constructor(options: TransportOptions) {
    this.options = options
    this.protocol = createProtocol({
      algorithms: options.algorithms,
      messageHandlers: options.handlers,
      hostVerifier: (blob) => options.gate.offered(blob, hostSignature(this.protocol)),
      onWrite: (bytes) => {
        this.answered = true
        options.pipe.write(bytes)
      },
      onHeader: (header) => {
        this.ident = header.versions.software
        this.state = 'exchange'
        this.greeting = NO_BYTES
      },
      onHandshakeComplete: (negotiated) => this.exchanged(negotiated),
      onError: (error) => this.fail(this.protocolError(error)),
    })
  }

  /** ssh2's cryptography must be ready. */
  start(): void {
    const { pipe, owner } = this.options
    pipe.start({
      data: (bytes) => this.received(bytes),
      drain: () => owner.drained(),
      closed: (cause) => {
        this.fail(this.lossError(cause))
        this.gone.resolve()
      },
    })
    if (this.state !== 'closed') this.protocol.start?.()
  }

  /** The gate has accepted the key after all. */
  confirmed(): void {
    if (this.state !== 'deciding') return
    this.state = 'secured'
    this.options.owner.secured()
  }

  /** Ends the connection with a goodbye if it can still be sent. */
  close(): void {
    if (this.state === 'closed') return
    if (this.state === 'secured') {
      try {
        this.protocol.disconnect(11)
      } catch {
        // ssh2 has given up the connection already.
      }
    }
    this.shut()
  }

  fail(error: RametError): void {
    if (this.state === 'closed') return
    this.shut()
    this.options.owner.lost(error)
  }

  private shut(): void {
    this.state = 'closed'
    process.nextTick(() => {
      // After this tick, in which what was just written leaves; and never while ssh2 parses: its native ciphers would
      // go on with freed memory.
      this.options.pipe.close()
      this.protocol.cleanup()
    })
  }

  private received(bytes: Uint8Array): void {
    if (this.state === 'closed') return
    this.answered = false
    if (this.state === 'ident' && this.greeting.length < GREETING_CAP) {
      this.greeting = Buffer.concat([this.greeting, bytes.subarray(0, GREETING_CAP - this.greeting.length)])
    }
    const { poolSize } = Buffer
    // What stays of the handshake are pieces of few bytes: each would keep 8 KiB of Node's pool for as long as the connection lives.
    if (this.state === 'ident' || this.state === 'exchange') Buffer.poolSize = 0
    try {
      this.protocol.parse(bytes, 0, bytes.length)
    } catch (error) {
      this.fail(this.protocolError(error as Error))
    } finally {
      Buffer.poolSize = poolSize
    }
    this.options.owner.heard()
  }

  private exchanged(negotiated: Negotiated): void {
    if (this.state === 'closed') return
    this.negotiated = negotiated
    if (this.state === 'secured') return this.options.owner.rekeyed()
    if (this.state === 'deciding') return
    try {
      const accepted = this.options.gate.decide(sessionId(this.protocol))
      this.state = 'deciding'
      if (accepted) this.confirmed()
      else this.options.owner.proven()
    } catch (error) {
      this.fail(error as RametError)
    }
  }

  private protocolError(cause: Error): RametError {
    const { name, gate } = this.options
    const text = cause.message
    const fail = (code: 'algorithm-mismatch' | 'protocol-error' | 'connect-failed', message: string, hint: string): RametError =>
      new RametError(code, `${name}: ${message}`, { stage: 'host-key', path: [name], cause, hint,
        outcome: this.state === 'secured' ? 'unknown' : 'not-sent' })
    if (/^Host denied/.test(text)) return gate.changed()
    const missing = /no matching (.*)$/i.exec(text)
    if (missing) {
      return fail('algorithm-mismatch', `the server offers no ${missing[1]} that ssh2 knows`,
        'Use transport openssh (--transport openssh), whose client knows newer and older algorithms.')
    }
    if (this.state === 'ident') return this.noServer(cause)
    return fail('protocol-error', `the SSH connection broke (${text})`, 'Try transport openssh, and report the server\'s version.')
  }

  private lossError(cause: Error | undefined): RametError {
    const { name } = this.options
    const said = this.said()
    if (isRametError(cause) && (this.state === 'ident' || this.state === 'exchange')) {
      return new RametError('connect-failed', `${name}: ${cause.message}`, {
        stage: this.state === 'ident' ? 'tcp' : 'host-key', path: [name], outcome: 'not-sent', cause, hint: cause.hint })
    }
    if (this.state === 'ident' && said !== '' && !BUSY.test(said)) return this.noServer(cause)
    if (this.state === 'ident') {
      return new RametError('connect-failed', `${name}: the server closed the connection before it said who it is${said}`, {
        stage: 'tcp', path: [name], outcome: 'not-sent', cause,
        hint: 'It may have too many logins under way (MaxStartups) or have banned this address for a while (PerSourcePenalties): '
          + 'connect to fewer targets behind one server at once, or wait.',
      })
    }
    if (this.state === 'exchange' || this.state === 'deciding') {
      const when = this.state === 'exchange' ? 'during the key exchange' : 'while the host key was being decided on'
      return new RametError('connect-failed', `${name}: the connection was lost ${when}`, {
        stage: 'host-key', path: [name], outcome: 'not-sent', cause, hint: 'Look into the server\'s log.',
      })
    }
    // From a jump host on the way, which says what became of it.
    const way = isRametError(cause) ? `: ${cause.message}` : ''
    return new RametError('link-lost', `${name}: the connection was lost${way}`, {
      path: [name], outcome: 'unknown', cause, hint: 'The network or the SSH server ended it; look into the server\'s log.',
    })
  }

  private noServer(cause: Error | undefined): RametError {
    const { name } = this.options
    return new RametError('connect-failed', `${name}: what answers there is no SSH server${this.said()}`, {
      stage: 'tcp', path: [name], outcome: 'not-sent', cause, hint: 'Check the port.' })
  }

  /** What came before any identification, harmless to show. */
  private said(): string {
    const text = this.greeting.toString('latin1').split('\n')[0]?.replace(/[^\x20-\x7e]/g, '').trim().slice(0, 120) ?? ''
    return text === '' ? '' : `; it said "${text}"`
  }
}
