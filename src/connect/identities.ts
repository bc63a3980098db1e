import type { AgentKey } from './agent.ts'
import { isCertificate, plainKey, sameBytes } from './key-blob.ts'
import { loadCertificates, loadIdentityFiles } from './identity-files.ts'
import type { FileCertificate, FileIdentity } from './identity-files.ts'
import type { SshConfig } from './ssh-config-types.ts'

/** One key to offer, and who can sign with it. */
export interface Identity {
  /** What is offered: a public key or a certificate. Undefined: only the private key, once decrypted, will tell. */
  readonly publicBlob: Uint8Array | undefined
  readonly type: string | undefined
  /** The file's path, or the agent's comment. */
  readonly comment: string
  readonly signer:
    /** The agent holds `blob` (for a certificate this may be the bare key). */
    | { readonly kind: 'agent'; readonly blob: Uint8Array }
    /** `text` is the private key file, not decrypted. */
    | { readonly kind: 'file'; readonly path: string; readonly text: string; readonly encrypted: boolean }
  /** The user named it for this host (IdentityFile, CertificateFile); others are only tried on the chance. */
  readonly given: boolean
}

export interface IdentityPolicy {
  identitiesOnly: boolean
  pubkeyAcceptedAlgorithms?: readonly string[] | undefined
}

/**
 * What to try in which order, as OpenSSH does: certificates named by CertificateFile; keys of the agent that IdentityFile names
 * (in the agent's order); other keys of the agent, unless IdentitiesOnly; then keys that only files hold, in the configured
 * order. Among keys that nobody named certificates come first. What nobody can sign with is left out.
 */
export function orderIdentities(
  policy: IdentityPolicy, files: readonly FileIdentity[], certificates: readonly FileCertificate[], agentKeys: readonly AgentKey[],
): Identity[] {
  const listed: Identity[] = []
  for (const certificate of certificates) {
    const signer = signerOf(certificate.blob, files, agentKeys)
    if (signer === undefined) continue
    listed.push({ publicBlob: certificate.blob, type: certificate.type, comment: certificate.path, signer, given: true })
  }

  const rest = files.flatMap((file) => offersOf(file))
  const named: Identity[] = []
  const others: Identity[] = []
  for (const key of agentKeys) {
    const signer = { kind: 'agent', blob: key.blob } as const
    const index = rest.findIndex(({ blob }) => blob !== undefined && sameBytes(blob, key.blob))
    const match = rest[index]
    if (match !== undefined) {
      rest.splice(index, 1)
      named.push({ publicBlob: key.blob, type: key.type, comment: match.file.path, signer, given: match.file.given })
    } else if (!policy.identitiesOnly) {
      others.push({ publicBlob: key.blob, type: key.type, comment: key.comment, signer, given: false })
    }
  }

  const fromFiles: Identity[] = []
  for (const { file, blob, type } of rest) {
    const certified = blob !== undefined && type !== undefined && isCertificate(type)
    const signer = certified ? signerOf(blob, [file], agentKeys) : ownSigner(file)
    if (signer !== undefined) fromFiles.push({ publicBlob: blob, type, comment: file.path, signer, given: file.given })
  }
  return [...listed, ...certificatesFirst([...named, ...others]), ...certificatesFirst(fromFiles)]
    .filter(({ type }) => type === undefined || isAccepted(type, policy.pubkeyAcceptedAlgorithms))
}

export type IdentityConfig =
  Pick<SshConfig, 'identityFiles' | 'identityFilesGiven' | 'certificateFiles' | 'identitiesOnly' | 'pubkeyAcceptedAlgorithms'>

/**
 * Reads what a configuration names and orders it together with the agent's keys. Never rejects. `problems` are for the error
 * when nothing has logged in: '/home/me/.ssh/id_x: others may read it (chmod go-rwx)'.
 */
export async function identitiesFor(
  config: IdentityConfig, agentKeys: readonly AgentKey[],
): Promise<{ identities: Identity[]; problems: string[] }> {
  const [files, certificates] = await Promise.all([
    loadIdentityFiles(config.identityFiles, config.identityFilesGiven, config.certificateFiles.length === 0),
    loadCertificates(config.certificateFiles),
  ])
  const identities = orderIdentities(config, files, certificates, agentKeys)
  const problems = files.flatMap(({ path, given, text, problem }) => {
    if (problem !== undefined) return [`${path}: ${problem}`]
    if (!given || text !== undefined || identities.some(({ comment }) => comment === path)) return []
    return [`${path}: only the public key is there, and no agent holds the private one`]
  })
  return { identities, problems }
}

interface Offer {
  file: FileIdentity
  blob: Uint8Array | undefined
  type: string | undefined
}

/** A file is offered as its key, and once more as the certificate that lies beside it. */
function offersOf(file: FileIdentity): Offer[] {
  const offers: Offer[] = [{ file, blob: file.publicBlob, type: file.type }]
  if (file.certificate !== undefined) offers.push({ file, blob: file.certificate.blob, type: file.certificate.type })
  return offers
}

function ownSigner(file: FileIdentity): Identity['signer'] | undefined {
  return file.text === undefined ? undefined : { kind: 'file', path: file.path, text: file.text, encrypted: file.encrypted }
}

function signerOf(
  certificate: Uint8Array, files: readonly FileIdentity[], agentKeys: readonly AgentKey[],
): Identity['signer'] | undefined {
  const plain = plainKey(certificate)
  if (plain === undefined) return undefined
  const held = agentKeys.find(({ blob }) => sameBytes(blob, plain) || sameBytes(blob, certificate))
  if (held !== undefined) return { kind: 'agent', blob: held.blob }
  const file = files.find(({ publicBlob, text }) => text !== undefined && publicBlob !== undefined && sameBytes(publicBlob, plain))
  return file === undefined ? undefined : ownSigner(file)
}

/** Keys that the user named keep their places; the others are sorted into the places that are left. */
function certificatesFirst(identities: Identity[]): Identity[] {
  const loose = identities.filter(({ given }) => !given)
  const sorted = [...loose.filter((each) => isCertificate(each.type ?? '')), ...loose.filter((each) => !isCertificate(each.type ?? ''))]
  return identities.map((each) => (each.given ? each : (sorted.shift() as Identity)))
}

function isAccepted(type: string, accepted: readonly string[] | undefined): boolean {
  if (accepted === undefined) return true
  const suffix = /-cert-v01@openssh\.com$/.exec(type)?.[0] ?? ''
  const names = type.startsWith('ssh-rsa') ? [type, `rsa-sha2-256${suffix}`, `rsa-sha2-512${suffix}`] : [type]
  return names.some((name) => accepted.includes(name))
}
