import { isIPv6 } from 'node:net'
import { RametError } from '../router/errors.ts'

export const CONTAINER_TOOLS = ['docker', 'podman', 'nerdctl', 'kubectl', 'lxc', 'incus', 'nspawn', 'nsenter'] as const
export type ContainerTool = (typeof CONTAINER_TOOLS)[number]
export const BECOME_METHODS = ['sudo', 'su', 'doas'] as const
export type BecomeMethod = (typeof BECOME_METHODS)[number]

/** What a user wrote, taken apart. `host` may be an alias of OpenSSH's configuration; user and port then come from there. */
export type TargetAddress =
  | { kind: 'ssh'; user?: string; host: string; port?: number }
  | { kind: 'local' }
  | { kind: 'become'; method: BecomeMethod; user: string }
  | { kind: 'container'; tool: ContainerTool; name: string }

const MAX_LENGTH = 1024
const FORMS = 'Write ssh://user@host:port, user@host, an alias of your OpenSSH configuration, local:, sudo:USER or docker:NAME.'

/** Throws RametError 'target-invalid'. Nothing is looked up: the same text always gives the same address. */
export function parseTarget(text: string): TargetAddress {
  if (text.length > MAX_LENGTH) throw invalid(text, `is longer than ${MAX_LENGTH} characters`)
  if (text === '') throw invalid(text, 'is empty')
  if (text === 'local') return { kind: 'local' }
  const scheme = /^([a-z][a-z0-9+.-]*):(\/\/)?/i.exec(text)
  if (scheme === null) return parseSsh(text, text, false)
  const word = (scheme[1] as string).toLowerCase()
  const rest = text.slice(scheme[0].length)
  if (word === 'ssh' && scheme[2] !== undefined) return parseSsh(rest.endsWith('/') ? rest.slice(0, -1) : rest, text, true)
  if (word === 'local') {
    if (rest !== '') throw invalid(text, 'has something behind "local:"', 'Write local: alone; it is the account that ramet runs as.')
    return { kind: 'local' }
  }
  if (isOneOf(BECOME_METHODS, word)) {
    if (rest !== '') checkUser(rest, text)
    return { kind: 'become', method: word, user: rest === '' ? 'root' : rest }
  }
  if (isOneOf(CONTAINER_TOOLS, word)) {
    checkContainerName(rest, text)
    return { kind: 'container', tool: word, name: rest }
  }
  if (scheme[2] !== undefined) throw invalid(text, `has the unknown scheme "${word}"`)
  return parseSsh(text, text, false)
}

/**
 * The shortest text that parseTarget() turns into the same address again. It holds nothing that could upset a terminal, as
 * parseTarget() lets no such character in.
 */
export function displayName(address: TargetAddress): string {
  switch (address.kind) {
    case 'local':
      return 'local'
    case 'become':
      return `${address.method}:${address.user}`
    case 'container':
      return `${address.tool}:${address.name}`
    case 'ssh': {
      const user = address.user === undefined ? '' : `${address.user}@`
      const host = address.port !== undefined && isAddress6(address.host) ? `[${address.host}]` : address.host
      const port = address.port === undefined ? '' : `:${address.port}`
      const word = address.host.toLowerCase()
      // A machine that is really called "local" or "docker" must not read as one of our own words.
      const ours = user === '' && (word === 'local' || (port !== '' && isReserved(word)))
      return `${ours ? 'ssh://' : ''}${user}${host}${port}`
    }
  }
}

/** Refuses a user name that could be read as an option, or by a shell in a ProxyCommand (OpenSSH's own rule, and no spaces). */
export function checkUser(user: string, target = user): void {
  if (user === '') throw invalid(target, 'has an empty user name')
  if (user.startsWith('-')) {
    throw invalid(target, 'has a user name that begins with "-"', 'A user name never begins with a dash; it would be read as an option.')
  }
  if (hasUnsafeCharacter(user)) throw invalid(target, 'has a space or a control character in its user name')
  const bad = /['`";&<>|(){}:]|\\$/.exec(user)
  if (bad !== null) throw invalid(target, `has "${bad[0]}" in its user name`)
}

/** Refuses a host name that could be read as an option, by a shell, or as a pattern of known_hosts. Addresses may have a zone. */
function checkHost(host: string, target = host): void {
  if (host === '') throw invalid(target, 'has an empty host name', FORMS)
  if (host.startsWith('-')) {
    throw invalid(target, 'has a host name that begins with "-"', 'A host name never begins with a dash; it would be read as an option.')
  }
  if (hasUnsafeCharacter(host)) throw invalid(target, 'has a space or a control character in its host name')
  if (isAddress6(host)) {
    if (/%.*[^A-Za-z0-9_.-]/.test(host)) throw invalid(target, 'has an odd zone in its address')
    return
  }
  const bad = /['`"$\\;&<>|(){},*?!#[\]@%/:=]/.exec(host)
  if (bad !== null) throw invalid(target, `has "${bad[0]}" in its host name`)
}

/** Refuses a name that could be read as an option. kubectl's `namespace/pod/container` is checked part by part. */
export function checkContainerName(name: string, target = name): void {
  if (name === '') throw invalid(target, 'names no container', 'Write the name or id behind the colon, as in docker:web.')
  if (hasUnsafeCharacter(name)) throw invalid(target, 'has a space or a control character in its container name')
  for (const part of name.split('/')) {
    if (part.startsWith('-')) {
      throw invalid(target, 'has a container name that begins with "-"', 'It would be read as an option; use the id of the container.')
    }
    if (part === '') throw invalid(target, 'has an empty part in its container name')
  }
}

/** A TCP port from text or number. */
export function checkPort(port: string | number, target = String(port)): number {
  const value = typeof port === 'number' ? port : /^[0-9]{1,5}$/.test(port) ? Number(port) : Number.NaN
  if (!Number.isInteger(value) || value < 1 || value > 65535) {
    throw invalid(target, 'has a port that is no number from 1 to 65535', `An IPv6 address with a port is written [::1]:22. ${FORMS}`)
  }
  return value
}

function parseSsh(text: string, whole: string, url: boolean): TargetAddress {
  const at = text.lastIndexOf('@')
  let user = at === -1 ? undefined : text.slice(0, at)
  let host = text.slice(at + 1)
  let port: number | undefined
  if (user !== undefined) {
    if (user.includes(':')) {
      const hint = 'Leave it out: give the password option or a prompt, so that it stands in no shell history or log.'
      throw invalid(whole, 'holds a password', hint)
    }
    if (url) user = decodePercent(user, whole)
    checkUser(user, whole)
  }
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/s.exec(host)
  if (bracketed !== null) {
    host = url ? (bracketed[1] as string).replace(/%25/, '%') : (bracketed[1] as string)
    if (bracketed[2] !== undefined) port = checkPort(bracketed[2], whole)
  } else if (!isAddress6(host) && !host.startsWith('[')) {
    const colon = host.indexOf(':')
    if (colon !== -1) {
      port = checkPort(host.slice(colon + 1), whole)
      host = host.slice(0, colon)
    }
  }
  if (url && /[/?#]/.test(host)) throw invalid(whole, 'has a path behind its host')
  checkHost(host, whole)
  return { kind: 'ssh', ...(user === undefined ? {} : { user }), host, ...(port === undefined ? {} : { port }) }
}

function decodePercent(text: string, whole: string): string {
  try {
    return decodeURIComponent(text)
  } catch (cause) {
    throw invalid(whole, 'has a broken %-escape in its user name', undefined, cause)
  }
}

/** Control, format and unassigned characters, and every kind of space. */
function hasUnsafeCharacter(text: string): boolean {
  return /[\p{C}\p{Z}\s]/u.test(text)
}

/** Node's own test is a regular expression that takes 3 ms to compile: no plain name shall pay for it. */
function isAddress6(host: string): boolean {
  return host.indexOf(':') !== host.lastIndexOf(':') && isIPv6(host)
}

function isReserved(word: string): boolean {
  return isOneOf(BECOME_METHODS, word) || isOneOf(CONTAINER_TOOLS, word)
}

function isOneOf<T extends string>(words: readonly T[], word: string): word is T {
  return (words as readonly string[]).includes(word)
}

/** Whatever stands between a colon and the last @ may be a password: it is shown nowhere. */
function maskPassword(target: string): string {
  const start = /^[a-z]+:\/\//i.exec(target)?.[0].length ?? 0
  const colon = target.indexOf(':', start)
  const at = target.lastIndexOf('@')
  return colon !== -1 && colon < at ? `${target.slice(0, colon)}:***${target.slice(at)}` : target
}

function invalid(target: string, what: string, hint = FORMS, cause?: unknown): RametError {
  const masked = maskPassword(target)
  const short = masked.length > 80 ? `${masked.slice(0, 77)}...` : masked
  const clean = short.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`)
  return new RametError('target-invalid', `target "${clean}" ${what}`, { outcome: 'not-sent', hint, cause })
}
