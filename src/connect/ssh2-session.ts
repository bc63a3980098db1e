import { printableLine } from '../base/printable.ts'
import { RametError, type Stage, isRametError } from '../router/errors.ts'
import type { Pipe } from '../router/pipe.ts'
import { type AuthOptions, Authenticator } from './ssh2-auth.ts'
import type { SshChannel } from './ssh2-channel.ts'
import type { HostKeyGate } from './ssh2-host-key.ts'
import { type ProtocolHandlers, type SshAlgorithms, type SshProtocol, rekeying, sendIgnore } from './ssh2-protocol.ts'
import { SshTransport } from './ssh2-transport.ts'

export interface SessionOwner {
  stage(stage: Stage): void
  asking(): () => void
  authenticated(): void
  /**
   * The login no longer counts among those that the server has under way. That is later than its answer: OpenSSH counts one
   * until the process that serves it begins, and the first word of that process is the first that tells. May be called again.
   */
  served(): void
  /** The session is over; called once unless close() was. `ahead`: while logging in, after a login that was sent ahead of its answer. */
  lost(error: RametError, ahead: boolean): void
}

export interface SessionOptions {
  pipe: Pipe
  gate: HostKeyGate
  algorithms: SshAlgorithms
  auth: AuthOptions
  /** Whether login, channel and first bytes may leave in one flight. */
  flight: 'auto' | 'slow'
  /** The process that is to be started first, if one is wanted already. */
  first(): SshChannel | undefined
}

/**
 * How much a server takes on a channel before it has granted any window, and so whether it is known well enough for one
 * flight. OpenSSH grants 2 MiB with the exec request; less is sent, because the bytes pass through the process that
 * checks logins. dropbear has 24,576 bytes from the start and ends the connection at one byte more.
 */
export function knownServer(ident: string): { loan: number } | undefined {
  const openssh = /^OpenSSH_(\d+)\.(\d+)/.exec(ident)
  if (openssh) return Number(openssh[1]) * 100 + Number(openssh[2]) >= 702 ? { loan: 128 * 1024 } : undefined
  return /^dropbear_20(?:2\d|[3-9]\d)\./.test(ident) ? { loan: 24_576 } : undefined
}

/**
 * Whether a server closes a channel whose process has not been started yet when another's ends. dropbear does from 2022.82 to 2024.85
 * (its change 71521d1b of 2024, "Don't close channels when a PID hasn't started"); it may even start the process afterwards, and end
 * the connection when that prints.
 */
export function losesChannels(ident: string): boolean {
  const version = Number(/^dropbear_(20\d\d\.\d\d)/.exec(ident)?.[1])
  return version >= 2022.82 && version <= 2024.85
}

/** One SSH session over one pipe: key exchange, login, and the channels on it. */
export class SshSession {
  state: 'connecting' | 'login' | 'open' | 'closed' = 'connecting'
  readonly transport: SshTransport
  private readonly pipe: Pipe
  private readonly options: SessionOptions
  private readonly owner: SessionOwner
  private readonly auth: Authenticator
  private readonly channels = new Map<number, SshChannel>()
  private nextChannel = 0
  /** A process was sent ahead of the login's answer, which may have upset the server. */
  private wentAhead = false
  /** The server has said that it ends the connection. */
  private dismissed = false
  /** At least one process was asked for. */
  private processes = false
  /** It will be looked at once more in this turn of the event loop whether the server waits for a sign of us. */
  private looking = false

  constructor(options: SessionOptions, owner: SessionOwner) {
    this.options = options
    this.owner = owner
    this.pipe = options.pipe
    this.transport = new SshTransport({
      name: options.auth.name, pipe: options.pipe, gate: options.gate, algorithms: options.algorithms,
      handlers: this.handlers(),
      owner: {
        secured: () => this.secured(),
        proven: () => void this.confirm(),
        rekeyed: () => this.each((channel) => channel.pump()),
        drained: () => this.each((channel) => channel.wireDrained()),
        heard: () => this.heard(),
        lost: (error) => this.lost(error),
      },
    })
    this.auth = new Authenticator(options.auth, {
      protocol: () => this.protocol(),
      offered: () => this.transport.signatureAlgorithms,
      known: () => this.known() !== undefined,
      asking: () => owner.asking(),
      refusedAhead: () => {
        this.channels.clear()
        this.nextChannel = 0
        this.options.first()?.takeBack()
      },
      goAhead: () => this.launchAhead(),
      failed: (error) => this.transport.fail(error),
      authenticated: () => {
        this.state = 'open'
        this.each((channel) => channel.settle())
        this.owner.authenticated()
        // Whom nobody asked anything, and who is not known to speak first, says nothing.
        if (this.channels.size === 0 && !this.transport.ident.startsWith('OpenSSH_')) this.owner.served()
      },
    })
  }

  start(): void {
    this.transport.start()
  }

  /** Starts a process; only on an open session. */
  launch(channel: SshChannel): void {
    const id = this.nextChannel++
    this.processes ||= channel.process
    this.channels.set(id, channel)
    const known = this.known()
    // The first channel of a known server has a known number: nothing has to be waited for.
    if (id === 0 && known !== undefined && this.options.flight === 'auto') {
      channel.launchAhead(id, known.loan)
      channel.settle()
    } else channel.launch(id, known?.loan ?? 0)
  }

  /** The session has started this channel, or is about to. */
  has(channel: SshChannel): boolean {
    return this.channels.get(channel.id) === channel
  }

  readonly protocol = (): SshProtocol | undefined =>
    this.state !== 'closed' && this.transport.state === 'secured' ? this.transport.protocol : undefined

  wirePending(): number {
    return this.state === 'closed' ? 0 : this.pipe.pending
  }

  gone(channel: SshChannel): void {
    if (this.has(channel)) this.channels.delete(channel.id)
  }

  fail(error: RametError): void {
    this.transport.fail(error)
  }

  close(): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.transport.close()
    this.channels.clear()
  }

  private known(): { loan: number } | undefined {
    return knownServer(this.transport.ident)
  }

  private each(visit: (channel: SshChannel) => void): void {
    for (const channel of [...this.channels.values()]) visit(channel)
  }

  private inOneFlight(): boolean {
    return this.known() !== undefined && this.options.flight === 'auto'
  }

  /** Somebody else decides on the host key. Who signs for us elsewhere looks at it too, so one question may do for both. */
  private async confirm(): Promise<void> {
    try {
      if (this.inOneFlight()) await this.auth.signEarly(this.transport.protocol)
      if (this.state === 'connecting') await this.options.gate.confirm()
    } catch (error) {
      return this.transport.fail(error as RametError)
    }
    if (this.state === 'connecting') this.transport.confirmed()
  }

  private secured(): void {
    this.state = 'login'
    this.owner.stage('auth')
    this.transport.protocol.service('ssh-userauth')
    if (!this.inOneFlight()) return
    if (this.auth.attemptAhead()) this.launchAhead()
    else this.auth.start()
  }

  /** Starts the first process behind a login that has not been answered yet. */
  private launchAhead(): boolean {
    const known = this.known()
    const first = this.options.first()
    if (known === undefined || first === undefined || !this.inOneFlight()) return false
    this.wentAhead = true
    this.processes ||= first.process
    this.channels.set(this.nextChannel++, first)
    first.launchAhead(0, known.loan)
    return true
  }

  private spoken(): void {
    if (this.state === 'open') this.owner.served()
  }

  /** Makes the server's next small packet come at once; only with servers known to bear it. */
  private acknowledge(): void {
    const protocol = this.protocol()
    if (protocol !== undefined && this.known() !== undefined && !rekeying(protocol)) sendIgnore(protocol)
  }

  /**
   * OpenSSH's server turns Nagle's delay off with a connection's first process. On one that only leads on to other machines it
   * holds each small packet back until we have acknowledged the one before; whatever we write does that, and if it is nothing
   * in this turn of the event loop, then a packet without meaning.
   */
  private heard(): void {
    if (this.looking || this.processes || this.state !== 'open' || this.channels.size === 0 || !this.transport.ident.startsWith('OpenSSH_')) return
    this.looking = true
    setImmediate(() => {
      this.looking = false
      if (!this.transport.answered) this.acknowledge()
    })
  }

  private lost(error: RametError): void {
    if (this.state === 'closed') return
    const login = this.state === 'login'
    const ahead = login && this.wentAhead && this.dismissed
    this.state = 'closed'
    this.channels.clear()
    // A jump host that is lost is no fault of this server's.
    this.owner.lost(login && error.code === 'link-lost' && !isRametError(error.cause) ? this.loginLost(error) : error, ahead)
  }

  private loginLost(cause: RametError): RametError {
    const { name, user } = this.options.auth
    const tried = this.auth.describe()
    const details = `${tried ? `; tried ${tried}` : ''}${cause.cause instanceof Error ? ` (${cause.cause.message})` : ''}`
    if (!this.dismissed) {
      // What left with the login may have run, though the answers are lost; a server that takes its leave has let nobody in.
      return new RametError('connect-failed', `${name}: the connection was lost before the server had answered the login as ${user}${details}`, {
        stage: 'auth', path: [name], outcome: this.wentAhead ? 'unknown' : 'not-sent', cause,
        hint: "The network ended it, or the server; look into the server's log: an account that PAM shuts out may end so, too." })
    }
    return new RametError('auth-failed', `${name}: the server ended the connection while logging in as ${user}${details}`, {
      stage: 'auth', path: [name], outcome: 'not-sent', cause,
      hint: 'It may allow fewer attempts (MaxAuthTries): name the one key that is meant (IdentityFile with IdentitiesOnly).',
    })
  }

  private handlers(): ProtocolHandlers {
    const at = (id: number): SshChannel | undefined => this.channels.get(id)
    return {
      DISCONNECT: (_, reason, text) => this.disconnected(reason, text ?? ''),
      SERVICE_ACCEPT: () => {
        if (this.state !== 'login') return
        this.auth.start()
        this.acknowledge()
      },
      EXT_INFO: (_, extensions) => {
        // A later one may only add; the first list is what was promised before the login.
        this.transport.signatureAlgorithms ??= extensions.find((item) => item.name === 'server-sig-algs')?.algs
      },
      USERAUTH_SUCCESS: () => {
        if (this.state === 'login') this.auth.success()
      },
      USERAUTH_FAILURE: (_, methods, partial) => {
        this.dismissed = true
        this.auth.failure(methods, partial)
      },
      USERAUTH_PK_OK: () => this.auth.wanted(),
      USERAUTH_PASSWD_CHANGEREQ: (_, text) => this.auth.passwordExpired(text),
      USERAUTH_INFO_REQUEST: (_, name, text, prompts) => this.auth.questions(name, text, prompts),
      GLOBAL_REQUEST: (protocol, _, wantReply) => {
        if (this.state === 'connecting') return
        this.spoken()
        if (wantReply) protocol.requestFailure()
        else this.acknowledge()
      },
      CHANNEL_OPEN_CONFIRMATION: (_, info) => {
        this.spoken()
        at(info.recipient)?.opened(info.sender, info.window, info.packetSize)
      },
      CHANNEL_OPEN_FAILURE: (_, id, reason, text) => {
        this.spoken()
        at(id)?.refused(reason, text)
      },
      CHANNEL_DATA: (_, id, data) => at(id)?.received(data, false),
      CHANNEL_EXTENDED_DATA: (_, id, data) => at(id)?.received(data, true),
      CHANNEL_WINDOW_ADJUST: (_, id, bytes) => at(id)?.adjust(bytes),
      CHANNEL_SUCCESS: () => {},
      CHANNEL_FAILURE: (_, id) => at(id)?.execRefused(),
      CHANNEL_REQUEST: (_, id, type, wantReply, data) => at(id)?.request(type, wantReply, data),
      CHANNEL_EOF: (_, id) => at(id)?.endOfFile(),
      CHANNEL_CLOSE: (_, id) => at(id)?.finish(),
    }
  }

  private disconnected(reason: number, text: string): void {
    const { name } = this.options.auth
    const said = printableLine(text, 200)
    this.dismissed = true
    this.transport.fail(new RametError('link-lost', `${name}: the server ended the connection${said ? `: ${said}` : ` (reason ${reason})`}`, {
      path: [name], outcome: 'unknown', cause: new Error(said || `reason ${reason}`), hint: 'Look into the server\'s log.',
    }))
  }
}
