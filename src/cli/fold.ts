import { expandList } from './ranges.ts'

/**
 * Names as one list, as expandList() reads it: web1 web2 web3 db is `web[1-3],db`. Of names with several numbers, the last in
 * which they differ is folded. What would not come back as it was stays as it is.
 */
export function foldNames(names: readonly string[]): string {
  let left = [...names]
  const most = Math.max(0, ...left.map((name) => numbersOf(name).length))
  // From the right: in web1.rack2:22 the port is the same everywhere, and in r1n1 r1n2 r2n1 the node varies most.
  for (let fromRight = 1; fromRight <= most; fromRight++) left = foldAt(left, fromRight)
  return left.join(',')
}

interface Hole {
  before: string
  digits: string
  after: string
}

function foldAt(names: readonly string[], fromRight: number): string[] {
  const groups = new Map<string, { name: string; hole: Hole | undefined }[]>()
  for (const name of names) {
    const hole = holeAt(name, fromRight)
    const key = hole === undefined ? `= ${name}` : `${hole.before}[]${hole.after}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [{ name, hole }])
    else group.push({ name, hole })
  }
  return [...groups.values()].flatMap((group) => {
    const { name, hole } = group[0]!
    if (group.length === 1 || hole === undefined) return [name]
    const folded = `${hole.before}[${ranges(group.map((one) => one.hole!.digits)).join(',')}]${hole.after}`
    return expandList(folded).length === group.length ? [folded] : group.map((one) => one.name)
  })
}

function holeAt(name: string, fromRight: number): Hole | undefined {
  const number = numbersOf(name).at(-fromRight)
  if (number === undefined || number.digits.length > 15) return undefined
  return { before: name.slice(0, number.index), digits: number.digits, after: name.slice(number.index + number.digits.length) }
}

/** Brackets mean something else already, or have been folded. */
function numbersOf(name: string): { digits: string; index: number }[] {
  return name.includes('[') ? [] : [...name.matchAll(/\d+/g)].map(({ 0: digits, index }) => ({ digits, index }))
}

/** '1','2','3','7' → '1-3','7'. The width of the first of a range holds for all of it. */
function ranges(numbers: readonly string[]): string[] {
  const sorted = [...new Set(numbers)].toSorted((a, b) => a.length - b.length || Number(a) - Number(b))
  const found: { first: string; last: string }[] = []
  for (const text of sorted) {
    const open = found.at(-1)
    const next = open === undefined ? undefined : String(Number(open.last) + 1).padStart(open.first.length, '0')
    if (open !== undefined && text === next) open.last = text
    else found.push({ first: text, last: text })
  }
  return found.map(({ first, last }) => first === last ? first : `${first}-${last}`)
}
