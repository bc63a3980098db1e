import { printable, printableLine } from '../base/printable.ts'
import type { HostProof, HopQuestion } from '../connect/hop.ts'
import { proofProblem } from '../connect/host-proof.ts'
import { fingerprint, sameBytes } from '../connect/key-blob.ts'
import type { SshKey } from '../connect/ssh-key.ts'
import { type LoginRules, NO_RULES } from '../connect/login-rules.ts'
import { offeredHostKey } from '../connect/ssh2-host-key.ts'
import { hostBoundRequest, loginData, publicKeyRequest } from '../connect/userauth.ts'
import { type ErrorCode, isRametError, RametError, type Stage } from '../router/errors.ts'
import type { HostKey, Prompt } from './api.ts'
import { readHopQuestion } from './hop-question.ts'

/** One connect in progress, as this machine knows it. */
export interface GuardedLogin {
  host: string
  port: number
  user: string
  /** In the order in which the hop was told of them. */
  keys: readonly SshKey[]
  password: string | undefined
  prompt: Prompt | undefined
  /** What the configuration says of login methods. Default: nothing. */
  rules?: LoginRules | undefined
  /** Only the literal true accepts. */
  verifyHostKey: (key: HostKey) => unknown
  /** How many sessions questions may be about. Default 2. */
  sessions?: number | undefined
}

export type GuardLog = (level: 'info' | 'warn', fields: Record<string, unknown>, text: string) => void

/**
 * Sessions of one connect that questions may be about, where it is not said. ssh2 on a hop makes a second connection after the first key exchange in one
 * case only: a server (dropbear) that ends the connection when a login sent in one flight is refused. A dial that is lost
 * earlier has proven nothing, and nothing was asked about it.
 */
const MAX_SESSIONS = 2
/** Answers to the server's own questions; a try may hold several, and there may be as many tries as NumberOfPasswordPrompts says. */
const MAX_ANSWERS = 16
const ANSWERS_PER_TRY = 4

/** A session whose server has proven a host key that was accepted. */
interface Session {
  proof: HostProof
  /** 'key algorithm' of the signatures given. */
  signed: Set<string>
}

/**
 * Answers what a hop asks while it connects to one host, and is the reason why a hostile hop gains nothing from asking: nothing
 * leaves that is not for this host, this user and a session that the host itself has signed. `path` names the target.
 */
export class SignGuard {
  state: 'open' | 'closed' = 'open'
  private readonly login: GuardedLogin
  private readonly rules: LoginRules
  private readonly path: readonly string[]
  private readonly log: GuardLog
  private readonly sessions: Session[] = []
  private password: string | undefined
  private passwords = 0
  private answers = 0

  constructor(login: GuardedLogin, path: readonly string[], log: GuardLog) {
    this.login = login
    this.rules = login.rules ?? NO_RULES
    this.path = path
    this.log = log
    this.password = login.password
  }

  /** Resolves with the answer; rejects with the RametError that the hop is to hear. Any input is borne. */
  async answer(message: unknown): Promise<unknown> {
    try {
      if (this.state === 'closed') throw this.notAllowed('asked when nothing was being connected')
      const question = readHopQuestion(message)
      if (question === undefined) throw this.notAllowed('asked something of an unknown form')
      const answer = await this.decide(question)
      // A person may have taken a while.
      if (this.state !== 'open') throw this.notAllowed('asked for something that nobody waits for any more')
      return answer
    } catch (error) {
      const refusal = isRametError(error) ? error : this.error('key-unreadable', 'auth', `the key cannot sign (${(error as Error).message})`, 'Try the key with ssh itself.', error)
      this.log('warn', { context: this.path.join(' > '), code: refusal.code }, `refused to a hop: ${refusal.message}`)
      throw refusal
    }
  }

  /** Connecting is over: nothing is signed any more. */
  close(): void {
    this.state = 'closed'
    this.password = undefined
  }

  private async decide(question: HopQuestion): Promise<unknown> {
    if (question.ask === 'become') throw this.notAllowed('asked for a password of sudo, which has no part in this')
    const session = this.session(question.proof)
    switch (question.ask) {
      case 'host':
        return true
      case 'sign':
        return this.sign(session, question)
      case 'password':
        return this.takePassword()
      case 'interactive':
        return this.interactive(question.text)
    }
  }

  /** The session that a proof is about; throws unless the host that is meant has signed it. */
  private session(proof: HostProof): Session {
    const known = this.sessions.find((session) => sameBytes(session.proof.sessionId, proof.sessionId))
    if (known !== undefined) {
      if (!sameBytes(known.proof.blob, proof.blob)) throw this.notAllowed('showed two host keys for one session')
      return known
    }
    const [first] = this.sessions
    if (first !== undefined && (this.sessions.length >= (this.login.sessions ?? MAX_SESSIONS) || first.signed.size === 0)) {
      throw this.notAllowed('asked for one more session than connecting once needs')
    }
    const problem = proofProblem(proof)
    if (problem !== undefined) {
      throw this.error('host-key-refused', 'host-key', `the hop gave no proof that the host owns its key: ${problem}`,
        'A hop that is no hop of ours might do that; if it is, report the SSH server\'s version.')
    }
    if (first === undefined) this.verify(proof)
    else if (!sameBytes(first.proof.blob, proof.blob)) {
      throw this.error('host-key-changed', 'host-key', `a second connection showed another host key, ${fingerprint(proof.blob)}`,
        'Two machines answered under one address: find out which is the right one.')
    }
    const session = { proof, signed: new Set<string>() }
    this.sessions.push(session)
    return session
  }

  private verify({ blob }: HostProof): void {
    const { host, port, verifyHostKey } = this.login
    const key = offeredHostKey(host, port, blob)
    const refused = (cause?: unknown): RametError => this.error('host-key-refused', 'host-key', `the host key ${key.type} ${key.fingerprint} was not accepted`,
      'Compare the fingerprint with the server\'s own (ssh-keygen -l) and add the key to known_hosts.', cause)
    let verdict: unknown
    try {
      verdict = verifyHostKey(key)
    } catch (error) {
      throw isRametError(error) ? error : refused(error)
    }
    // Not awaited: a function that is async by mistake must not let anybody in.
    if (verdict instanceof Promise) verdict.catch(() => {})
    if (verdict !== true) throw refused()
  }

  private async sign(session: Session, { key: index, algorithm, data }: Extract<HopQuestion, { ask: 'sign' }>): Promise<Uint8Array> {
    const { keys, user } = this.login
    const key = keys[index]
    if (key === undefined || !loginAlgorithms(key.type).includes(algorithm)) {
      throw this.notAllowed(`asked for a signature of type ${printableLine(algorithm, 64)} with key ${index}, which is none of its kind`)
    }
    const { blob, sessionId } = session.proof
    // Made anew and compared whole: what is signed is this one login, and holds nothing that the hop has chosen.
    const expected = [publicKeyRequest(user, algorithm, key.publicBlob, true), hostBoundRequest(user, algorithm, key.publicBlob, blob)]
      .map((request) => loginData(sessionId, request)).find((login) => sameBytes(login, data))
    if (expected === undefined) {
      throw this.notAllowed(`asked for a signature over something else than a login as ${user} with this key in this session`)
    }
    const once = `${index} ${algorithm}`
    if (session.signed.has(once)) throw this.notAllowed('asked for the same signature twice')
    session.signed.add(once)
    const signature = await key.sign(expected, algorithm)
    this.log('info', { context: this.path.join(' > '), user, key: fingerprint(key.publicBlob), algorithm, hostKey: fingerprint(blob) },
      `signed a login as ${user} for a hop, with ${key.comment}`)
    return signature
  }

  private async takePassword(): Promise<string> {
    const { password: given, rules: { forbidden, prompts } } = this
    if (forbidden.password !== undefined && (given === undefined || forbidden['keyboard-interactive'] !== undefined)) throw this.notAllowed('asked for a password, which the SSH configuration forbids')
    this.password = undefined
    if (given === undefined) return this.ask('password', `Password for ${this.login.user}@${this.login.host}: `, ++this.passwords <= prompts)
    this.gave('the password')
    return given
  }

  private interactive(text: string): Promise<string> {
    const { forbidden, prompts } = this.rules
    if (forbidden['keyboard-interactive'] !== undefined) throw this.notAllowed('asked a question of the server, which the SSH configuration forbids')
    return this.ask('interactive', text, prompts > 0 && ++this.answers <= Math.max(MAX_ANSWERS, ANSWERS_PER_TRY * prompts))
  }

  private async ask(kind: 'password' | 'interactive', text: string, patient: boolean): Promise<string> {
    const { prompt } = this.login
    if (prompt === undefined) throw this.error('prompt-needed', 'auth', 'the server asks for something, and nobody can be asked', 'Give a key, a password, or a prompt.')
    if (!patient) throw this.notAllowed('asked a person too often')
    let answer: unknown
    try {
      answer = await prompt({ kind, path: [...this.path], text: printable(text) })
    } catch (error) {
      throw isRametError(error) ? error : this.error('prompt-needed', 'auth', 'the prompt gave no answer', 'Answer the prompt, or give a key.', error)
    }
    if (typeof answer !== 'string') throw this.error('prompt-needed', 'auth', 'the prompt gave no text', 'A prompt resolves with a string.')
    this.gave(kind === 'password' ? 'a password' : 'an answer')
    return answer
  }

  private gave(what: string): void {
    const hostKey = this.sessions[0] === undefined ? undefined : fingerprint(this.sessions[0].proof.blob)
    this.log('info', { context: this.path.join(' > '), user: this.login.user, hostKey }, `gave ${what} to a hop that logs in as ${this.login.user}`)
  }

  private notAllowed(what: string): RametError {
    return this.error('not-allowed', 'auth', `the hop ${what}`, 'A stub of ours does not do that: find out who runs on the hop.')
  }

  private error(code: ErrorCode, stage: Stage, text: string, hint: string, cause?: unknown): RametError {
    return new RametError(code, `${this.path.join(' > ')}: ${text}`, { stage, path: this.path, outcome: 'not-sent', hint, cause })
  }
}

/** What a key signs logins with for a hop. SHA-1 is left out: there the hop could choose what collides. */
function loginAlgorithms(type: string): string[] {
  const rsa = /^ssh-rsa(-cert-v01@openssh\.com)?$/.exec(type)
  return rsa === null ? [type] : [`rsa-sha2-512${rsa[1] ?? ''}`, `rsa-sha2-256${rsa[1] ?? ''}`]
}
