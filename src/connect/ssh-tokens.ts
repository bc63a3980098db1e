import { createHash } from 'node:crypto'
import { homedir, hostname, userInfo } from 'node:os'
import { join } from 'node:path'
import { RametError } from '../router/errors.ts'

export interface LocalAccount {
  name: string
  /** From the password database, as OpenSSH takes it; HOME counts only where the account has no entry. */
  home: string
  uid: number
}

export function localAccount(): LocalAccount {
  try {
    const info = userInfo()
    return { name: info.username, home: info.homedir, uid: info.uid }
  } catch {
    return { name: process.env['USER'] ?? String(process.getuid?.() ?? 0), home: homedir(), uid: process.getuid?.() ?? 0 }
  }
}

export interface TokenValues {
  alias: string
  hostName: string
  port: number
  user: string
  keyAlias: string
  jump: string
  account: LocalAccount
}

/** Expands a leading ~/, %-tokens and ${VARIABLES} of a file name in OpenSSH's configuration. Throws 'config-invalid'. */
export function expandPath(text: string, values: TokenValues): string {
  const path = text === '~' || text.startsWith('~/') ? join(values.account.home, text.slice(1)) : text
  return path.replace(/%(.?)|\$\{([^}]*)\}/gs, (_, token: string | undefined, variable: string | undefined) => {
    const value = variable === undefined ? tokenValue(token ?? '', values) : process.env[variable]
    if (value === undefined) {
      const what = variable === undefined ? `the token %${token}` : `the variable ${variable}, which is not set,`
      throw new RametError('config-invalid', `OpenSSH configuration of ${values.alias}: ${what} in "${text}" means nothing here`, {
        outcome: 'not-sent', hint: 'Write the file name out, or set the variable.',
      })
    }
    return value
  })
}

function tokenValue(token: string, values: TokenValues): string | undefined {
  const local = hostname()
  switch (token) {
    case '%': return '%'
    case 'h': return values.hostName
    case 'n': return values.alias
    case 'p': return String(values.port)
    case 'r': return values.user
    case 'u': return values.account.name
    case 'd': return values.account.home
    case 'i': return String(values.account.uid)
    case 'l': return local
    case 'L': return local.split('.')[0]
    case 'k': return values.keyAlias
    case 'j': return values.jump
    case 'C': return createHash('sha1').update(`${local}${values.hostName}${values.port}${values.user}${values.jump}`).digest('hex')
    default: return undefined
  }
}
