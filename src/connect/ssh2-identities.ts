import { RametError, isRametError } from '../router/errors.ts'
import { agentSshKey, SshAgent } from './agent.ts'
import { type Identity, type IdentityConfig, identitiesFor } from './identities.ts'
import type { KeyProblem, SshKey } from './ssh-key.ts'
import { heldKey, isEncryptedKey, lockedKey, privateKey } from './ssh2-key.ts'

export interface LoginKeysOptions extends IdentityConfig {
  /** Socket of the agent, if there is one. */
  identityAgent: string | undefined
  passphrase: string | undefined
  /** Names of the contexts down to the target, for errors. */
  path: readonly string[]
  /** Asks for the passphrase of a key file; undefined where nobody can be asked. */
  askPassphrase: ((file: string) => Promise<string>) | undefined
  /** That nobody can be is the configuration's word (BatchMode). */
  batch?: boolean
  /** Aborted when nobody waits for the keys any more: an agent that does not answer is waited for no longer. */
  signal: AbortSignal
}

export interface LoginKeys {
  keys: SshKey[]
  /** Why keys that were named cannot be used, for the error when none logs in. */
  problems: KeyProblem[]
  /** Ends the connection to the agent. */
  close(): void
}

/** The keys to log in with, in OpenSSH's order, each with what it takes to sign. Never rejects. */
export async function loginKeys(options: LoginKeysOptions): Promise<LoginKeys> {
  const { signal } = options
  const agent = options.identityAgent === undefined ? undefined : new SshAgent(options.identityAgent)
  const abort = (): void => agent?.close()
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort, { once: true })
  let silent: RametError | undefined
  const agentKeys = agent === undefined ? [] : await agent.identities().catch((error: RametError) => {
    silent = error
    return []
  })
  const { identities, problems: ofFiles } = await identitiesFor(options, agentKeys)
  const problems: KeyProblem[] = silent === undefined ? ofFiles : [silent, ...ofFiles]
  const keys: SshKey[] = []
  for (const identity of identities) {
    try {
      const key = await usable(identity, agent, options)
      if (key !== undefined) keys.push(key)
    } catch (error) {
      problems.push(isRametError(error) ? error : (error as Error).message)
    }
  }
  const close = (): void => {
    signal.removeEventListener('abort', abort)
    agent?.close()
  }
  return { keys, problems, close }
}

async function usable(identity: Identity, agent: SshAgent | undefined, options: LoginKeysOptions): Promise<SshKey | undefined> {
  const { signer, publicBlob, type, comment } = identity
  if (signer.kind === 'agent') {
    return agent === undefined || publicBlob === undefined ? undefined : agentSshKey(agent, { blob: publicBlob, type: type ?? '', comment }, signer.blob)
  }
  const { text, path } = signer
  const open = { comment: path }
  const key = heldKey(text, open) ?? (isEncryptedKey(text) ? await locked(text, path, options) : privateKey(text, open))
  if (publicBlob === undefined || type === undefined || !type.endsWith('-cert-v01@openssh.com')) return key
  // The certificate is what is offered; the signature is the bare key's.
  return { ...key, publicBlob, type, sign: (data, algorithm) => key.sign(data, algorithm.replace(/-cert-v01@openssh\.com$/, '')) }
}

async function locked(text: string, path: string, { passphrase, askPassphrase, batch, path: target }: LoginKeysOptions): Promise<SshKey> {
  if (passphrase !== undefined) return privateKey(text, { comment: path, passphrase })
  const needed = (why: string, cause?: unknown): RametError => new RametError('prompt-needed', `${target.join(' > ')}: the key ${path} needs a passphrase, and ${why}`, {
    stage: 'auth',
    path: target,
    outcome: 'not-sent',
    cause,
    hint: 'Give passphrase or prompt, or add the key to an agent.',
  })
  const ask = async (): Promise<string> => {
    if (askPassphrase === undefined) throw needed(batch === true ? 'the SSH configuration lets nobody be asked (BatchMode yes)' : 'nobody can be asked')
    try {
      return await askPassphrase(path)
    } catch (error) {
      throw isRametError(error) ? error : needed('the prompt gave no answer', error)
    }
  }
  // Older formats hide the public part, too: there the passphrase is needed before the key can be offered.
  return lockedKey(text, path, ask) ?? privateKey(text, { comment: path, passphrase: await ask() })
}
