import { isRametError } from '../router/errors.ts'
import { COMMANDS } from './commands/index.ts'
import type { Command } from './commands/command.ts'
import type { Desk } from './desk.ts'
import { failureOf } from './outcome.ts'
import { visible, visibleLine } from './format/escape.ts'
import { commandHelp, generalHelp } from './help.ts'
import { nearest } from './nearest.ts'
import { COMMON_OPTIONS } from './options.ts'
import { checkOptions, parseCommandLine } from './parse.ts'
import { usageError } from './usage-error.ts'

/** Runs one command line (without program and script). Resolves to the exit code, whatever happens. */
export async function program(argv: readonly string[], desk: Desk, version: () => string): Promise<number> {
  let command: Command | undefined
  try {
    const { words, flags } = parseCommandLine(argv)
    if (flags.version === true) return say(desk, `${version()}\n`)
    const asked = words[0] === 'help' ? words.slice(1) : words
    const found = findCommand(asked)
    command = found?.command
    if (flags.help === true || words[0] === 'help') return say(desk, helpText(found?.command, asked))
    if (words.length === 0) {
      desk.stderr.write(generalHelp())
      return 1
    }
    if (found === undefined) throw unknownCommand(words)
    checkOptions(flags, [...found.command.options, ...COMMON_OPTIONS], found.command.name)
    return await found.command.run(desk, words.slice(found.length), flags)
  } catch (error) {
    desk.stderr.write(errorText(error, command))
    return 1
  }
}

function findCommand(words: readonly string[]): { command: Command; length: number } | undefined {
  for (const command of COMMANDS) {
    for (const own of command.words) {
      if (own.every((word, index) => words[index] === word)) return { command, length: own.length }
    }
  }
  return undefined
}

function helpText(command: Command | undefined, words: readonly string[]): string {
  if (command !== undefined) return commandHelp(command)
  if (words.length > 0) throw unknownCommand(words)
  return generalHelp()
}

function unknownCommand(words: readonly string[]): Error {
  const [first = '', second] = words
  const known = [...new Set(COMMANDS.flatMap(({ words: own }) => own.map((alias) => alias[0]!)))]
  const longer = COMMANDS.flatMap(({ words: own }) => own).find((alias) => alias.length > 1 && alias[0] === first)
  if (longer !== undefined) {
    return usageError(`'ramet ${visibleLine(first)}${second === undefined ? '' : ` ${visibleLine(second)}`}' is no command`, `did you mean 'ramet ${longer.join(' ')}'?`)
  }
  const guess = nearest(first, known)
  return usageError(`unknown command '${visibleLine(first)}'`, guess === undefined ? '' : `did you mean '${guess}'?`)
}

function say(desk: Desk, text: string): number {
  desk.stdout.write(text)
  return 0
}

function errorText(error: unknown, command: Command | undefined): string {
  const { code, message, stage, hint, cause } = failureOf(error)
  const isUsage = isRametError(error) && code === 'usage'
  const lines = [
    `ramet: ${isUsage ? '' : `${code}${stage === undefined ? '' : ` at stage ${stage}`}: `}${message}${isUsage && hint !== '' ? `; ${hint}` : ''}`,
    ...(isUsage || hint === '' ? [] : [`hint: ${hint}`]),
    ...(isUsage ? [`'ramet ${command === undefined ? '' : `${command.name} `}--help' tells more`] : []),
    ...(isRametError(error) || cause?.stack === undefined ? [] : [cause.stack]),
  ]
  return `${visible(lines.join('\n'))}\n`
}
