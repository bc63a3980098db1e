import { RametError } from '../router/errors.ts'
import { appendKnownHost, type KnownHosts, type Verdict } from './known-hosts.ts'
import type { OfferedHostKey } from './ssh2-host-key.ts'

export interface HostKeyPolicy {
  mode: 'enforce' | 'accept' | 'ignore'
  known: KnownHosts
  /** Where 'accept' saves a key seen for the first time. */
  saveTo: string | undefined
  alias: string | undefined
  hash: boolean
  /** Path of the context, for errors. */
  path: readonly string[]
  /**
   * The key is shown by a machine on the way, which may show whose it likes: one that is on file for another host is refused
   * then, so that 'accept' and 'ignore' do not open the hosts that are known. Default false.
   */
  throughHop?: boolean
  /** A first key was accepted and is being saved; rejects when it could not be. */
  saving(work: Promise<unknown>): void
}

/**
 * Decides on a host key by known_hosts. Returns true or throws RametError 'host-key-unknown', 'host-key-changed' or
 * 'host-key-revoked', which name the file, the line and both fingerprints.
 */
export function hostKeyPolicy(policy: HostKeyPolicy): (key: OfferedHostKey) => boolean {
  const { mode, known, saveTo, alias, hash, path, throughHop, saving } = policy
  return (key) => {
    const verdict = known.check(key.host, key.port, key.blob, { alias })
    // A revoked key is one that somebody else may hold: no mode accepts it.
    if (verdict.status === 'revoked') throw revoked(verdict, path)
    if (verdict.status === 'known') return true
    const holder = throughHop === true && mode !== 'enforce' ? known.holder(key.blob) : undefined
    if (holder !== undefined) throw anothers(verdict, holder, path)
    if (mode === 'ignore') return true
    if (verdict.status === 'changed') throw changed(verdict, path)
    if (mode !== 'accept') throw unknown(verdict, path, saveTo)
    if (saveTo !== undefined) saving(appendKnownHost(saveTo, key.host, key.port, key.blob, { alias, hash }))
    return true
  }
}

function changed(verdict: Verdict, path: readonly string[]): RametError {
  const { name, file, line, knownType, knownFingerprint, offeredType, offeredFingerprint } = verdict
  return new RametError(
    'host-key-changed',
    `the host key of ${name} is not the one on file: ${file}:${line} has ${knownType} ${knownFingerprint}, the server showed ${offeredType} ${offeredFingerprint}`,
    {
      stage: 'host-key',
      path,
      outcome: 'not-sent',
      hint: `If the machine was installed anew, check the new fingerprint with its owner and remove line ${line} of ${file}; if not, somebody may stand between.`,
    },
  )
}

function anothers({ name, offeredType, offeredFingerprint }: Verdict, { file, line }: { file: string; line: number }, path: readonly string[]): RametError {
  return new RametError('host-key-refused', `the host key shown for ${name}, ${offeredType} ${offeredFingerprint}, is on file for another host in ${file}:${line}`, {
    stage: 'host-key',
    path,
    outcome: 'not-sent',
    hint: `A hop that passes another machine off as ${name} would look like this. If both are the same machine, add ${name} to line ${line} of ${file}.`,
  })
}

function revoked(verdict: Verdict, path: readonly string[]): RametError {
  const { name, file, line, offeredType, offeredFingerprint } = verdict
  return new RametError('host-key-revoked', `the host key ${offeredType} ${offeredFingerprint} of ${name} is revoked by ${file}:${line}`, {
    stage: 'host-key',
    path,
    outcome: 'not-sent',
    hint: 'This key must not be trusted any more: ask the owner of the machine.',
  })
}

function unknown(verdict: Verdict, path: readonly string[], saveTo: string | undefined): RametError {
  const { name, offeredType, offeredFingerprint, certAuthority } = verdict
  const authority = certAuthority === undefined ? '' : ` (a @cert-authority line stands in ${certAuthority.file}:${certAuthority.line}: only transport openssh can use it)`
  return new RametError('host-key-unknown', `the host key of ${name} is in no known_hosts file: ${offeredType} ${offeredFingerprint}${authority}`, {
    stage: 'host-key',
    path,
    outcome: 'not-sent',
    hint: `Compare the fingerprint with the machine's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then add it: --host-keys accept saves it${saveTo === undefined ? '' : ` in ${saveTo}`}.`,
  })
}
