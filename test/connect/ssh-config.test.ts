import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import type { Clock } from '../../src/base/clock.ts'
import { systemClock } from '../../src/base/clock.ts'
import { analyse } from '../../src/connect/ssh-config-eval.ts'
import { readConfig, splitWords } from '../../src/connect/ssh-config-file.ts'
import { askSsh } from '../../src/connect/ssh-config-program.ts'
import { readDump, typed } from '../../src/connect/ssh-config-types.ts'
import type { SshConfig } from '../../src/connect/ssh-config-types.ts'
import { SshConfigResolver } from '../../src/connect/ssh-config.ts'
import { expandPath, localAccount } from '../../src/connect/ssh-tokens.ts'
import { hasProgram, temporaryDirectory } from './ssh-keys.ts'

const dir = temporaryDirectory()
afterAll(() => dir.remove())
afterEach(() => vi.unstubAllEnvs())
const account = localAccount()
const NO_PROGRAM = dir.file('no-such-ssh')

let counter = 0
function config(text: string, path = dir.file(`config_${counter++}`)): string {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
  chmodSync(path, 0o600)
  return path
}

/** A program that notes each call and then does what `body` says. */
function fakeSsh(body: string): { path: string; calls: () => string[] } {
  const path = dir.file(`ssh_${counter++}`)
  writeFileSync(path, `#!/bin/sh\nprintf '%s\\n' "$*" >> ${path}.calls\n${body}\n`)
  chmodSync(path, 0o755)
  return { path, calls: () => { try { return readFileSync(`${path}.calls`, 'utf8').trim().split('\n') } catch { return [] } } }
}

function sourceOf(path: string): ReturnType<typeof readConfig> {
  return readConfig([{ path, user: true, required: true }], account.home)
}

const included = config('User fromInclude\nHost inner\n  Port 2210\nHost *\n  Compression yes\n', dir.file('conf.d/10-first.conf'))
config('IdentityFile /keys/second\n', dir.file('conf.d/20-second.conf'))
config('Port 1\n', dir.file('conf.d/.hidden.conf'))
config('Port 2\n', dir.file('conf.d/README'))

/** [what it shows, configuration, aliases, does our own reading claim to be exact] */
const TABLE: [string, string, string[], boolean][] = [
  ['the first value wins', 'Host web*\n  User a\n  Port 2222\nHost *\n  User b\n  Port 22\n  ServerAliveInterval 15', ['web1', 'db', 'WEB1'], true],
  ['negation rules a block out', 'Host *.corp !secret.corp\n  User a\nHost !x y\n  Port 5', ['a.corp', 'secret.corp', 'x', 'y', 'z'], true],
  ['question marks', 'Host db?\n User a\nHost d??\n Port 99', ['db', 'db1', 'db12'], true],
  ['equals signs, quotes, tabs, comments and Windows line ends', 'Host=web1\r\n\tUser = "de"\r\n  Port=2222 # why not\r\n"IdentityFile" "/a b/key" # c\r\n#x\r\n\r\n', ['web1', 'x'], true],
  ['identity files add up, without doubles', 'IdentityFile /k/1\nHost a\n  IdentityFile /k/2\n  IdentityFile /k/1\nHost *\n  IdentityFile ~/k3\n IdentitiesOnly yes', ['a', 'b'], true],
  ['IdentityFile none', 'IdentityFile none', ['a'], true],
  ['a host name, lower case', 'Host W\n  HostName Web1.Example.COM\n  HostKeyAlias Some-Alias', ['W', 'w'], true],
  ['tokens', 'Host w*\n  HostName %h.example.com\n  User u\n  IdentityFile ~/.ssh/%r_%h_%n_%p_%%\n  IdentityFile %d/%u/%i/%L/%l/%k\n  UserKnownHostsFile ~/kh_%h /x/kh_%p\n  IdentityAgent ~/agent.%h\n  CertificateFile /c/%n-cert.pub', ['w1'], false],
  ['environment variables', 'IdentityFile ${RAMET_TEST_DIR}/key\nIdentityAgent ${RAMET_TEST_DIR}/agent\nUserKnownHostsFile ${RAMET_TEST_DIR}/kh', ['a'], false],
  ['agents: none, by variable, by file', 'Host a\n IdentityAgent none\nHost b\n IdentityAgent SSH_AUTH_SOCK\nHost c\n IdentityAgent $RAMET_TEST_DIR\nHost d\n IdentityAgent /run/agent', ['a', 'b', 'c', 'd', 'e'], false],
  ['jumps', 'Host a\n ProxyJump u@j1:2222,j2\nHost b\n ProxyJump none\nHost *\n ProxyJump gate', ['a', 'b', 'c'], true],
  ['a comment behind a jump', 'ProxyJump gate # one hop', ['a'], true],
  ['whichever of jump and proxy command comes first', 'Host a\n ProxyCommand nc -X "5 5" %h %p # no comment\nHost e\n ProxyCommand x\n ProxyJump y\nHost b\n ProxyCommand none\nHost c\n ProxyJump none\nHost *\n ProxyJump gate\n ProxyCommand x', ['a', 'b', 'c', 'd', 'e'], false],
  ['host key settings', 'Host a\n StrictHostKeyChecking accept-new\n HashKnownHosts yes\n CheckHostIP yes\nHost b\n StrictHostKeyChecking no\nHost c\n StrictHostKeyChecking off\nHost d\n StrictHostKeyChecking yes\n GlobalKnownHostsFile /g1 /g2\n UserKnownHostsFile none', ['a', 'b', 'c', 'd', 'e'], true],
  ['blanks in known hosts files', 'UserKnownHostsFile "/a b/c d" /e', ['a'], true],
  ['times', 'Host a\n ConnectTimeout 7\n ServerAliveInterval 1m30\n ServerAliveCountMax 5\nHost b\n ConnectTimeout 1h2m3s\nHost c\n ConnectTimeout none', ['a', 'b', 'c'], false],
  ['authentication', 'Host a\n PreferredAuthentications publickey,password\n PasswordAuthentication no\n PubkeyAuthentication no\n GSSAPIAuthentication yes\n NumberOfPasswordPrompts 1\nHost b\n ChallengeResponseAuthentication no', ['a', 'b', 'c'], false],
  ['whether anybody is asked', 'Host a\n BatchMode yes\nHost b\n BatchMode no\nHost *\n ServerAliveInterval 9', ['a', 'b', 'c'], false],
  ['algorithms', 'KexAlgorithms curve25519-sha256\nCiphers aes128-ctr,aes256-ctr\nMACs hmac-sha2-256\nHostKeyAlgorithms ssh-ed25519,rsa-sha2-512\nPubkeyAcceptedKeyTypes ssh-ed25519', ['a'], false],
  ['addresses', 'AddressFamily inet6\nBindAddress 127.0.0.1', ['a', '::1'], false],
  ['what only OpenSSH can do', 'Host a\n PKCS11Provider /x.so\n RevokedHostKeys /dev/null\n KnownHostsCommand /bin/true', ['a', 'b'], false],
  ['includes, sorted, hidden files left out, blocks ending with their file', `Include ${dir.file('conf.d')}/*.conf ${dir.file('missing')}/*.conf\nHost outer\n  Include ${included}\n  ConnectTimeout 9`, ['inner', 'outer', 'x'], true],
  ['an include by set of characters', `Include ${dir.file('conf.d')}/[1]0-*.c?nf ${dir.file('conf.d')}/[!1]*.conf`, ['inner'], true],
  ['an include where nothing matches it', `Host outer\n  Include ${included}\nHost *\n Port 3`, ['inner', 'outer'], true],
  ['Match', 'Match host web1,web2\n User a\nMatch originalhost db* user root\n Port 3\nMatch !host web1 localuser *\n ConnectTimeout 4\nMatch all\n Compression yes\nMatch user=root\n NumberOfPasswordPrompts 2', ['web1', 'web3', 'db1'], false],
  ['Match sees the HostName set before it', 'Host short\n HostName long.example.com\nMatch host long.example.com\n User a\nMatch host short\n Port 7', ['short', 'x'], false],
  ['Match exec that an earlier criterion rules out', 'Match host web1 exec "exit 0"\n User a\nHost *\n Port 4', ['db'], false],
  ['an empty file', '', ['a', 'Some.Host'], true],
  ['what a Debian has in /etc/ssh', 'Include /etc/ssh/ssh_config.d/none-*.conf\nHost *\n#   ForwardAgent no\n    SendEnv LANG LC_*\n    HashKnownHosts yes\n    GSSAPIAuthentication yes', ['a'], true],
]

describe.skipIf(!hasProgram('ssh'))('beside the real ssh -G', () => {
  async function truth(path: string, alias: string, user?: string, port?: number): Promise<SshConfig> {
    const args = ['-T', '-G', '-F', path, ...(user === undefined ? [] : ['-l', user]), ...(port === undefined ? [] : ['-p', String(port)]), '--', alias]
    const dump = await askSsh('ssh', args, alias, 10_000, systemClock)
    return typed(alias, readDump(dump as string, ['a b']), sourceOf(path).keywords, account)
  }

  test.each(TABLE)('%s: the program, the resolver and our own reading agree', async (_, text, aliases, exact) => {
    vi.stubEnv('RAMET_TEST_DIR', '/from/environment')
    vi.stubEnv('SSH_AUTH_SOCK', '/run/my-agent')
    const path = config(text)
    expect(analyse(sourceOf(path)).exact).toBe(exact)
    const resolver = new SshConfigResolver()
    const own = new SshConfigResolver({ program: NO_PROGRAM })
    for (const alias of aliases) {
      for (const given of [{}, { user: 'Caller', port: 2022 }] as { user?: string; port?: number }[]) {
        const expected = await truth(path, alias, given.user, given.port)
        expect(await resolver.resolve(alias, { ...given, configFile: path }), `resolver: ${alias}`).toEqual(expected)
        expect(await own.resolve(alias, { ...given, configFile: path }), `own reading: ${alias}`).toEqual(expected)
      }
    }
  })

  test('algorithm lists that change the default come from the program, worked out', async () => {
    const path = config('HostKeyAlgorithms -ssh-ed25519\nCiphers ^aes128-ctr')
    const resolved = await new SshConfigResolver().resolve('a', { configFile: path })
    expect(resolved.ciphers?.[0]).toBe('aes128-ctr')
    expect(resolved.hostKeyAlgorithms?.length).toBeGreaterThan(3)
    expect(resolved.hostKeyAlgorithms).not.toContain('ssh-ed25519')
    expect(resolved.kexAlgorithms).toBeUndefined()
  })

  test('a file that ssh refuses is config-invalid with its own words: a bad keyword, a bad value, a bad mode', async () => {
    const resolver = new SshConfigResolver()
    await expect(resolver.resolve('a', { configFile: config('Bogus yes') })).rejects.toMatchObject({
      code: 'config-invalid', outcome: 'not-sent', message: expect.stringMatching(/line 1: Bad configuration option: bogus/) as string, hint: expect.stringContaining('ssh -G') as string,
    })
    await expect(resolver.resolve('a', { configFile: config('Port web') })).rejects.toMatchObject({ code: 'config-invalid' })
    const open = config('Port 3\n')
    chmodSync(open, 0o666)
    const path = config(`Include ${open}`)
    await expect(resolver.resolve('a', { configFile: path })).rejects.toMatchObject({ code: 'config-invalid', message: expect.stringMatching(/Bad owner or permissions/) as string })
    await expect(new SshConfigResolver({ program: NO_PROGRAM }).resolve('a', { configFile: path })).rejects.toMatchObject({ code: 'config-invalid', hint: expect.stringContaining('chmod') as string })
  })

  test('Match exec is run by ssh and by nobody else, anew each time', async () => {
    const path = config(`Match exec "echo x >> ${dir.file('ran')}"\n  Port 77`)
    const resolver = new SshConfigResolver()
    expect((await resolver.resolve('a', { configFile: path })).port).toBe(77)
    expect((await resolver.resolve('a', { configFile: path })).port).toBe(77)
    expect(readFileSync(dir.file('ran'), 'utf8')).toBe('x\nx\n')
    await expect(new SshConfigResolver({ program: NO_PROGRAM }).resolve('a', { configFile: path })).rejects.toMatchObject({
      code: 'config-invalid', message: expect.stringContaining(`${path}:1`) as string, hint: expect.stringContaining('OpenSSH client') as string,
    })
    expect(readFileSync(dir.file('ran'), 'utf8')).toBe('x\nx\n')
  })
})

describe('what decides on time and logins', () => {
  const read = (text: string): Promise<SshConfig> => new SshConfigResolver({ program: NO_PROGRAM }).resolve('web1', { configFile: config(text) })

  test('ServerAliveInterval sets how a link is looked after; without it ServerAliveCountMax says nothing', async () => {
    expect((await read('ServerAliveInterval 20\nServerAliveCountMax 5')).keepalive).toEqual({ interval: 20_000, count: 5 })
    expect((await read('ServerAliveInterval 1m')).keepalive).toEqual({ interval: 60_000, count: 3 })
    for (const text of ['ServerAliveCountMax 5', 'ServerAliveInterval 0', 'Port 22']) expect((await read(text)).keepalive).toBeUndefined()
  })

  test('ConnectTimeout is milliseconds, and 0 where there is none', async () => {
    expect((await read('ConnectTimeout 7')).connectTimeout).toBe(7000)
    for (const text of ['ConnectTimeout none', 'Port 22']) expect((await read(text)).connectTimeout).toBe(0)
  })

  test.each([
    ['Port 22', { order: undefined, forbidden: {}, prompts: 3 }],
    ['PubkeyAuthentication no', { order: undefined, forbidden: { publickey: 'PubkeyAuthentication no' }, prompts: 3 }],
    ['PubkeyAuthentication unbound\nPasswordAuthentication no\nNumberOfPasswordPrompts 1', { order: undefined, forbidden: { password: 'PasswordAuthentication no' }, prompts: 1 }],
    ['ChallengeResponseAuthentication no\nNumberOfPasswordPrompts 0', { order: undefined, forbidden: { 'keyboard-interactive': 'KbdInteractiveAuthentication no' }, prompts: 0 }],
    ['BatchMode yes', { order: undefined, forbidden: {}, prompts: 3, batch: true }],
    ['BatchMode no', { order: undefined, forbidden: {}, prompts: 3 }],
    ['PreferredAuthentications gssapi-with-mic,password,publickey', {
      order: ['password', 'publickey'], forbidden: { 'keyboard-interactive': 'not in PreferredAuthentications' }, prompts: 3 }],
    ['PreferredAuthentications Password,keyboard-interactive\nPasswordAuthentication no', {
      order: ['keyboard-interactive'], forbidden: { publickey: 'not in PreferredAuthentications', password: 'PasswordAuthentication no' }, prompts: 3 }],
  ])('%s', async (text, login) => {
    const { login: rules, needsOpenSsh } = await read(text)
    expect([rules, needsOpenSsh]).toEqual([login, []])
  })

  test.each([['ProxyCommand false', ['proxycommand']], ['ProxyCommand no', ['proxycommand']], ['RevokedHostKeys no', ['revokedhostkeys']], ['ProxyCommand none', []], ['ProxyUseFdpass no', []], ['ProxyUseFdpass yes', ['proxyusefdpass']]])(
    'a command or a file is meant whatever its name: %s', async (line, needed) => {
      expect((await read(line)).needsOpenSsh).toEqual(needed)
    })

  test('GSSAPI and host-based logins ask for the system\'s ssh only where nothing else is left to try', async () => {
    const off = 'PasswordAuthentication no\nKbdInteractiveAuthentication no\n'
    const needs = async (text: string): Promise<readonly string[]> => (await read(text)).needsOpenSsh
    expect(await needs('GSSAPIAuthentication yes\nCompression yes')).toEqual([])
    expect(await needs(`${off}GSSAPIAuthentication yes`)).toEqual([])
    expect(await needs(`${off}PubkeyAuthentication no\nGSSAPIAuthentication yes`)).toEqual(['gssapiauthentication'])
    expect(await needs('PreferredAuthentications gssapi-with-mic\nGSSAPIAuthentication yes\nHostbasedAuthentication yes')).toEqual(['gssapiauthentication'])
    expect(await needs('PreferredAuthentications hostbased,gssapi-with-mic\nHostbasedAuthentication yes')).toEqual(['hostbasedauthentication'])
    // Nobody could log in at all: that the server may say.
    expect(await needs('PreferredAuthentications gssapi-with-mic')).toEqual([])
  })
})

describe('what it costs', () => {
  test('without configuration files, or with everyday settings only, the program is not asked', async () => {
    const ssh = fakeSsh('exit 9')
    const home = dir.file('home')
    const nothing = new SshConfigResolver({ program: ssh.path, systemConfig: dir.file('none'), account: { ...account, home } })
    expect(await nothing.resolve('Web1')).toMatchObject({
      hostName: 'web1', user: account.name, port: 22, identityFilesGiven: false, proxyJump: [], strictHostKeyChecking: 'ask', hashKnownHosts: false,
      userKnownHostsFiles: [`${home}/.ssh/known_hosts`, `${home}/.ssh/known_hosts2`], globalKnownHostsFiles: ['/etc/ssh/ssh_known_hosts', '/etc/ssh/ssh_known_hosts2'],
      identityFiles: ['id_rsa', 'id_ecdsa', 'id_ecdsa_sk', 'id_ed25519', 'id_ed25519_sk'].map((name) => `${home}/.ssh/${name}`),
    })
    config('Host web*\n  User deploy\n', dir.file('home/.ssh/config'))
    const system = config('Host *\n  SendEnv LANG LC_*\n  HashKnownHosts yes\n  User late\n')
    const usual = new SshConfigResolver({ program: ssh.path, systemConfig: system, account: { ...account, home } })
    expect(await usual.resolve('web1')).toMatchObject({ user: 'deploy', hashKnownHosts: true })
    expect(await usual.resolve('db1')).toMatchObject({ user: 'late' })
    expect(await usual.resolve('db1', { configFile: false })).toMatchObject({ user: account.name, hashKnownHosts: false })
    expect(ssh.calls()).toEqual([])
  })

  test('aliases to which the same lines apply share one question, and a changed file is asked about again', async () => {
    const ssh = fakeSsh('for last; do :; done; echo "hostname $last"; echo "user asked"; echo "ciphers aes128-ctr"')
    const path = config('Ciphers aes128-ctr\nHost db*\n  User x\n')
    const resolver = new SshConfigResolver({ program: ssh.path })
    const names = [...Array(32).keys()].map((i) => `web${i}`)
    const all = await Promise.all(names.map((name) => resolver.resolve(name, { configFile: path })))
    expect(all.map(({ hostName }) => hostName)).toEqual(names)
    expect(ssh.calls()).toHaveLength(1)
    expect(ssh.calls()[0]).toBe(`-T -G -F ${path} -- web0`)
    await resolver.resolve('db1', { configFile: path })
    await resolver.resolve('db1', { configFile: path, user: 'me', port: 7 })
    expect(ssh.calls().slice(1)).toEqual([`-T -G -F ${path} -- db1`, `-T -G -F ${path} -l me -p 7 -- db1`])
    config('Ciphers aes256-ctr\nHost db*\n  User xy\n', path)
    await resolver.resolve('web1', { configFile: path })
    expect(ssh.calls()).toHaveLength(4)
  })

  test('a new file in an included folder counts as a change', async () => {
    const folder = dir.file('later.d')
    mkdirSync(folder)
    const path = config(`Include ${folder}/*.conf\nPort 1`)
    const resolver = new SshConfigResolver({ program: NO_PROGRAM })
    expect((await resolver.resolve('a', { configFile: path })).port).toBe(1)
    config('Port 2', `${folder}/a.conf`)
    expect((await resolver.resolve('a', { configFile: path })).port).toBe(2)
  })

  test('where a line depends on the alias, or Match on more, each alias is asked for by itself', async () => {
    const ssh = fakeSsh('for last; do :; done; echo "hostname $last"')
    for (const text of ['Ciphers a\nUserKnownHostsFile /kh/%h', 'Match host a\n User b', 'Ciphers a\nProxyJump web1']) {
      const resolver = new SshConfigResolver({ program: ssh.path })
      const before = ssh.calls().length
      const path = config(text)
      const [one, two] = await Promise.all(['web1', 'web12'].map((alias) => resolver.resolve(alias, { configFile: path })))
      expect([one?.hostName, two?.hostName]).toEqual(['web1', 'web12'])
      expect(ssh.calls().length - before, text).toBe(2)
    }
  })
})

describe('what may go wrong', () => {
  const asking = config('Ciphers a')

  test('a program that hangs is ended with all it started when time is up', async () => {
    const pidFile = dir.file('pid')
    const ssh = fakeSsh(`sleep 1000 & echo $! > ${pidFile}.tmp; mv ${pidFile}.tmp ${pidFile}; wait`)
    let expire: (() => void) | undefined
    const clock: Clock = { now: () => 0, after: (ms, fn) => { expect(ms).toBe(5000); expire = fn; return () => { expire = undefined } } }
    const result = new SshConfigResolver({ program: ssh.path, clock, timeout: 5000 }).resolve('a', { configFile: asking })
    const pid = await vi.waitFor(() => Number(readFileSync(pidFile, 'utf8')), { interval: 5, timeout: 5000 })
    expire?.()
    await expect(result).rejects.toMatchObject({ code: 'config-invalid', message: expect.stringContaining('within 5 s') as string })
    expect(expire).toBeUndefined()
    await vi.waitFor(() => expect(isRunning(pid)).toBe(false), { interval: 5, timeout: 5000 })
  })

  test('endless output and an unexplained end are refused, and the next call asks anew', async () => {
    const endless = new SshConfigResolver({ program: fakeSsh('exec yes').path })
    await expect(endless.resolve('a', { configFile: asking })).rejects.toMatchObject({ code: 'config-invalid', message: expect.stringContaining('1024 KiB') as string })
    const failing = fakeSsh('printf "bad\\033[31m\\nthing\\n" >&2; exit 255')
    const resolver = new SshConfigResolver({ program: failing.path })
    await expect(resolver.resolve('a', { configFile: asking })).rejects.toMatchObject({ message: 'OpenSSH configuration of a: bad?[31m; thing' })
    await expect(resolver.resolve('a', { configFile: asking })).rejects.toMatchObject({ code: 'config-invalid' })
    expect(failing.calls()).toHaveLength(2)
    await expect(new SshConfigResolver({ program: fakeSsh('exit 3').path }).resolve('a', { configFile: asking })).rejects.toMatchObject({ message: expect.stringContaining('status 3') as string })
  })

  test('an aborted caller is let go at once; another who shares the question gets the answer', async () => {
    const gate = dir.file('gate')
    const ssh = fakeSsh(`while [ ! -e ${gate} ]; do sleep 0.01; done; echo "hostname x"; echo "port 9"`)
    const resolver = new SshConfigResolver({ program: ssh.path })
    const controller = new AbortController()
    const first = resolver.resolve('a', { configFile: asking, signal: controller.signal })
    const second = resolver.resolve('a', { configFile: asking })
    controller.abort()
    await expect(first).rejects.toMatchObject({ code: 'cancelled', outcome: 'not-sent' })
    await expect(resolver.resolve('a', { signal: controller.signal })).rejects.toMatchObject({ code: 'cancelled' })
    writeFileSync(gate, '')
    expect((await second).port).toBe(9)
    expect(ssh.calls()).toHaveLength(1)
  })

  test.each([
    ['a missing file asked for by name', () => dir.file('missing'), /cannot be opened/],
    ['a folder', () => dir.path, /no regular file/],
    ['an open quote', () => config('User "a'), /config_\d+:1: invalid quotes/],
    ['a keyword alone', () => config('\nUser\n'), /config_\d+:2: no argument after keyword "user"/],
    ['no keyword', () => config('= yes'), /:1: this line has no keyword/],
    ['a file that includes itself', () => { const path = dir.file('self'); return config(`Include ${path}`, path) }, /too many files/],
    ['an unset variable', () => config('IdentityFile ${RAMET_NOT_SET}/x'), /RAMET_NOT_SET/],
    ['an unknown token', () => config('IdentityFile /x/%Z'), /token %Z/],
    ['Match all beside others', () => config('Match all host x'), /stands beside/],
    ['Match without a pattern', () => config('Match host'), /has no value/],
    ['Match canonical', () => config('Match canonical\n Port 3'), /Match canonical/],
    ['Include with a token', () => config('Include /x/%h'), /Include with a token/],
  ])('%s is config-invalid with words, with no program to ask', async (_, make, words) => {
    await expect(new SshConfigResolver({ program: NO_PROGRAM }).resolve('a', { configFile: make() })).rejects.toMatchObject({
      code: 'config-invalid', outcome: 'not-sent', message: expect.stringMatching(words) as string, hint: expect.stringMatching(/./) as string,
    })
  })

  test('words are split with both quotes, escapes and comments', () => {
    expect(splitWords(String.raw`a "b c" 'd "e' f\ g "h\"i" \\j k#l m"n o"p #q`)).toEqual(['a', 'b c', 'd "e', 'f g', 'h"i', '\\j', 'k#l', 'mn op'])
    expect(splitWords('"" x')).toEqual(['', 'x'])
    expect(splitWords("'a")).toBeUndefined()
  })

  test('a tilde counts only at the start and only for our own home', () => {
    const values = { alias: 'a', hostName: 'h', port: 1, user: 'u', keyAlias: 'k', jump: 'j', account: { name: 'me', home: '/home/me', uid: 7 } }
    expect(['~', '~/x', '/~/x', '~other/x', '%d/%%%u%i%j'].map((path) => expandPath(path, values))).toEqual(['/home/me', '/home/me/x', '/~/x', '~other/x', '/home/me/%me7j'])
  })
})

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  // A zombie that waits for a parent is over.
  return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
}
