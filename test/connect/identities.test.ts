import { execFileSync, spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { SshAgent } from '../../src/connect/agent.ts'
import { identitiesFor, orderIdentities } from '../../src/connect/identities.ts'
import type { Identity, IdentityConfig } from '../../src/connect/identities.ts'
import { loadCertificates, loadIdentityFiles } from '../../src/connect/identity-files.ts'
import type { FileIdentity } from '../../src/connect/identity-files.ts'
import { fingerprint, plainKey } from '../../src/connect/key-blob.ts'
import { SshConfigResolver } from '../../src/connect/ssh-config.ts'
import { fakeKey, hasProgram, makeKey, readPublicKey, temporaryDirectory } from './ssh-keys.ts'
import type { TestKey } from './ssh-keys.ts'

const dir = temporaryDirectory()
afterAll(() => dir.remove())
const policy = { identitiesOnly: false }

function key(comment: string): { blob: Uint8Array; type: string; comment: string } {
  return { blob: fakeKey().blob, type: 'ssh-ed25519', comment }
}

function file(path: string, blob: Uint8Array | undefined, more: Partial<FileIdentity> = {}): FileIdentity {
  const type = blob === undefined ? undefined : 'ssh-ed25519'
  return { path, given: true, text: `private ${path}`, encrypted: false, publicBlob: blob, type, certificate: undefined, problem: undefined, ...more }
}

const names = (identities: readonly Identity[]): string[] => identities.map(({ comment, signer }) => `${comment} by ${signer.kind}`)

describe('the order of keys', () => {
  const [a, b, c] = [key('agent a'), key('agent b'), key('agent c')]

  test('keys that a file names and the agent holds come first, then the rest of the agent, then files', () => {
    const files = [file('only-file', fakeKey().blob), file('also-c', c.blob), file('also-a', a.blob), file('unreadable', undefined, { text: undefined })]
    const ordered = orderIdentities(policy, files, [], [a, b, c])
    // Those in both keep the agent's order.
    expect(names(ordered)).toEqual(['also-a by agent', 'also-c by agent', 'agent b by agent', 'only-file by file'])
    expect(ordered.map(({ given }) => given)).toEqual([true, true, false, true])
    expect(ordered[0]).toMatchObject({ publicBlob: a.blob, type: 'ssh-ed25519', signer: { kind: 'agent', blob: a.blob } })
    expect(ordered[3]).toMatchObject({ signer: { kind: 'file', path: 'only-file', text: 'private only-file', encrypted: false } })
  })

  test('IdentitiesOnly leaves out what no file names', () => {
    expect(names(orderIdentities({ identitiesOnly: true }, [file('also-b', b.blob), file('f', undefined)], [], [a, b]))).toEqual(['also-b by agent', 'f by file'])
  })

  test('a public key alone works through the agent, and is nothing without it', () => {
    const bare = file('id.pub', a.blob, { text: undefined })
    expect(names(orderIdentities({ identitiesOnly: true }, [bare], [], [a]))).toEqual(['id.pub by agent'])
    expect(orderIdentities(policy, [bare], [], [])).toEqual([])
  })

  test('a key whose public half is unknown is offered from its file', () => {
    expect(orderIdentities(policy, [file('old.pem', undefined, { encrypted: true })], [], [])).toMatchObject([
      { publicBlob: undefined, type: undefined, comment: 'old.pem', signer: { kind: 'file', encrypted: true } },
    ])
  })

  test('keys of a type that PubkeyAcceptedAlgorithms leaves out are not offered; RSA counts by its signatures', () => {
    const rsa = { blob: fakeKey().blob, type: 'ssh-rsa', comment: 'rsa' }
    expect(names(orderIdentities({ identitiesOnly: false, pubkeyAcceptedAlgorithms: ['rsa-sha2-512'] }, [], [], [a, rsa]))).toEqual(['rsa by agent'])
    expect(names(orderIdentities({ identitiesOnly: false, pubkeyAcceptedAlgorithms: ['ssh-ed25519'] }, [file('?', undefined)], [], [a, rsa]))).toEqual(['agent a by agent', '? by file'])
  })

  test('among keys that nobody named certificates come first, and named ones keep their places', () => {
    const certificate = { blob: fakeKey().blob, type: 'ssh-ed25519-cert-v01@openssh.com', comment: 'agent certificate' }
    expect(names(orderIdentities(policy, [file('named', b.blob)], [], [a, b, certificate]))).toEqual(['named by agent', 'agent certificate by agent', 'agent a by agent'])
  })
})

describe.skipIf(!hasProgram('ssh-keygen'))('key files', () => {
  let plain: TestKey
  let locked: TestKey
  beforeAll(() => {
    plain = makeKey(dir.file('plain'))
    locked = makeKey(dir.file('locked'), 'ed25519', 'secret words')
  })

  test('an encrypted key tells its public half without the passphrase, with and without .pub', async () => {
    rmSync(`${locked.path}.pub`)
    expect(await loadIdentityFiles([plain.path, locked.path], true, true)).toMatchObject([
      { path: plain.path, encrypted: false, type: 'ssh-ed25519', publicBlob: Buffer.from(plain.blob), text: readFileSync(plain.path, 'latin1'), problem: undefined },
      { path: locked.path, encrypted: true, type: 'ssh-ed25519', publicBlob: Buffer.from(locked.blob) },
    ])
  })

  test('an old PEM key has only its .pub to tell', async () => {
    const pem = makeKey(dir.file('pem'), 'rsa')
    execFileSync('ssh-keygen', ['-q', '-p', '-m', 'PEM', '-N', 'secret words', '-f', pem.path], { stdio: 'ignore' })
    expect(await loadIdentityFiles([pem.path], true, true)).toMatchObject([{ encrypted: true, type: 'ssh-rsa', publicBlob: Buffer.from(pem.blob) }])
    rmSync(`${pem.path}.pub`)
    expect(await loadIdentityFiles([pem.path], true, true)).toMatchObject([{ encrypted: true, type: undefined, publicBlob: undefined }])
    execFileSync('ssh-keygen', ['-q', '-p', '-m', 'PKCS8', '-P', 'secret words', '-N', 'other words', '-f', pem.path], { stdio: 'ignore' })
    expect(await loadIdentityFiles([pem.path], true, true)).toMatchObject([{ encrypted: true, publicBlob: undefined }])
    execFileSync('ssh-keygen', ['-q', '-p', '-m', 'PEM', '-P', 'other words', '-N', '', '-f', pem.path], { stdio: 'ignore' })
    expect(await loadIdentityFiles([pem.path], true, true)).toMatchObject([{ encrypted: false }])
  })

  test('PuTTY files tell theirs too', async () => {
    const base64 = Buffer.from(plain.blob).toString('base64')
    const ppk = (cipher: string): string => `PuTTY-User-Key-File-3: ssh-ed25519\r\nEncryption: ${cipher}\r\nComment: c\r\nPublic-Lines: 2\r\n${base64.slice(0, 40)}\r\n${base64.slice(40)}\r\nPrivate-Lines: 1\r\nAAAA\r\nPrivate-MAC: 00\r\n`
    for (const [cipher, encrypted] of [['none', false], ['aes256-cbc', true]] as const) {
      writeFileSync(dir.file('key.ppk'), ppk(cipher), { mode: 0o600 })
      expect(await loadIdentityFiles([dir.file('key.ppk')], true, true)).toMatchObject([{ encrypted, publicBlob: Buffer.from(plain.blob) }])
    }
  })

  test('a missing default is left out; a missing file that was named is kept with words', async () => {
    expect(await loadIdentityFiles([dir.file('id_rsa')], false, true)).toEqual([])
    const config: IdentityConfig = { identityFiles: [dir.file('id_rsa')], identityFilesGiven: true, certificateFiles: [], identitiesOnly: false, pubkeyAcceptedAlgorithms: undefined }
    expect(await identitiesFor(config, [])).toEqual({ identities: [], problems: [`${dir.file('id_rsa')}: there is no such file`] })
  })

  test('a .pub without its private key serves to find the agent\'s key, and so does naming the .pub itself', async () => {
    copyFileSync(`${plain.path}.pub`, dir.file('gone.pub'))
    expect(await loadIdentityFiles([dir.file('gone'), dir.file('gone.pub')], true, true)).toMatchObject([
      { path: dir.file('gone'), text: undefined, type: 'ssh-ed25519' }, { path: dir.file('gone.pub'), text: undefined, type: 'ssh-ed25519' },
    ])
  })

  test('a public key that was named and whose other half nobody holds is told with words', async () => {
    const config: IdentityConfig = { identityFiles: [`${plain.path}.pub`], identityFilesGiven: true, certificateFiles: [], identitiesOnly: true, pubkeyAcceptedAlgorithms: undefined }
    expect((await identitiesFor(config, [])).problems).toEqual([`${plain.path}.pub: only the public key is there, and no agent holds the private one`])
    expect((await identitiesFor(config, [{ blob: plain.blob, type: 'ssh-ed25519', comment: 'held' }])).problems).toEqual([])
  })

  test('a private key that others may read is not used, and it says why', async () => {
    copyFileSync(plain.path, dir.file('exposed'))
    chmodSync(dir.file('exposed'), 0o644)
    expect(await loadIdentityFiles([dir.file('exposed')], true, true)).toMatchObject([
      { text: undefined, publicBlob: Buffer.from(plain.blob), problem: expect.stringContaining('chmod go-rwx') as string },
    ])
  })

  test('folders, pipes, junk and files above 256 KiB are passed over with words', async () => {
    mkdirSync(dir.file('folder'))
    execFileSync('mkfifo', [dir.file('pipe')])
    writeFileSync(dir.file('junk'), Buffer.alloc(1000, 200), { mode: 0o600 })
    writeFileSync(dir.file('empty'), '', { mode: 0o600 })
    writeFileSync(dir.file('huge'), Buffer.alloc(300 * 1024, 'x'), { mode: 0o600 })
    writeFileSync(dir.file('cut'), readFileSync(plain.path, 'utf8').slice(0, 90).concat('\n-----END OPENSSH PRIVATE KEY-----\n'), { mode: 0o600 })
    const found = await loadIdentityFiles(['folder', 'pipe', 'junk', 'empty', 'huge', 'cut'].map((name) => dir.file(name)), true, true)
    expect(found.map(({ publicBlob }) => publicBlob)).toEqual(Array(6).fill(undefined))
    expect(found.map(({ problem }) => problem)).toEqual([
      'it is no regular file', 'it is no regular file', 'it holds no private key', 'it holds no private key', 'it is larger than 256 KiB', undefined,
    ])
  })

  test('a certificate beside the key is offered after the key, one named by CertificateFile first', async () => {
    const ca = makeKey(dir.file('ca'))
    for (const [name, kind] of [['with-cert', 'ed25519'], ['with-ecdsa', 'ecdsa'], ['with-rsa', 'rsa']] as const) {
      const own = makeKey(dir.file(name), kind)
      execFileSync('ssh-keygen', ['-q', '-s', ca.path, '-I', 'me', '-n', 'deploy', `${own.path}.pub`], { stdio: 'ignore' })
      const certificate = readPublicKey(`${own.path}-cert`)
      expect(Buffer.from(plainKey(certificate.blob) as Uint8Array).equals(own.blob), kind).toBe(true)
    }
    const [files, none] = await Promise.all([loadIdentityFiles([dir.file('with-cert')], true, true), loadIdentityFiles([dir.file('with-cert')], true, false)])
    expect(orderIdentities(policy, files, [], []).map(({ type }) => type)).toEqual(['ssh-ed25519', 'ssh-ed25519-cert-v01@openssh.com'])
    expect(none[0]?.certificate).toBeUndefined()
    const certificates = await loadCertificates([dir.file('missing'), `${plain.path}.pub`, dir.file('with-cert-cert.pub')])
    expect(certificates).toMatchObject([{ path: dir.file('with-cert-cert.pub'), type: 'ssh-ed25519-cert-v01@openssh.com' }])
    expect(orderIdentities(policy, none, certificates, [])).toMatchObject([
      { type: 'ssh-ed25519-cert-v01@openssh.com', signer: { kind: 'file', path: dir.file('with-cert') } }, { type: 'ssh-ed25519' },
    ])
    // Nobody can sign for it: not offered.
    expect(orderIdentities(policy, [], certificates, [])).toEqual([])
    // The agent holds the bare key only, and it signs for the certificate.
    const bare = { blob: none[0]?.publicBlob as Uint8Array, type: 'ssh-ed25519', comment: 'bare' }
    expect(orderIdentities({ identitiesOnly: true }, [], certificates, [bare])).toMatchObject([{ signer: { kind: 'agent', blob: bare.blob } }])
  })
})

const SSHD = '/usr/sbin/sshd'
describe.skipIf(!hasProgram('ssh') || !hasProgram('ssh-agent') || !existsSync(SSHD))('beside the real ssh, in front of a real sshd', () => {
  const real = temporaryDirectory()
  const socket = real.file('agent')
  let agent: ChildProcess
  const keys: TestKey[] = []

  beforeAll(async () => {
    agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' })
    for (let i = 0; i < 5; i++) keys.push(makeKey(real.file(`key${i}`), i === 3 ? 'ecdsa' : 'ed25519', i === 4 ? 'secret words' : '', `comment${i}`))
    makeKey(real.file('host'))
    writeFileSync(real.file('sshd_config'), `HostKey ${real.file('host')}\nUsePAM no\nStrictModes no\nPidFile none\n`)
    await vi.waitUntil(() => existsSync(socket), { interval: 5, timeout: 5000 })
    for (const i of [3, 0, 1]) execFileSync('ssh-add', ['-q', keys[i]?.path as string], { env: { ...process.env, SSH_AUTH_SOCK: socket }, stdio: 'ignore' })
    const ca = makeKey(real.file('ca'))
    execFileSync('ssh-keygen', ['-q', '-s', ca.path, '-I', 'me', '-n', 'x', `${keys[2]?.path}.pub`], { stdio: 'ignore' })
  })
  afterAll(async () => {
    const ended = new Promise((resolve) => agent.once('exit', resolve))
    agent.kill()
    await ended
    real.remove()
  })

  /** What ssh says it will try: 'path or comment', fingerprint, and whether the agent signs. */
  function attempts(config: string): string[] {
    const proxy = `ProxyCommand=${SSHD} -i -f ${real.file('sshd_config')}`
    const options = [proxy, 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'BatchMode=yes', 'LogLevel=DEBUG1'].flatMap((option) => ['-o', option])
    const { stderr } = spawnSync('ssh', ['-F', config, ...options, '--', 'nobody@host', 'true'], { encoding: 'utf8', timeout: 10_000 })
    return [...stderr.matchAll(/Will attempt key: (\S+) \S+ (SHA256:\S+)(.*)/g)].map(([, name, print, rest]) => `${name} ${print} ${rest?.includes('agent') ? 'agent' : 'file'}`)
  }

  test.each([
    ['agent and one file', (k: string[]) => `IdentityFile ${k[2]}`],
    ['IdentitiesOnly', (k: string[]) => `IdentityFile ${k[2]}\nIdentityFile ${k[1]}\nIdentitiesOnly yes`],
    ['files in both, in another order than the agent has', (k: string[]) => `IdentityFile ${k[1]}\nIdentityFile ${k[4]}\nIdentityFile ${k[3]}`],
    ['no agent', (k: string[]) => `IdentityAgent none\nIdentityFile ${k[4]}\nIdentityFile ${k[0]}`],
    ['a public key of the agent', (k: string[]) => `IdentityFile ${k[0]}.pub\nIdentitiesOnly yes`],
    ['a named certificate', (k: string[]) => `IdentityFile ${k[2]}\nCertificateFile ${k[2]}-cert.pub`],
    ['accepted algorithms', (k: string[]) => `IdentityFile ${k[0]}\nIdentityFile ${k[3]}\nPubkeyAcceptedAlgorithms ecdsa-sha2-nistp256`],
  ])('both try the same keys in the same order: %s', async (_, text) => {
    const path = real.file('config')
    writeFileSync(path, `${text(keys.map((each) => each.path))}\n${text([]).includes('IdentityAgent') ? '' : `IdentityAgent ${socket}\n`}`)
    const config = await new SshConfigResolver().resolve('host', { configFile: path })
    const client = config.identityAgent === undefined ? undefined : new SshAgent(config.identityAgent)
    const { identities } = await identitiesFor(config, (await client?.identities()) ?? [])
    client?.close()
    const mine = identities.map(({ comment, publicBlob, signer }) => `${comment} ${fingerprint(plainKey(publicBlob as Uint8Array) as Uint8Array)} ${signer.kind}`)
    const theirs = attempts(path)
    expect(theirs.length).toBeGreaterThan(0)
    expect(mine).toEqual(theirs)
  })
})
