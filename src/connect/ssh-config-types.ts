import { isIP } from 'node:net'
import { join } from 'node:path'
import { loginRules, nothingLeft, type LoginRules } from './login-rules.ts'
import type { Options } from './ssh-config-eval.ts'
import { expandPath } from './ssh-tokens.ts'
import type { LocalAccount, TokenValues } from './ssh-tokens.ts'

/** What OpenSSH's configuration says of one target. File names are expanded; times are milliseconds. */
export interface SshConfig {
  /** The name as the user wrote it. */
  readonly alias: string
  /** What to connect to; lower case. */
  readonly hostName: string
  readonly user: string
  readonly port: number
  /** Private keys to try, in order: those configured, or OpenSSH's default names. They need not exist. */
  readonly identityFiles: readonly string[]
  /** False when identityFiles are only the defaults. */
  readonly identityFilesGiven: boolean
  readonly certificateFiles: readonly string[]
  readonly identitiesOnly: boolean
  /** The agent's socket (IdentityAgent, else SSH_AUTH_SOCK); undefined: none, or switched off. */
  readonly identityAgent: string | undefined
  /** Hops nearest to us first, each for parseTarget(); empty: none. */
  readonly proxyJump: readonly string[]
  /** As written, tokens and all: only OpenSSH's own client expands it. */
  readonly proxyCommand: string | undefined
  readonly userKnownHostsFiles: readonly string[]
  readonly globalKnownHostsFiles: readonly string[]
  readonly hostKeyAlias: string | undefined
  readonly hashKnownHosts: boolean
  readonly strictHostKeyChecking: 'yes' | 'no' | 'ask' | 'accept-new'
  /** Until the key exchange is done; 0: none given. */
  readonly connectTimeout: number
  /** ServerAliveInterval and ServerAliveCountMax; undefined where no messages are asked for. */
  readonly keepalive: { readonly interval: number; readonly count: number } | undefined
  readonly addressFamily: 'any' | 'inet' | 'inet6'
  readonly bindAddress: string | undefined
  /** Which ways to log in may be tried, in which order, and how often a person is asked. */
  readonly login: LoginRules
  /** These lists are undefined where no file speaks of them: the client's own defaults hold. */
  readonly hostKeyAlgorithms: readonly string[] | undefined
  readonly pubkeyAcceptedAlgorithms: readonly string[] | undefined
  readonly kexAlgorithms: readonly string[] | undefined
  readonly ciphers: readonly string[] | undefined
  readonly macs: readonly string[] | undefined
  /** Settings in force that only OpenSSH's own client can honour (transport 'openssh'), lower case. */
  readonly needsOpenSsh: readonly string[]
}

const DEFAULT_IDENTITIES = ['id_rsa', 'id_ecdsa', 'id_ecdsa_sk', 'id_ed25519', 'id_ed25519_sk']
const OPENSSH_ONLY = ['proxycommand', 'pkcs11provider', 'knownhostscommand', 'revokedhostkeys', 'proxyusefdpass', 'bindinterface']
/** Ways to log in that only OpenSSH's own client knows. */
const OPENSSH_METHODS = [['gssapiauthentication', 'gssapi-with-mic'], ['hostbasedauthentication', 'hostbased']] as const

/**
 * Gives the options types and defaults. `mentioned` are the keywords that some file uses: a list of algorithms that no file
 * mentions is OpenSSH's default and says nothing about the user's wishes.
 */
export function typed(alias: string, options: Options, mentioned: ReadonlySet<string>, account: LocalAccount): SshConfig {
  const first = (keyword: string): string | undefined => options.get(keyword)?.[0]
  const given = (keyword: string): string | undefined => {
    const value = first(keyword)
    return value === undefined || value.toLowerCase() === 'none' ? undefined : value
  }
  const flag = (keyword: string, fallback: boolean): boolean => {
    const value = first(keyword)?.toLowerCase()
    return value === undefined ? fallback : value !== 'no' && value !== 'false'
  }
  const count = (keyword: string, fallback: number): number => seconds(given(keyword)) ?? fallback
  const algorithms = (keyword: string, old = keyword): string[] | undefined => {
    const value = mentioned.has(keyword) || mentioned.has(old) ? given(keyword) : undefined
    // "+x", "-x" and "^x" change a default that only OpenSSH knows; ssh -G has worked them out already.
    return value === undefined || /^[+^-]/.test(value) ? undefined : value.split(',').filter((each) => each !== '')
  }

  const user = first('user') ?? account.name
  const port = Number(first('port') ?? 22)
  const hostName = (first('hostname') ?? alias).toLowerCase()
  const hostKeyAlias = first('hostkeyalias')?.toLowerCase()
  const jump = given('proxyjump')
  const values: TokenValues = { alias, hostName, port, user, account, keyAlias: hostKeyAlias ?? alias, jump: jump?.split(',')[0] ?? '' }
  const paths = (keyword: string, fallback: string[]): string[] =>
    (options.get(keyword) ?? fallback).filter((path) => path.toLowerCase() !== 'none').map((path) => expandPath(path, values))

  const identities = options.get('identityfile')
  const named = mentioned.has('identityfile') || mentioned.has('identityfile2')
  const identityFilesGiven = named && identities !== undefined && !areDefaults(identities)
  const strict = first('stricthostkeychecking')?.toLowerCase()
  const preferred = mentioned.has('preferredauthentications') ? first('preferredauthentications')?.toLowerCase().split(',') : undefined
  const login = loginRules({
    pubkey: flag('pubkeyauthentication', true), password: flag('passwordauthentication', true),
    interactive: flag('kbdinteractiveauthentication', true), preferred, prompts: count('numberofpasswordprompts', 3),
    batch: flag('batchmode', false),
  })
  const interval = count('serveraliveinterval', 0) * 1000
  const family = first('addressfamily')?.toLowerCase()
  const bindAddress = given('bindaddress')
  return {
    alias, hostName, user, port,
    identityFiles: identityFilesGiven
      ? paths('identityfile', [])
      : DEFAULT_IDENTITIES.map((name) => join(account.home, '.ssh', name)),
    identityFilesGiven,
    certificateFiles: paths('certificatefile', []),
    identitiesOnly: flag('identitiesonly', false),
    identityAgent: agentSocket(first('identityagent'), values),
    proxyJump: jump === undefined ? [] : jump.split(',').map((hop) => hop.trim()).filter((hop) => hop !== ''),
    proxyCommand: given('proxycommand'),
    userKnownHostsFiles: paths('userknownhostsfile', ['~/.ssh/known_hosts', '~/.ssh/known_hosts2']),
    globalKnownHostsFiles: paths('globalknownhostsfile', ['/etc/ssh/ssh_known_hosts', '/etc/ssh/ssh_known_hosts2']),
    hostKeyAlias,
    hashKnownHosts: flag('hashknownhosts', false),
    strictHostKeyChecking: strict === undefined || strict === 'ask' ? 'ask'
      : strict === 'accept-new' ? 'accept-new' : strict === 'no' || strict === 'off' || strict === 'false' ? 'no' : 'yes',
    connectTimeout: count('connecttimeout', 0) * 1000,
    keepalive: interval === 0 ? undefined : { interval, count: count('serveralivecountmax', 3) },
    addressFamily: family === 'inet' || family === 'inet6' ? family : 'any',
    bindAddress,
    login,
    hostKeyAlgorithms: algorithms('hostkeyalgorithms'),
    pubkeyAcceptedAlgorithms: algorithms('pubkeyacceptedalgorithms', 'pubkeyacceptedkeytypes'),
    kexAlgorithms: algorithms('kexalgorithms'),
    ciphers: algorithms('ciphers'),
    macs: algorithms('macs'),
    needsOpenSsh: [
      // A ProxyCommand of "false" is a command: whoever writes it wants no connection at all.
      ...OPENSSH_ONLY.filter((keyword) => (keyword === 'proxyusefdpass' ? flag(keyword, false) : given(keyword) !== undefined)),
      // A name of this machine, which would have to be looked up first.
      ...(bindAddress !== undefined && isIP(bindAddress) === 0 ? ['bindaddress'] : []),
      // Beside other methods they are only wishes: GSSAPI is switched on for every host of a Debian.
      ...(nothingLeft(login) ? OPENSSH_METHODS.filter(([keyword, method]) => flag(keyword, false) && preferred?.includes(method) !== false).map(([keyword]) => keyword) : []),
    ],
  }
}

/** The list that `ssh -G` prints for a host without IdentityFile; older versions have more names in it than we try. */
function areDefaults(files: readonly string[]): boolean {
  const usual = /^~\/\.ssh\/id_(rsa|ecdsa|ecdsa_sk|ed25519|ed25519_sk|xmss|dsa)$/
  return files.length >= DEFAULT_IDENTITIES.length && files.every((file) => usual.test(file))
}

/** '90', '1m30s', '2h': seconds. */
function seconds(text: string | undefined): number | undefined {
  if (text === undefined || !/^([0-9]+[smhdw]?)+$/i.test(text)) return undefined
  const units: Record<string, number> = { '': 1, s: 1, m: 60, h: 3600, d: 86400, w: 604800 }
  let total = 0
  for (const [, digits, unit] of text.matchAll(/([0-9]+)([smhdw]?)/gi)) {
    total += Number(digits) * (units[(unit ?? '').toLowerCase()] as number)
  }
  return total
}

function agentSocket(value: string | undefined, values: TokenValues): string | undefined {
  if (value === undefined || value === 'SSH_AUTH_SOCK') return process.env['SSH_AUTH_SOCK'] || undefined
  if (value.toLowerCase() === 'none') return undefined
  const variable = /^\$([A-Za-z_][A-Za-z0-9_]*)$/.exec(value)?.[1]
  return variable === undefined ? expandPath(value, values) : process.env[variable] || undefined
}

/** What `ssh -G` printed, as options. `spaced` are words of file names with a blank: its output does not quote them. */
export function readDump(dump: string, spaced: readonly string[]): Options {
  const options: Options = new Map()
  for (const line of dump.split('\n')) {
    const space = line.indexOf(' ')
    if (space === -1) continue
    const keyword = line.slice(0, space).toLowerCase()
    const value = line.slice(space + 1)
    const list = keyword === 'userknownhostsfile' || keyword === 'globalknownhostsfile'
    const values = list ? splitPaths(value, spaced.length > 0) : [value]
    options.set(keyword, [...(options.get(keyword) ?? []), ...values])
  }
  return options
}

function splitPaths(text: string, spaced: boolean): string[] {
  const words = text.split(' ').filter((word) => word !== '')
  if (!spaced) return words
  // Every name that ssh prints here is absolute, so a word that is not belongs to the one before.
  const paths: string[] = []
  for (const word of words) {
    if (paths.length === 0 || /^[/~]/.test(word)) paths.push(word)
    else paths[paths.length - 1] += ` ${word}`
  }
  return paths
}
