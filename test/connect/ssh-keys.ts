import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Is this program of OpenSSH here? Tests that cross-check with it are skipped, by name, where it is not. */
export function hasProgram(name: string): boolean {
  return !(spawnSync(name, ['-V'], { stdio: 'ignore' }).error instanceof Error)
}

export function temporaryDirectory(): { path: string; file: (name: string) => string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'ramet-test-'))
  return { path, file: (name) => join(path, name), remove: () => rmSync(path, { recursive: true, force: true }) }
}

export type KeyKind = 'ed25519' | 'ecdsa' | 'rsa'

export interface TestKey {
  path: string
  blob: Uint8Array
  /** 'ssh-ed25519 AAAA…', without comment. */
  line: string
}

/** A key pair made by ssh-keygen: `path` and `path.pub`. */
export function makeKey(path: string, kind: KeyKind = 'ed25519', passphrase = '', comment = 'test key'): TestKey {
  const bits = kind === 'rsa' ? ['-b', '2048'] : []
  execFileSync('ssh-keygen', ['-q', '-t', kind, ...bits, '-N', passphrase, '-C', comment, '-f', path])
  return readPublicKey(path)
}

export function readPublicKey(path: string): TestKey {
  const [type, base64] = readFileSync(`${path}.pub`, 'utf8').split(' ') as [string, string]
  return { path, blob: Buffer.from(base64, 'base64'), line: `${type} ${base64}` }
}

/** The blob of an ed25519 key that nobody holds the other half of. */
export function fakeKey(): { blob: Uint8Array; line: string } {
  const name = Buffer.from('\0\0\0\x0bssh-ed25519\0\0\0\x20', 'latin1')
  const blob = Buffer.concat([name, randomBytes(32)])
  return { blob, line: `ssh-ed25519 ${blob.toString('base64')}` }
}
