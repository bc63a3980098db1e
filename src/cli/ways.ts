import { displayName, parseTarget } from '../connect/target.ts'
import { visibleLine } from './format/escape.ts'
import { expandList } from './ranges.ts'
import { refusePassword, withAccount } from './targets.ts'
import { usageError } from './usage-error.ts'

/** Contexts between here and a target, at most. Every one costs a round trip of its own, and one more place that can fail. */
export const MOST_HOPS = 16

/** One connect() of a way. */
export interface Step {
  /** What connect() is given. */
  target: string
  /** The name that the context will have in paths. */
  name: string
  /** SSH servers that only carry TCP, as `ssh -J` takes them. */
  jump: string | undefined
  /**
   * Whether this is the target, or the machine on which it is (web1 for `sudo:root via:web1`): flags that describe targets hold
   * for those, and not for the bastions before them.
   */
  own: boolean
  /** Equal for steps that are one connection. */
  key: string
}

/** A target and how it is reached. */
export interface Place {
  /** As the person wrote it, its words included: what results are named by. */
  label: string
  /** From here to the target, which is the last one. */
  steps: Step[]
}

/** What flags say about ways. */
export interface WayFlags {
  via?: readonly string[] | undefined
  jump?: readonly string[] | undefined
  user?: string | undefined
  port?: number | undefined
}

interface Entry {
  label: string
  name: string
  via: string[]
  jump: string[]
  /** It has words: the flags do not count. */
  hasWords: boolean
}

interface Bare {
  name: string
  jump: string[]
}

/**
 * The ways to targets, whose texts are names with `via:HOP` and `jump:HOST` words behind them. Words stand in the order of the
 * way: `x via:a via:b` is b behind a, and x behind b. Jumps are for the first machine of a way, since they are TCP from here. A
 * target with words takes no way from the flags; `none` stands for no hop at all. A hop that is itself a target of the command
 * line is reached the way that target is, if it is the first of the hops and no jump is given with it.
 */
export function readWays(texts: readonly string[], flags: WayFlags): Place[] {
  const defaults = { via: hopList(flags.via ?? [], '--via'), jump: hopList(flags.jump ?? [], '--jump') }
  const entries = texts.map((text) => readEntry(text, defaults))
  const byName = new Map<string, Entry[]>()
  for (const entry of entries) {
    const name = canonical(entry.name)
    const others = byName.get(name)
    if (others === undefined) byName.set(name, [entry])
    else others.push(entry)
  }
  return entries.map((entry) => ({ label: entry.label, steps: readSteps(wayOf(entry, byName, []), byName, flags) }))
}

function readEntry(text: string, defaults: { via: string[]; jump: string[] }): Entry {
  const [name = '', ...words] = text.split(' ')
  if (words.length === 0) {
    // A bastion that is a target too is reached without itself.
    return { label: text, name, via: before(name, defaults.via), jump: before(name, defaults.jump), hasWords: false }
  }
  const named = (kind: string): string[] => words.filter((word) => word.toLowerCase().startsWith(kind)).flatMap((word) => hopList([word.slice(kind.length)], kind))
  return { label: text, name, via: named('via:'), jump: named('jump:'), hasWords: true }
}

/** 'a,b' and a, b apart → ['a', 'b']; 'none' → []. */
function hopList(texts: readonly string[], source: string): string[] {
  return texts.flatMap((text) => text.split(',')).map((text) => text.trim()).flatMap((text) => {
    if (text === 'none') return []
    // A range would be a chain here: surely not what is meant.
    const names = expandList(text)
    if (text === '' || /\s/.test(text) || names.length !== 1 || names[0] !== text) {
      throw usageError(`'${source.endsWith(':') ? source : `${source} `}${visibleLine(text)}' names no hop`, 'a hop is one target, such as bastion or ops@gate:2222; for several write a,b or repeat it')
    }
    refusePassword(text)
    return [text]
  })
}

function before(name: string, hops: readonly string[]): string[] {
  const at = kindOf(name) === 'ssh' ? hops.findIndex((hop) => canonical(hop) === canonical(name)) : -1
  return at < 0 ? [...hops] : hops.slice(0, at)
}

/** `resolving`: the entries that wait for this one. */
function wayOf(entry: Entry, byName: ReadonlyMap<string, readonly Entry[]>, resolving: readonly Entry[]): Bare[] {
  const at = resolving.indexOf(entry)
  if (at >= 0) throw cycle([...resolving.slice(at).flatMap(({ name, via }) => [name, ...via.slice(1).toReversed()]), entry.name])
  if (resolving.length > MOST_HOPS) throw tooDeep(resolving[0]!.name)
  const [first, ...rest] = [...entry.via, entry.name]
  // local: is where we are, whatever else is called so.
  const known = rest.length === 0 || entry.jump.length > 0 || kindOf(first) === 'local' ? [] : (byName.get(canonical(first)) ?? []).filter((other) => other !== entry)
  if (known.length > 1) {
    throw usageError(`'${entry.label}': there are ${known.length} targets named ${first}`, `write the whole way to the one that is meant, such as '${entry.name} ${known[0]!.via.map((hop) => `via:${hop} `).join('')}via:${first}'`)
  }
  const start = known[0] === undefined ? [{ name: first, jump: entry.jump }] : wayOf(known[0], byName, [...resolving, entry])
  return [...start, ...rest.map((name) => ({ name, jump: [] }))]
}

function readSteps(way: readonly Bare[], byName: ReadonlyMap<string, readonly Entry[]>, flags: WayFlags): Step[] {
  refuseRepeats(way)
  if (way.length - 1 > MOST_HOPS) throw tooDeep(way.at(-1)!.name)
  const machine = way.findLastIndex(({ name }) => kindOf(name) === 'ssh')
  let key = ''
  return way.map(({ name, jump }, index) => {
    if (jump.length > 0 && kindOf(name) !== 'ssh') throw usageError(`${name} can't be reached by a jump`, 'a jump leads to an SSH server; for what runs there, add via:')
    const own = index >= machine || byName.has(canonical(name))
    const target = own ? safely(name, () => withAccount(name, flags)) : name
    const step = { target, name: canonical(target), jump: jump.length === 0 ? undefined : jump.join(','), own }
    key = JSON.stringify([key, step.name, step.jump, own])
    return { ...step, key }
  })
}

/** The same machine twice on one way. What is relative to its parent (sudo:root, docker:web, local:) may well come again. */
function refuseRepeats(way: readonly Bare[]): void {
  const names = way.map(({ name }) => canonical(name))
  names.forEach((name, index) => {
    const again = names.indexOf(name, index + 1)
    if (again > 0 && kindOf(name) === 'ssh') throw cycle(way.slice(index, again + 1).map((bare) => bare.name).toReversed())
  })
  for (const { name, jump } of way) {
    if (jump.some((hop) => canonical(hop) === canonical(name))) throw usageError(`the way to ${name} is a cycle: ${name} by a jump over ${name}`)
  }
}

function tooDeep(name: string): Error {
  return usageError(`the way to ${name} has more than ${MOST_HOPS} hops`, 'each hop is one more place that can fail; a machine nearer to the target may be reachable from here')
}

function cycle(names: readonly string[]): Error {
  return usageError(`the way to ${names[0]!} is a cycle: ${names.join(' via ')}`, 'take one of these via: away')
}

function kindOf(name: string): string {
  return safely('ssh', () => parseTarget(name).kind)
}

/** One text for every way to write a target. */
function canonical(name: string): string {
  return safely(name, () => displayName(parseTarget(name)))
}

/** What names no target is found out when it is connected to, and is that target's failure alone. */
function safely<T>(otherwise: T, read: () => T): T {
  try {
    return read()
  } catch {
    return otherwise
  }
}
