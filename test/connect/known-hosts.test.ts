import { execFileSync, spawnSync } from 'node:child_process'
import { createHmac, randomBytes } from 'node:crypto'
import { appendFileSync, mkdirSync, readFileSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fingerprint } from '../../src/connect/key-blob.ts'
import { HashedNames } from '../../src/connect/known-hosts-hash.ts'
import { KnownHosts, appendKnownHost, lookupName } from '../../src/connect/known-hosts.ts'
import { fakeKey, hasProgram, makeKey, temporaryDirectory } from './ssh-keys.ts'

const dir = temporaryDirectory()
afterAll(() => dir.remove())
const a = fakeKey()
const b = fakeKey()

let counter = 0
function file(...lines: string[]): string {
  const path = dir.file(`known_hosts_${counter++}`)
  writeFileSync(path, lines.map((line) => `${line}\n`).join(''))
  return path
}

async function load(...lines: string[]): Promise<{ path: string; hosts: KnownHosts }> {
  const path = file(...lines)
  return { path, hosts: await KnownHosts.load([path]) }
}

function hashed(name: string): string {
  const salt = randomBytes(20)
  return `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(name).digest('base64')}`
}

describe('a host key against known_hosts', () => {
  test('is known when a line holds it, and the verdict names file, line, type and fingerprints', async () => {
    const { path, hosts } = await load('# comment', '', `web1,10.0.0.1 ${a.line} a comment`)
    expect(hosts.check('web1', 22, a.blob)).toEqual({
      status: 'known', name: 'web1', offeredType: 'ssh-ed25519', offeredFingerprint: fingerprint(a.blob),
      file: path, line: 3, knownType: 'ssh-ed25519', knownFingerprint: fingerprint(a.blob),
    })
    expect(hosts.check('10.0.0.1', 22, a.blob).status).toBe('known')
    expect(hosts.check('WEB1', 22, a.blob).status).toBe('known')
    expect(hosts.check('web10', 22, a.blob)).toMatchObject({ status: 'unknown', name: 'web10' })
  })

  test('is changed when the lines of the host hold another key; both fingerprints and the line are told', async () => {
    const { path, hosts } = await load(`other ${b.line}`, `web1 ${a.line}`)
    expect(hosts.check('web1', 22, b.blob)).toEqual({
      status: 'changed', name: 'web1', offeredType: 'ssh-ed25519', offeredFingerprint: fingerprint(b.blob),
      file: path, line: 2, knownType: 'ssh-ed25519', knownFingerprint: fingerprint(a.blob),
    })
  })

  test('several keys of one host are all good', async () => {
    const { hosts } = await load(`web1 ${a.line}`, `web1 ${b.line}`)
    expect([hosts.check('web1', 22, a.blob).line, hosts.check('web1', 22, b.blob).line]).toEqual([1, 2])
  })

  test('a port other than 22 has lines of its own, and a line without port counts in favour only', async () => {
    const { hosts } = await load(`[web1]:2222 ${a.line}`, `web2 ${a.line}`, `web3 ${a.line}`, `[web3]:2222 ${b.line}`)
    expect(hosts.check('web1', 2222, a.blob).status).toBe('known')
    expect(hosts.check('web1', 2222, b.blob)).toMatchObject({ status: 'changed', name: '[web1]:2222' })
    expect(hosts.check('web1', 22, a.blob).status).toBe('unknown')
    expect(hosts.check('web2', 2222, a.blob).status).toBe('known')
    expect(hosts.check('web2', 2222, b.blob).status).toBe('unknown')
    expect(hosts.check('web3', 2222, a.blob)).toMatchObject({ status: 'changed', line: 4 })
  })

  test('wildcards and negation work as in OpenSSH, also for ports', async () => {
    const { hosts } = await load(`*.example.com,!bad.example.com ${a.line}`, `web?? ${a.line}`, `[10.0.0.*]:* ${a.line}`)
    expect(hosts.check('www.example.com', 22, a.blob).status).toBe('known')
    expect(hosts.check('WWW.Example.com', 22, a.blob).status).toBe('known')
    expect(hosts.check('bad.example.com', 22, a.blob).status).toBe('unknown')
    expect(hosts.check('web12', 22, a.blob).status).toBe('known')
    expect(hosts.check('web1', 22, a.blob).status).toBe('unknown')
    expect(hosts.check('10.0.0.7', 2200, a.blob).status).toBe('known')
    expect(hosts.check('10.0.0.7', 22, a.blob).status).toBe('unknown')
  })

  test('a pattern made of stars does not stall', async () => {
    const { hosts } = await load(`${'*a'.repeat(200)}b ${a.line}`)
    expect(hosts.check('a'.repeat(1000), 22, a.blob).status).toBe('unknown')
  })

  test('hashed names are found, with ports and also where the name is longer than a SHA-1 block', async () => {
    const long = `${'x'.repeat(200)}.example.com`
    const { hosts } = await load(`${hashed('web1')} ${a.line}`, `${hashed('[web1]:2222')} ${b.line}`, `${hashed(long)} ${b.line}`)
    expect(hosts.check('web1', 22, a.blob)).toMatchObject({ status: 'known', line: 1 })
    expect(hosts.check('web1', 22, b.blob)).toMatchObject({ status: 'changed', line: 1, knownFingerprint: fingerprint(a.blob) })
    expect(hosts.check('web1', 2222, b.blob)).toMatchObject({ status: 'known', line: 2 })
    expect(hosts.check(long, 22, b.blob)).toMatchObject({ status: 'known', line: 3 })
    expect(hosts.check('web2', 22, a.blob).status).toBe('unknown')
  })

  test('@revoked outweighs every other line, by name, by pattern, hashed and for every port', async () => {
    for (const name of ['web1', '*', hashed('web1')]) {
      const { hosts } = await load(`web1 ${a.line}`, `@revoked ${name} ${a.line}`)
      expect(hosts.check('web1', 22, a.blob)).toMatchObject({ status: 'revoked', line: 2, knownFingerprint: fingerprint(a.blob) })
      expect(hosts.check('web1', 2222, a.blob)).toMatchObject({ status: 'revoked', line: 2 })
    }
    const { hosts } = await load(`@revoked web2 ${a.line}`)
    expect(hosts.check('web1', 22, a.blob).status).toBe('unknown')
    expect(hosts.check('web2', 22, b.blob).status).toBe('unknown')
  })

  test('@cert-authority vouches for nothing here, and is reported so that the caller can name OpenSSH', async () => {
    const { path, hosts } = await load(`@cert-authority *.example.com ${a.line}`)
    expect(hosts.check('www.example.com', 22, a.blob)).toMatchObject({ status: 'unknown', certAuthority: { file: path, line: 1 } })
    expect(hosts.check('web1', 22, a.blob)).not.toHaveProperty('certAuthority')
  })

  test('malformed lines are passed over: no key, cut base64, a type that the key has not, RSA1, unknown markers', async () => {
    const { hosts } = await load(
      'web1', 'web1 ssh-ed25519', `web1 ssh-rsa ${a.line.split(' ')[1]}`, `web1 ssh-ed25519 ${'AAAA'}`, 'web1 1024 35 1234567890',
      `@trusted web1 ${a.line}`, `|1|short|hash ${a.line}`, `|2|${'A'.repeat(27)}=|${'A'.repeat(27)}= ${a.line}`, '\u0000\u0001\u0002',
    )
    expect(hosts.check('web1', 22, a.blob).status).toBe('unknown')
  })

  test('Windows line ends, tabs, leading blanks and a missing last newline are read', async () => {
    const path = dir.file('crlf')
    writeFileSync(path, `# c\r\n  web1\t${a.line.replace(' ', '\t')}\r\n@revoked\tweb2 ${b.line}\r\nweb3 ${b.line}`)
    const hosts = await KnownHosts.load([path])
    expect(hosts.check('web1', 22, a.blob)).toMatchObject({ status: 'known', line: 2 })
    expect(hosts.check('web2', 22, b.blob)).toMatchObject({ status: 'revoked', line: 3 })
    expect(hosts.check('web3', 22, b.blob)).toMatchObject({ status: 'known', line: 4 })
  })

  test('several files count as one, user first, and a missing one is empty', async () => {
    const user = file(`web1 ${a.line}`)
    const global = file(`web1 ${b.line}`, `@revoked web2 ${b.line}`)
    const hosts = await KnownHosts.load([user, dir.file('missing'), global])
    expect(hosts.check('web1', 22, b.blob)).toMatchObject({ status: 'known', file: global, line: 1 })
    expect(hosts.check('web1', 22, fakeKey().blob)).toMatchObject({ status: 'changed', file: user, line: 1 })
    expect(hosts.check('web2', 22, b.blob)).toMatchObject({ status: 'revoked', file: global, line: 2 })
    expect((await KnownHosts.load([dir.file('missing/too')])).check('web1', 22, a.blob).status).toBe('unknown')
  })

  test('a HostKeyAlias stands for host and port', async () => {
    const { hosts } = await load(`cluster ${a.line}`, `web1 ${b.line}`)
    expect(hosts.check('web1', 2222, a.blob, { alias: 'Cluster' })).toMatchObject({ status: 'known', name: 'cluster' })
    expect(hosts.check('web1', 22, b.blob, { alias: 'cluster' }).status).toBe('changed')
  })

  test('IPv6 addresses are looked up bare, and bracketed with a port', async () => {
    const { hosts } = await load(`::1 ${a.line}`, `[fe80::1]:2222 ${a.line}`)
    expect(hosts.check('::1', 22, a.blob).status).toBe('known')
    expect(hosts.check('FE80::1', 2222, a.blob).status).toBe('known')
    expect(lookupName('::1', 2222)).toBe('[::1]:2222')
  })

  test('junk offered as a key is never known', async () => {
    const { hosts } = await load(`web1 ${a.line}`)
    for (const junk of [new Uint8Array(0), new Uint8Array(3), new Uint8Array(64).fill(255), a.blob.slice(0, 20)]) {
      expect(hosts.check('web1', 22, junk).status).toBe('changed')
    }
  })
})

describe('the files', () => {
  test('are read again only after they have changed, and then at once', async () => {
    const path = file(`web1 ${a.line}`)
    expect((await KnownHosts.load([path])).check('web1', 22, b.blob).status).toBe('changed')
    appendFileSync(path, `web1 ${b.line}\n`)
    expect((await KnownHosts.load([path])).check('web1', 22, b.blob).status).toBe('known')
    writeFileSync(path, `web1 ${a.line}\nweb2 ${b.line}\n`)
    utimesSync(path, new Date(0), new Date(0))
    expect((await KnownHosts.load([path])).check('web1', 22, b.blob).status).toBe('changed')
  })

  test('that exist and cannot be read are an error, not an empty list', async () => {
    mkdirSync(dir.file('folder'))
    await expect(KnownHosts.load([dir.file('folder')])).rejects.toMatchObject({ code: 'config-invalid', stage: 'host-key' })
    symlinkSync(dir.file('loop'), dir.file('loop'))
    await expect(KnownHosts.load([dir.file('loop')])).rejects.toMatchObject({ code: 'config-invalid' })
    execFileSync('mkfifo', [dir.file('pipe')])
    await expect(KnownHosts.load([dir.file('pipe')])).rejects.toMatchObject({ code: 'config-invalid', message: expect.stringContaining('no regular file') as string })
    expect((await KnownHosts.load(['/dev/null'])).check('web1', 22, a.blob).status).toBe('unknown')
  })

  test('above 64 MiB are refused whole', async () => {
    const path = dir.file('huge')
    execFileSync('truncate', ['-s', '65M', path])
    await expect(KnownHosts.load([path])).rejects.toMatchObject({ code: 'config-invalid', message: expect.stringContaining('64 MiB') as string })
  })
})

describe('adding a host', () => {
  test('makes the folder 0700 and the file 0600, and a later load knows the key', async () => {
    const path = dir.file('home/.ssh/known_hosts')
    expect(await appendKnownHost(path, 'web1', 22, a.blob)).toBe(true)
    expect(await appendKnownHost(path, 'web1', 2222, a.blob, { hash: true })).toBe(false)
    expect(await appendKnownHost(path, 'web2', 2222, b.blob, { hash: true })).toBe(true)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(dir.file('home/.ssh')).mode & 0o777).toBe(0o700)
    const text = readFileSync(path, 'utf8')
    expect(text.split('\n')[0]).toBe(`web1 ${a.line}`)
    expect(text).not.toContain('web2')
    expect((await KnownHosts.load([path])).check('web2', 2222, b.blob)).toMatchObject({ status: 'known', line: 2 })
  })

  test('first ends a last line that has no newline', async () => {
    const path = dir.file('unfinished')
    writeFileSync(path, `web1 ${a.line}`)
    await appendKnownHost(path, 'web2', 22, b.blob)
    expect(readFileSync(path, 'utf8')).toBe(`web1 ${a.line}\nweb2 ${b.line}\n`)
  })

  test('of many at once writes every line once, and of two keys for one name only the first', async () => {
    const path = dir.file('parallel')
    const added = await Promise.all([...Array(20).keys()].map((i) => appendKnownHost(path, `web${i % 10}`, 22, a.blob)))
    expect(added.filter(Boolean)).toHaveLength(10)
    expect(readFileSync(path, 'utf8').trim().split('\n')).toHaveLength(10)
    const [first, second] = await Promise.allSettled([appendKnownHost(path, 'db', 22, a.blob), appendKnownHost(path, 'db', 22, b.blob)])
    expect(first).toMatchObject({ status: 'fulfilled', value: true })
    expect(second).toMatchObject({ status: 'rejected', reason: { code: 'host-key-changed', stage: 'host-key' } })
  })

  test('is refused for a revoked key, for a name that would read as a pattern or a second line, and for junk', async () => {
    const path = file(`@revoked * ${a.line}`)
    await expect(appendKnownHost(path, 'web1', 22, a.blob)).rejects.toMatchObject({ code: 'host-key-revoked' })
    for (const host of ['*', 'a,b', 'a b', 'a\nb', '@revoked', '!a', '#a', '|1|', '[a]', '']) {
      await expect(appendKnownHost(path, host, 22, b.blob), host).rejects.toMatchObject({ code: 'target-invalid' })
    }
    await expect(appendKnownHost(path, 'web1', 22, new Uint8Array(8))).rejects.toMatchObject({ code: 'target-invalid' })
    expect(readFileSync(path, 'utf8')).toBe(`@revoked * ${a.line}\n`)
  })

  test('where nothing can be written says so', async () => {
    const path = `${file('x')}/known_hosts`
    await expect(appendKnownHost(path, 'web1', 22, a.blob)).rejects.toMatchObject({ code: 'config-invalid', hint: expect.stringContaining('knownHosts') as string })
  })
})

describe('speed', () => {
  test('the hash of a name equals that of node:crypto for names of every length around the block borders', () => {
    const names = new HashedNames()
    const texts = [...Array(140).keys()].map((n) => `${'n'.repeat(n)}\u00e9`)
    texts.forEach((text, i) => expect(names.add(hashed(text), i)).toBe(true))
    texts.forEach((text, i) => {
      expect(names.test(i, text)).toBe(true)
      expect(names.test(i, `${text}x`)).toBe(false)
      expect(names.find(text)).toEqual([i])
    })
  })

  test('10,000 plain lines cost 200 hosts less than 200 ms in all, on a machine that is busy with other things', async () => {
    const keys = [...Array(10_000).keys()].map(() => fakeKey())
    const path = file(...keys.map((key, i) => `host${i}.example.com,10.0.${i >> 8}.${i & 255} ${key.line}`))
    const start = process.cpuUsage()
    for (let i = 0; i < 200; i++) {
      const hosts = await KnownHosts.load([path])
      expect(hosts.algorithms(`host${i}.example.com`, 22)).toEqual(['ssh-ed25519'])
      expect(hosts.check(`host${i}.example.com`, 22, (keys[i] as { blob: Uint8Array }).blob).status).toBe('known')
    }
    const { user, system } = process.cpuUsage(start)
    expect((user + system) / 1000).toBeLessThan(200)
  })
})

describe.skipIf(!hasProgram('ssh-keygen'))('beside the real ssh-keygen', () => {
  const real = temporaryDirectory()
  afterAll(() => real.remove())
  let keys: Record<'ed25519' | 'ecdsa' | 'rsa', ReturnType<typeof makeKey>>
  beforeAll(() => {
    keys = {
      ed25519: makeKey(real.file('ed25519'), 'ed25519'), ecdsa: makeKey(real.file('ecdsa'), 'ecdsa'), rsa: makeKey(real.file('rsa'), 'rsa'),
    }
  })

  function find(path: string, name: string): number[] {
    const result = spawnSync('ssh-keygen', ['-F', name, '-f', path], { encoding: 'utf8' })
    return [...result.stdout.matchAll(/found: line (\d+)/g)].map((match) => Number(match[1]))
  }

  test('fingerprints are the same', () => {
    for (const key of Object.values(keys)) {
      expect(execFileSync('ssh-keygen', ['-lf', `${key.path}.pub`], { encoding: 'utf8' })).toContain(` ${fingerprint(key.blob)} `)
    }
  })

  test('algorithms to ask for first are those of the keys on file, RSA without SHA-1, other types being a change', async () => {
    const { path, hosts } = await load(`web1 ${keys.rsa.line}`, `web1 ${keys.ecdsa.line}`, `@cert-authority * ${keys.ed25519.line}`)
    expect(hosts.algorithms('web1', 22)).toEqual(['rsa-sha2-512', 'rsa-sha2-256', 'ecdsa-sha2-nistp256'])
    expect(hosts.algorithms('web1', 2222)).toEqual(['rsa-sha2-512', 'rsa-sha2-256', 'ecdsa-sha2-nistp256'])
    expect(hosts.algorithms('web2', 22)).toEqual([])
    expect(hosts.check('web1', 22, keys.ed25519.blob)).toMatchObject({ status: 'changed', file: path, line: 1, knownType: 'ssh-rsa', offeredType: 'ssh-ed25519' })
    const second = await load(`web1 ${keys.rsa.line}`, `web1 ${a.line}`)
    expect(second.hosts.check('web1', 22, keys.ed25519.blob)).toMatchObject({ status: 'changed', line: 2, knownType: 'ssh-ed25519' })
  })

  test('both find the same lines for every name in a file of all kinds, before and after it has been hashed', async () => {
    const path = file(
      `web1,10.0.0.1 ${keys.ed25519.line}`, `[web1]:2222 ${keys.rsa.line}`, `*.example.com,!bad.example.com ${keys.ecdsa.line}`,
      `web1 ${keys.ecdsa.line} comment`, '# web1', `@revoked web9 ${keys.rsa.line}`, `${hashed('db1')} ${keys.rsa.line}`, `::1 ${keys.rsa.line}`,
    )
    const names: [string, number][] = [
      ['web1', 22], ['10.0.0.1', 22], ['web1', 2222], ['www.example.com', 22], ['bad.example.com', 22], ['db1', 22], ['db2', 22], ['::1', 22], ['web1', 2223],
    ]
    const compare = async (): Promise<void> => {
      const hosts = await KnownHosts.load([path])
      for (const [host, port] of names) {
        const lines = Object.values(keys).map((key) => hosts.check(host, port, key.blob))
          .filter((verdict) => verdict.status === 'known').map((verdict) => verdict.line as number)
        // ssh-keygen looks up just this name; that a line without port counts for other ports too is ssh's own doing.
        const expected = find(path, lookupName(host, port))
        const own = expected.length === 0 && port !== 22 ? find(path, host) : expected
        expect(lines.sort((x, y) => x - y), `${host}:${port}`).toEqual(own)
      }
    }
    await compare()
    execFileSync('ssh-keygen', ['-H', '-f', path], { stdio: 'ignore' })
    expect(readFileSync(path, 'utf8')).not.toMatch(/^web1/m)
    await compare()
  })

  test('what we add, plain or hashed, ssh-keygen finds and removes', async () => {
    const path = dir.file('both')
    await appendKnownHost(path, 'Web1', 2222, keys.ed25519.blob)
    await appendKnownHost(path, 'web2', 22, keys.rsa.blob, { hash: true })
    expect([find(path, '[web1]:2222'), find(path, 'web2'), find(path, 'web3')]).toEqual([[1], [2], []])
    execFileSync('ssh-keygen', ['-R', 'web2', '-f', path], { stdio: 'ignore' })
    expect((await KnownHosts.load([path])).check('web2', 22, keys.rsa.blob).status).toBe('unknown')
    expect((await KnownHosts.load([path])).check('web1', 2222, keys.ed25519.blob).status).toBe('known')
  })
})
