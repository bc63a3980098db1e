import { deferred } from '../base/deferred.ts'
import { hostKeyPolicy } from '../connect/host-key-policy.ts'
import { KnownHosts } from '../connect/known-hosts.ts'
import { resolveSshConfig, type SshConfig } from '../connect/ssh-config.ts'
import type { TargetAddress } from '../connect/target.ts'
import type { Connection } from '../connect/transport.ts'
import { RametError } from '../router/errors.ts'
import type { ConnectOptions, HostKey, PromptRequest } from './api.ts'
import type { ReachContext } from './reach-context.ts'
import { reveal } from './secret.ts'

type SshAddress = Extract<TargetAddress, { kind: 'ssh' }>

/** Host key types that ssh2 knows, best first: asked for behind those that known_hosts has for a host. */
const HOST_KEY_TYPES = ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521', 'rsa-sha2-512', 'rsa-sha2-256']

/** Connects to a target over SSH, as the user's OpenSSH configuration says where the options do not. */
export async function reachSsh(address: SshAddress, options: ConnectOptions, context: ReachContext): Promise<Connection> {
  const config = await resolveSshConfig(address.host, { user: address.user, port: address.port, configFile: options.sshConfig, signal: context.signal })
  const needs = config.proxyJump.length > 0 ? [...config.needsOpenSsh, 'proxyjump'] : config.needsOpenSsh
  const transport = options.transport ?? (needs.length > 0 ? 'openssh' : 'ssh2')
  if (transport === 'ssh2' && needs.length > 0) {
    throw new RametError('config-invalid', `${context.name}: the SSH configuration asks for ${needs.join(', ')}, which transport ssh2 cannot do`, {
      stage: 'resolve',
      path: context.path,
      outcome: 'not-sent',
      hint: 'Leave the transport to be chosen, or take openssh.',
    })
  }
  return transport === 'openssh' ? openssh(address, options, context) : ssh2(config, options, context)
}

async function openssh(address: SshAddress, options: ConnectOptions, context: ReachContext): Promise<Connection> {
  const { hostKeys, sshConfig, identityFile, knownHosts } = options
  if (typeof hostKeys === 'function') {
    throw new RametError('config-invalid', `${context.name}: a function cannot decide on host keys over transport openssh`, {
      stage: 'host-key',
      path: context.path,
      outcome: 'not-sent',
      hint: "Use hostKeys: 'enforce', 'accept' or 'ignore', or transport ssh2.",
    })
  }
  const { connectOpenssh } = await import('../connect/openssh.ts')
  const { clock, signal, name } = context
  const commands = options.runtime === 'raw'
  return connectOpenssh({ commands, host: address.host, port: address.port, user: address.user, name, configFile: sshConfig, identityFile, knownHosts, hostKeys, timeout: 0, signal, clock })
}

async function ssh2(config: SshConfig, options: ConnectOptions, context: ReachContext): Promise<Connection> {
  const [{ connectSsh2 }, { loginKeys }] = await Promise.all([import('../connect/ssh2.ts'), import('../connect/ssh2-identities.ts')])
  const prompt = promptFor(options, context)
  const given = options.identityFile === undefined ? undefined : [options.identityFile].flat()
  const [known, login] = await Promise.all([
    KnownHosts.load(knownHostsFiles(config, options)),
    loginKeys({
      path: context.path,
      identityFiles: given ?? config.identityFiles,
      identityFilesGiven: given !== undefined || config.identityFilesGiven,
      certificateFiles: config.certificateFiles,
      // A file that the caller names is the one meant: other keys would only cost attempts, and servers count those.
      identitiesOnly: given !== undefined || config.identitiesOnly,
      identityAgent: config.identityAgent,
      pubkeyAcceptedAlgorithms: config.pubkeyAcceptedAlgorithms,
      passphrase: options.passphrase === undefined ? undefined : reveal(options.passphrase),
      askPassphrase: prompt === undefined ? undefined : (file) => prompt({ kind: 'passphrase', path: [...context.path], text: `Passphrase for ${file}: ` }),
    }),
  ])
  for (const problem of login.problems) context.book.write('debug', { context: context.path.join(' > ') }, problem)
  const { hostName: host, port, user, hostKeyAlias: alias } = config
  const connection = connectSsh2({
    host,
    port,
    user,
    name: context.name,
    keys: config.pubkeyAuthentication ? login.keys : [],
    password: options.password === undefined ? undefined : reveal(options.password),
    prompt,
    keyProblems: login.problems,
    verifyHostKey: verifier(config, options, known, context),
    hostKeyAlgorithms: config.hostKeyAlgorithms ?? [...new Set([...known.algorithms(host, port, { alias }), ...HOST_KEY_TYPES])],
    algorithms: { kex: config.kexAlgorithms, cipher: config.ciphers, hmac: config.macs },
    // The context's own timer is the one that counts.
    timeout: 0,
    prompting: context.prompting,
    signal: context.signal,
    clock: context.clock,
  })
  connection.ready.then(login.close, login.close)
  return connection
}

function verifier(config: SshConfig, options: ConnectOptions, known: KnownHosts, context: ReachContext): (key: HostKey) => unknown {
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
function promptFor(options: ConnectOptions, context: ReachContext): ((request: PromptRequest) => Promise<string>) | undefined {
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
