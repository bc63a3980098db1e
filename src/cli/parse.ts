import { parseArgs } from 'node:util'
import { OPTIONS, REFUSED_OPTIONS, optionSpec } from './options.ts'
import type { Flags, OptionName, OptionSpec } from './options.ts'
import { nearest } from './nearest.ts'
import { usageError } from './usage-error.ts'
import { visibleLine } from './format/escape.ts'

export interface CommandLine {
  /** What is no option, in order; the command's own words come first. */
  words: string[]
  flags: Flags
}

const NAMES = Object.keys(OPTIONS) as OptionName[]
const NEGATIVE_NUMBER = /^-\d/

/** Reads an argv (without program and script). Which options a command takes is checked once the command is known. */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const { tokens } = parseArgs({ args: [...argv], strict: false, allowPositionals: true, tokens: true, options: parserOptions() })
  const words: string[] = []
  const found = new Map<OptionName, (string | number | boolean)[]>()
  let numberAt = -1
  for (const token of tokens) {
    if (token.kind === 'positional') words.push(token.value)
    if (token.kind !== 'option' || token.index === numberAt) continue
    const word = argv[token.index]!
    // A JSON argument such as -5 is no group of short options.
    if (NEGATIVE_NUMBER.test(word)) {
      numberAt = token.index
      words.push(word)
      continue
    }
    const name = NAMES.find((known) => known === token.name)
    if (name === undefined) throw unknownOption(token.name, token.rawName, words.length > 1)
    const value = readValue(name, optionSpec(name), token.value)
    const values = found.get(name) ?? []
    found.set(name, [...values, value])
  }
  return { words, flags: collect(found) }
}

/** Throws for an option that the command does not have. */
export function checkOptions(flags: Flags, allowed: readonly OptionName[], command: string): void {
  for (const name of Object.keys(flags) as OptionName[]) {
    if (!allowed.includes(name)) throw usageError(`'ramet ${command}' has no option --${name}`)
  }
}

function parserOptions(): Record<string, { type: 'string' | 'boolean'; short?: string; multiple: boolean }> {
  return Object.fromEntries(NAMES.map((name) => {
    const spec = optionSpec(name)
    return [name, { type: spec.kind === 'flag' ? 'boolean' : 'string', multiple: true, ...(spec.short === undefined ? {} : { short: spec.short }) }]
  }))
}

function unknownOption(name: string, rawName: string, afterWords: boolean): Error {
  const refusal = Object.hasOwn(REFUSED_OPTIONS, name) ? REFUSED_OPTIONS[name] : undefined
  if (refusal !== undefined) return usageError(refusal)
  const shown = visibleLine(rawName)
  if (rawName.startsWith('--')) {
    const guess = nearest(name, NAMES)
    return usageError(`unknown option '${shown}'`, guess === undefined ? '' : `did you mean --${guess}?`)
  }
  return usageError(`unknown option '${shown}'`, afterWords ? "put a command for the targets in quotes, or write '--' before words that begin with '-'" : '')
}

function readValue(name: OptionName, spec: OptionSpec, text: string | undefined): string | number | boolean {
  if (spec.kind === 'flag') {
    if (text !== undefined) throw usageError(`--${name} takes no value`)
    return true
  }
  if (text === undefined || text === '') throw usageError(`--${name} needs a value: --${name} ${spec.value}`)
  if (spec.kind === 'text') {
    if (spec.choices === undefined || spec.choices.includes(text)) return text
    const guess = nearest(text, spec.choices)
    throw usageError(`--${name} is one of ${spec.choices.join(', ')}, not '${visibleLine(text)}'`, guess === undefined ? '' : `did you mean ${guess}?`)
  }
  const number = /^\d+(\.\d+)?$|^\.\d+$/.test(text) ? Number(text) : NaN
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = spec
  const whole = spec.kind !== 'integer' || Number.isInteger(number)
  if (!whole || !(number >= min && number <= max)) {
    throw usageError(`--${name} is a ${spec.kind === 'integer' ? 'whole number' : 'number of seconds'} from ${min} to ${max}, not '${visibleLine(text)}'`)
  }
  return number
}

function collect(found: Map<OptionName, (string | number | boolean)[]>): Flags {
  const entries: [string, unknown][] = []
  for (const [name, values] of found) {
    const many = optionSpec(name).many === true
    if (!many && values.length > 1 && values[0] !== true) throw usageError(`--${name} was given ${values.length} times`)
    entries.push([name, many ? values : values[0]])
  }
  return Object.fromEntries(entries) as Flags
}
