/** One import or re-export as the source states it. */
export interface Import {
  specifier: string
  /** Erased when compiled: `import type`, `export type … from`, `import('x').T` in a type. */
  typeOnly: boolean
}

export interface Scanned {
  imports: Import[]
  /** The text with comments blanked and the insides of strings kept. Offsets and line numbers are those of the source. */
  code: string
  /** Like `code`, with the insides of strings, templates' text and regular expressions blanked too. */
  bare: string
}

/** Reads what the rules need out of the text of a TypeScript file. It knows our own style, not every program on earth. */
export function scan(text: string): Scanned {
  const { code, bare } = blank(text)
  return { imports: importsOf(code, bare), code, bare }
}

const IMPORT = /\b(import|export)\b(\s+type\b)?([^'";()]*?)\bfrom\s*(['"])/g
const BARE_IMPORT = /^[ \t]*import\s*(['"])/gm
const CALL = /(\btypeof\s+)?\b(?:import|require)\s*\(\s*(['"])/g

function importsOf(code: string, bare: string): Import[] {
  const found: Import[] = []
  const specifier = (from: number, quote: string): string => code.slice(from, code.indexOf(quote, from))
  // Searched in `bare`, so that the word import inside a string is none; the specifier is read from `code` at the same offset.
  for (const match of bare.matchAll(IMPORT)) {
    // The word may be far above, as in `export function …`: then another statement begins in between.
    if (/[=]|\n[ \t]*(?:import|export)\b/.test(match[3]!)) continue
    const names = /^\s*(?:\w+\s*,\s*)?\{([^}]*)\}\s*$/.exec(match[3]!)?.[1]
    const onlyTypes = names !== undefined && !/^\s*\w+\s*,/.test(match[3]!) && names.trim() !== '' && names.split(',').every(name => name.trim() === '' || /^\s*type\s/.test(name))
    found.push({ specifier: specifier(match.index + match[0].length, match[4]!), typeOnly: match[2] !== undefined || onlyTypes })
  }
  for (const match of bare.matchAll(BARE_IMPORT)) found.push({ specifier: specifier(match.index + match[0].length, match[1]!), typeOnly: false })
  for (const match of bare.matchAll(CALL)) {
    const start = match.index + match[0].length
    const path = specifier(start, match[2]!)
    const after = bare.slice(start + path.length + 1, start + path.length + 40)
    found.push({ specifier: path, typeOnly: match[1] !== undefined || /^\s*\)\s*\.\s*[A-Z]/.test(after) })
  }
  return found
}

/** A slash after one of these begins a regular expression, after anything else it divides. */
const BEFORE_REGEX = /(?:^|[=(,:[!&|?{};+\-*%<>~^]|=>|\b(?:return|typeof|case|in|of|do|else|void))\s*$/

function blank(text: string): { code: string; bare: string } {
  const code = text.split('')
  const bare = [...code]
  const wipe = (target: string[], from: number, to: number): void => {
    for (let i = from; i < to && i < target.length; i++) if (target[i] !== '\n') target[i] = ' '
  }
  /** For each open template: how many braces are open inside its `${`. */
  const templates: number[] = []
  let at = 0

  const templateText = (): void => {
    const start = at
    while (at < text.length && text[at] !== '`' && !(text[at] === '$' && text[at + 1] === '{')) at += text[at] === '\\' ? 2 : 1
    wipe(bare, start, at)
    if (text[at] === '`') at += 1
    else {
      templates.push(0)
      at += 2
    }
  }

  while (at < text.length) {
    const char = text[at]!
    const pair = text.slice(at, at + 2)
    if (pair === '//' || (pair === '#!' && at === 0)) {
      const end = text.indexOf('\n', at) === -1 ? text.length : text.indexOf('\n', at)
      wipe(code, at, end)
      wipe(bare, at, end)
      at = end
    } else if (pair === '/*') {
      const close = text.indexOf('*/', at + 2)
      const end = close === -1 ? text.length : close + 2
      wipe(code, at, end)
      wipe(bare, at, end)
      at = end
    } else if (char === "'" || char === '"') {
      const start = at + 1
      at = start
      while (at < text.length && text[at] !== char && text[at] !== '\n') at += text[at] === '\\' ? 2 : 1
      wipe(bare, start, at)
      at += 1
    } else if (char === '`') {
      at += 1
      templateText()
    } else if (char === '/' && BEFORE_REGEX.test(bare.slice(Math.max(0, at - 40), at).join(''))) {
      const start = at + 1
      let inClass = false
      at = start
      while (at < text.length && text[at] !== '\n' && (inClass || text[at] !== '/')) {
        if (text[at] === '[') inClass = true
        else if (text[at] === ']') inClass = false
        at += text[at] === '\\' ? 2 : 1
      }
      wipe(bare, start, at)
      at += 1
    } else if (templates.length > 0 && char === '{') {
      templates[templates.length - 1]! += 1
      at += 1
    } else if (templates.length > 0 && char === '}') {
      at += 1
      if (templates.at(-1) === 0) {
        templates.pop()
        templateText()
      } else templates[templates.length - 1]! -= 1
    } else at += 1
  }
  return { code: code.join(''), bare: bare.join('') }
}
