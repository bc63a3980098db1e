/**
 * OpenSSH's patterns: `*` any run of characters, `?` one character, nothing else is special. Linear in text × stars, so a
 * hostile pattern cannot stall us.
 */
export function matchPattern(text: string, pattern: string): boolean {
  let t = 0
  let p = 0
  let star = -1
  let retry = 0
  while (t < text.length) {
    const c = pattern[p]
    if (c === '*') {
      star = p++
      retry = t
    } else if (c !== undefined && (c === '?' || c === text[t])) {
      p++
      t++
    } else if (star !== -1) {
      p = star + 1
      t = ++retry
    } else {
      return false
    }
  }
  while (pattern[p] === '*') p++
  return p === pattern.length
}

/** A list as in known_hosts, Host and Match: any positive pattern and no negated one (`!pattern`) matches. */
export function matchPatternList(text: string, patterns: readonly string[]): boolean {
  let matched = false
  for (const pattern of patterns) {
    if (pattern.startsWith('!')) {
      if (matchPattern(text, pattern.slice(1))) return false
    } else if (!matched) {
      matched = matchPattern(text, pattern)
    }
  }
  return matched
}
