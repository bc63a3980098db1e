/**
 * Files that never leave this machine as code unless the caller says so. Beside what everybody calls a secret stand private
 * keys under their usual names: the users of an SSH program have them lying about. The code of installed packages is public
 * and full of harmless names ('client-secrets.js'), hence the last rule.
 */
export const DEFAULT_DENY: readonly string[] = [
  '**/.env*', '**/*.pem', '**/*secret*', '**/*.key', '**/id_rsa*', '**/id_ecdsa*', '**/id_ed25519*', '!**/node_modules/**',
]

export interface DenyRules {
  /** Matches at least every path that is denied; has no feature that Go's regular expressions lack. */
  readonly filter: RegExp
  /** The pattern that denies an absolute path, or undefined. */
  match(path: string): string | undefined
}

/**
 * Rules in the manner of .gitignore: `*` and `?` stop at a slash, `**` does not, a pattern without a slash is meant at any
 * depth, a later pattern wins, '!' allows again. Letter case does not matter: neither does it to some file systems.
 */
export function denyRules(patterns: readonly string[]): DenyRules {
  const rules = patterns.map((pattern) => {
    const allow = pattern.startsWith('!')
    return { pattern, allow, source: globSource(allow ? pattern.slice(1) : pattern) }
  })
  const tests = rules.map(({ source }) => new RegExp(source, 'i'))
  const denying = rules.filter(({ allow }) => !allow).map(({ source }) => source)
  return {
    // Without a rule nothing may match; an empty alternation would match everything.
    filter: new RegExp(denying.length === 0 ? '^$' : denying.join('|'), 'i'),
    match(path) {
      const last = rules.findLast((_, index) => tests[index]?.test(path))
      return last === undefined || last.allow ? undefined : last.pattern
    },
  }
}

function globSource(glob: string): string {
  const pattern = glob.includes('/') ? glob : `**/${glob}`
  const body = pattern.replace(/\*\*\/|\*\*|\*|\?|\/|[^*?/]+/g, (part) => {
    if (part === '**/') return '(?:.*[\\\\/])?'
    if (part === '**') return '.*'
    if (part === '*') return '[^\\\\/]*'
    if (part === '?') return '[^\\\\/]'
    if (part === '/') return '[\\\\/]'
    return part.replace(/[\\^$.|+()[\]{}]/g, '\\$&')
  })
  return `^${body}$`
}
