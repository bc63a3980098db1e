import { usageError } from './usage-error.ts'

/** Most names that one list of targets may stand for. */
export const MOST_TARGETS = 65_536

const RANGE = /^(\d+)(?:-(\d+)(?:\/(\d+))?)?$/

/** A word that belongs to the target before it, and says how that one is reached. */
const WAY_WORD = /^(?:via|jump):/i

/**
 * Splits a list of targets at commas and white space, but not inside brackets, and expands ranges as ClusterShell writes them:
 * `web[01-03,07].lan` is web01.lan web02.lan web03.lan web07.lan, `n[0-8/2]` counts by two. Other brackets ([::1]:22) stay.
 * Words that say how a target is reached stay behind its name, one space between them: `web[1-2]  via:gw` is `web1 via:gw`, `web2 via:gw`.
 */
export function expandList(list: string): string[] {
  const names = splitList(list).flatMap((text) => expandWord(text))
  if (names.length > MOST_TARGETS) throw tooMany(list)
  return names
}

function splitList(list: string): string[] {
  const targets: string[] = []
  for (const part of splitOutside(list, /[,\n]/, list)) {
    const from = targets.length
    for (const word of splitOutside(part, /\s/, list)) {
      if (!WAY_WORD.test(word)) {
        targets.push(word)
        continue
      }
      if (targets.length === from) throw usageError(`'${word}' stands behind no target in '${list}'`, "write it behind a name, in quotes: -t 'web1 via:bastion'")
      targets.push(`${targets.pop()!} ${word}`)
    }
  }
  return targets
}

/** What stands between separators that are outside of brackets, without what is empty. */
function splitOutside(text: string, separator: RegExp, whole: string): string[] {
  const words: string[] = []
  let word = ''
  let depth = 0
  for (const char of text) {
    if (char === '[') depth++
    if (char === ']' && depth > 0) depth--
    if (depth === 0 && separator.test(char)) {
      if (word !== '') words.push(word)
      word = ''
    } else {
      word += char
    }
  }
  if (depth > 0) throw usageError(`a '[' is not closed in the targets '${whole}'`)
  if (word !== '') words.push(word)
  return words
}

function expandWord(word: string): string[] {
  const open = word.indexOf('[')
  const close = word.indexOf(']', open)
  if (open < 0 || close < 0) return [word]
  const inside = word.slice(open + 1, close)
  const heads = /^[\d,/\s-]*$/.test(inside) ? numbers(inside, word) : [`[${inside}]`]
  const tails = expandWord(word.slice(close + 1))
  if (heads.length * tails.length > MOST_TARGETS) throw tooMany(word)
  const before = word.slice(0, open)
  return heads.flatMap((head) => tails.map((tail) => before + head + tail))
}

/** '01-03,07' → ['01', '02', '03', '07']; the width of the first number holds for its range. */
function numbers(text: string, word: string): string[] {
  let count = 0
  return text.split(',').flatMap((part) => {
    const match = RANGE.exec(part.trim())
    if (match === null) throw usageError(`'[${text}]' in the target '${word}' is no range`, 'ranges look like web[01-20], web[1,3,5-9] or web[0-8/2]')
    const [, first, last = first, step = '1'] = match
    const from = Number(first)
    const to = Number(last)
    const by = Number(step)
    if (to < from || by === 0) throw usageError(`the range '${part}' in the target '${word}' is empty`)
    count += Math.floor((to - from) / by) + 1
    if (count > MOST_TARGETS) throw tooMany(word)
    return Array.from({ length: Math.floor((to - from) / by) + 1 }, (_, index) => String(from + index * by).padStart(first!.length, '0'))
  })
}

function tooMany(list: string): Error {
  return usageError(`'${list.slice(0, 60)}' stands for more than ${MOST_TARGETS} targets`)
}
