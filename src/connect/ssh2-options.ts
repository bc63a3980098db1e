import type { Clock } from '../base/clock.ts'
import type { Stage } from '../router/errors.ts'
import type { Pipe } from '../router/pipe.ts'
import type { LoginRules } from './login-rules.ts'
import type { Turn } from './pace.ts'
import type { KeyProblem, SshKey } from './ssh-key.ts'
import type { HostAuthority, HostKeyVerifier } from './ssh2-host-key.ts'
import type { SshAlgorithms } from './ssh2-protocol.ts'
import type { Prompt } from './ssh2-secrets.ts'
import type { EarlyPipe } from './tcp.ts'

export interface Ssh2Options {
  host: string
  port: number
  user: string
  /** How messages and logs name the target. Default user@host:port. */
  name?: string
  /** In the order in which they are tried. */
  keys?: readonly SshKey[]
  /** A function is called only when the server wants a password. */
  password?: string | (() => Promise<string>) | undefined
  prompt?: Prompt | undefined
  /** Which methods may log in. Default: all that ssh2 knows. */
  rules?: LoginRules | undefined
  /** Why keys that were meant cannot be used, for the error when nothing logs in. */
  keyProblems?: readonly KeyProblem[] | undefined
  /** Asked once per connection, when the server has proven the key; only the literal true accepts. */
  verifyHostKey?: HostKeyVerifier | undefined
  /** Decides in place of a verifier, and may take its time: on a hop the controller does. */
  hostAuthority?: HostAuthority | undefined
  /** Host key types to ask for, best first: those that known_hosts has. Default: all that ssh2 knows. */
  hostKeyAlgorithms?: readonly string[] | undefined
  /** Lists to offer instead of the defaults; for benchmarks and odd servers. */
  algorithms?: Omit<SshAlgorithms, 'serverHostKey'> | undefined
  /** Makes the pipe to the server's SSH port; default TCP. Called again when a connection is retried. */
  dial?: ((signal: AbortSignal) => Promise<Pipe>) | undefined
  /** The pipe for the first try, where its making has begun already. */
  first?: EarlyPipe | undefined
  /** Its place among the logins to the same server; it dials when its turn has come. */
  turn?: Turn | undefined
  /** What `dial` waits for, for messages. */
  waits?: (() => string) | undefined
  /** Milliseconds until the login must have succeeded, time spent at prompts not counted. Default 30,000; 0: none. */
  timeout?: number | undefined
  /** Milliseconds of a try to reach the server, until the key exchange is done (ConnectTimeout). Default 0: none of its own. */
  reachTime?: number | undefined
  /** What has to be there before `dial` can succeed; the time to reach the server begins then. */
  behind?: Promise<void> | undefined
  signal?: AbortSignal | undefined
  clock?: Clock | undefined
  /** Hears when a person is asked for something (a passphrase, a touch, an answer), and when that is over. */
  prompting?: ((now: boolean) => void) | undefined
  /** Hears how far it has come. */
  onStage?: ((stage: Stage) => void) | undefined
  /** 'slow' waits for each reply; default 'auto': one flight where it is safe. */
  flight?: 'auto' | 'slow' | undefined
  /** 0 ≤ x < 1; spreads retries. */
  random?: (() => number) | undefined
}
