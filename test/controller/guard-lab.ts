import { randomBytes } from 'node:crypto'
import type { HopQuestion, HostProof } from '../../src/connect/hop.ts'
import type { SshKey } from '../../src/connect/ssh-key.ts'
import { privateKey } from '../../src/connect/ssh2-key.ts'
import { loginData, publicKeyRequest } from '../../src/connect/userauth.ts'
import type { PromptRequest } from '../../src/controller/api.ts'
import { type GuardedLogin, SignGuard } from '../../src/controller/sign-guard.ts'
import { RametError } from '../../src/router/errors.ts'
import { TestHostKey } from '../helpers/host-key.ts'
import { newKey } from '../helpers/new-key.ts'

export const PATH = ['bastion', 'web1']

/** A key of ours that counts what it signs. */
export function countingKey(key: SshKey = privateKey(newKey(), { comment: '/home/me/.ssh/id' })): SshKey & { signed: Buffer[] } {
  const signed: Buffer[] = []
  return { ...key, signed, sign: (data, algorithm) => {
    signed.push(Buffer.from(data))
    return key.sign(data, algorithm)
  } }
}

/** The controller's side of one connect to web1, with what it logged, asked and signed. */
export function guardLab(change: Partial<GuardedLogin> = {}) {
  const host = new TestHostKey('ssh-ed25519')
  const key = countingKey()
  const logs: { level: string; fields: Record<string, unknown>; text: string }[] = []
  const prompts: PromptRequest[] = []
  const shown: string[] = []
  const guard = new SignGuard({
    host: 'web1', port: 22, user: 'deploy', keys: [key], password: undefined, prompt: undefined,
    verifyHostKey: ({ host: name, blob, fingerprint }) => {
      shown.push(`${name} ${fingerprint}`)
      return host.blob.equals(blob) || refuseUnknown()
    },
    ...change,
  }, PATH, (level, fields, text) => logs.push({ level, fields, text }))
  return { host, key, guard, logs, prompts, shown }
}

function refuseUnknown(): never {
  throw new RametError('host-key-changed', 'web1 has another key', { stage: 'host-key', path: PATH, outcome: 'not-sent', hint: 'ask' })
}

export const newSession = (): Buffer => randomBytes(32)

/** What an honest hop asks in order to log in. */
export function signQuestion(proof: HostProof, key: SshKey, change: { user?: string; algorithm?: string; index?: number; sessionId?: Uint8Array } = {}): Extract<HopQuestion, { ask: 'sign' }> {
  const algorithm = change.algorithm ?? (key.type === 'ssh-rsa' ? 'rsa-sha2-256' : key.type)
  const data = loginData(change.sessionId ?? proof.sessionId, publicKeyRequest(change.user ?? 'deploy', algorithm, key.publicBlob, true))
  return { ask: 'sign', proof, key: change.index ?? 0, algorithm, data }
}

export async function refusal(answer: Promise<unknown>): Promise<RametError> {
  const error: unknown = await answer.then(() => new Error('it was answered'), (reason: unknown) => reason)
  if (!(error instanceof RametError)) throw new Error(`expected a RametError, got ${String(error)}`)
  return error
}
