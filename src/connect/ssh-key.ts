import type { RametError } from '../router/errors.ts'

/**
 * A key that can log in: from a file, an agent, or a hop that asks the controller for signatures. Private parts never
 * show through it.
 */
export interface SshKey {
  /** The public key (or certificate) as SSH sends it. */
  readonly publicBlob: Uint8Array
  /** Type of the blob: 'ssh-ed25519', 'ssh-rsa', 'ecdsa-sha2-nistp256', 'sk-ssh-ed25519@openssh.com', '…-cert-v01@openssh.com'. */
  readonly type: string
  /** For messages: the file's path or the agent's comment. */
  readonly comment: string
  /**
   * Signs with the given algorithm (for RSA 'rsa-sha2-512', 'rsa-sha2-256' or 'ssh-rsa'; else the key's own type). Returns
   * SSH's signature blob: string algorithm, string signature, and whatever that kind of key adds (as agents return it).
   */
  sign(data: Uint8Array, algorithm: string): Uint8Array | Promise<Uint8Array>
  /**
   * True when signing asks nobody anything (no passphrase, no touch, no confirmation) and the key is meant for this
   * target: then it is used at once. False: the server is asked first whether it would accept the key.
   */
  readonly local: boolean
}

/** Why a key cannot be used; an error where that says what its owner can do. */
export type KeyProblem = string | RametError

/** The algorithms to try with a key, best first. `offered`: what the server said it accepts, if it said anything. */
export function signatureAlgorithms(type: string, offered: readonly string[] | undefined): string[] {
  const plain = type.replace(/-cert-v01@openssh\.com$/, '')
  if (plain !== 'ssh-rsa') return offered === undefined || plain !== type || offered.includes(type) ? [type] : []
  const suffix = plain === type ? '' : '-cert-v01@openssh.com'
  // A server that says nothing predates the SHA-2 names (OpenSSH 7.1 and older) or hides what it can.
  const names = offered === undefined
    ? ['rsa-sha2-256', 'ssh-rsa']
    : ['rsa-sha2-512', 'rsa-sha2-256', 'ssh-rsa'].filter((name) => offered.includes(name)).slice(0, 1)
  return names.map((name) => (suffix && name === 'ssh-rsa' ? type : name + suffix))
}
