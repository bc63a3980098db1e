import { deferred } from '../base/deferred.ts'
import { hostKeyPolicy } from '../connect/host-key-policy.ts'
import { KnownHosts } from '../connect/known-hosts.ts'
import type { LoginRules } from '../connect/login-rules.ts'
import type { KeyProblem, SshKey } from '../connect/ssh-key.ts'
import type { SshConfig } from '../connect/ssh-config.ts'
import { RametError } from '../router/errors.ts'
import type { ConnectOptions, HostKey, Prompt } from './api.ts'
import { heeded } from './heeded.ts'
import type { ReachContext } from './reach-context.ts'
import { reveal } from './secret.ts'

/** What a login needs of the place where it happens. */
export type LoginContext = Pick<ReachContext, 'path' | 'signal' | 'prompting' | 'unfinished' | 'book'>

/** Host key types that ssh2 knows, best first: asked for behind those that known_hosts has for a host. */
const HOST_KEY_TYPES = ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521', 'rsa-sha2-512', 'rsa-sha2-256']

/** What this machine knows for one login: all of it stays here, whether SSH starts here or on a hop. */
export interface SshLogin {
  host: string
  port: number
  user: string
  /** In the order in which they are tried. */
  keys: readonly SshKey[]
  /** Why keys that were named cannot be used, for the error when none logs in. */
  problems: readonly KeyProblem[]
  password: string | undefined
  prompt: Prompt | undefined
  /** What the configuration says of login methods. */
  rules: LoginRules
  /** ms for reaching the server, until the key exchange is done: ConnectTimeout, where the caller gave no time at all. 0: none of its own. */
  reachTime: number
  /** Decides on the host key by this machine's known_hosts, or by the caller's function. Only the literal true accepts. */
  verifyHostKey: (key: HostKey) => unknown
  hostKeyAlgorithms: readonly string[]
  kex: readonly string[] | undefined
  cipher: readonly string[] | undefined
  hmac: readonly string[] | undefined
  /** Ends the connection to the agent: no key signs any more. */
  close(): void
}

/** Reads known_hosts and keys for the host of a configuration. `throughHop`: another machine will show us its host key. */
export async function sshLogin(config: SshConfig, options: ConnectOptions, context: LoginContext, throughHop = false): Promise<SshLogin> {
  const { loginKeys } = await import('../connect/ssh2-client-side.ts')
  const batch = config.login.batch === true
  const prompt = batch ? undefined : promptFor(options, context)
  const given = options.identityFile === undefined ? undefined : [options.identityFile].flat()
  const [known, login] = await Promise.all([
    KnownHosts.load(knownHostsFiles(config, options)),
    // Without keys to offer nobody is asked for a passphrase, and no agent either.
    config.login.forbidden.publickey !== undefined ? { keys: [], problems: [], close: () => {} } : loginKeys({
      path: context.path,
      signal: context.signal,
      identityFiles: given ?? config.identityFiles,
      identityFilesGiven: given !== undefined || config.identityFilesGiven,
      certificateFiles: config.certificateFiles,
      // A file that the caller names is the one meant: other keys would only cost attempts, and servers count those.
      identitiesOnly: given !== undefined || config.identitiesOnly,
      identityAgent: config.identityAgent,
      pubkeyAcceptedAlgorithms: config.pubkeyAcceptedAlgorithms,
      passphrase: options.passphrase === undefined ? undefined : reveal(options.passphrase),
      batch,
      askPassphrase: prompt === undefined ? undefined : (file) => prompt({ kind: 'passphrase', path: [...context.path], text: `Passphrase for ${file}: ` }),
    }),
  ])
  for (const problem of login.problems) context.book.write('debug', { context: context.path.join(' > ') }, typeof problem === 'string' ? problem : problem.message)
  const { hostName: host, port, user, hostKeyAlias: alias } = config
  return {
    host,
    port,
    user,
    keys: login.keys,
    problems: login.problems,
    password: options.password === undefined ? undefined : reveal(options.password),
    prompt,
    rules: config.login,
    reachTime: heeded(config, options).reachTime,
    verifyHostKey: verifier(config, options, known, context, throughHop),
    hostKeyAlgorithms: config.hostKeyAlgorithms ?? [...new Set([...known.algorithms(host, port, { alias }), ...HOST_KEY_TYPES])],
    kex: config.kexAlgorithms,
    cipher: config.ciphers,
    hmac: config.macs,
    close: login.close,
  }
}

function verifier(config: SshConfig, options: ConnectOptions, known: KnownHosts, context: LoginContext, throughHop: boolean): (key: HostKey) => unknown {
  const { hostKeys } = options
  if (typeof hostKeys === 'function') return hostKeys
  // "no" would also accept a key that has changed; nobody needs that to reach a machine for the first time.
  const configured = config.strictHostKeyChecking === 'accept-new' || config.strictHostKeyChecking === 'no' ? 'accept' : 'enforce'
  return hostKeyPolicy({
    mode: hostKeys ?? configured,
    known,
    saveTo: [options.knownHosts ?? []].flat()[0] ?? config.userKnownHostsFiles[0],
    alias: config.hostKeyAlias,
    hash: config.hashKnownHosts,
    path: context.path,
    throughHop,
    saving: (work) => {
      const failed = (error: Error): void => context.book.write('warn', { context: context.path.join(' > ') }, `the host key could not be saved: ${error.message}`)
      context.unfinished(work.catch(failed))
    },
  })
}

function knownHostsFiles(config: SshConfig, options: ConnectOptions): string[] {
  if (options.knownHosts !== undefined) return [options.knownHosts].flat()
  return [...config.userKnownHostsFiles, ...config.globalKnownHostsFiles]
}

/** The caller's prompt; while it is up no time runs, and nobody waits for its answer once connecting was given up. */
export function promptFor(options: ConnectOptions, context: LoginContext): Prompt | undefined {
  const { prompt } = options
  if (prompt === undefined) return undefined
  const { path, signal, prompting } = context
  return async (request) => {
    const { promise: gaveUp, reject } = deferred<never>()
    const abort = (): void => reject(new RametError('cancelled', `${path.join(' > ')}: nobody waits for the answer any more`, {
      stage: 'auth', path, outcome: 'not-sent', cause: signal.reason, hint: 'Connecting was given up meanwhile.' }))
    signal.addEventListener('abort', abort, { once: true })
    prompting(true)
    try {
      return await Promise.race([prompt({ ...request, path: [...path] }), gaveUp])
    } finally {
      prompting(false)
      signal.removeEventListener('abort', abort)
    }
  }
}
