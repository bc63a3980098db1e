import { COMMANDS } from './commands/index.ts'
import type { Command } from './commands/command.ts'
import { COMMON_OPTIONS, optionSpec } from './options.ts'
import type { OptionName, OptionSpec } from './options.ts'

/** Columns that help lines may have. */
const WIDTH = 100

/** How targets are reached, for every command that has some. */
const WAYS = [
  'Ways:',
  "  -t 'web[1-9] via:bastion, db via:bastion via:inner, sudo:root via:web1, x jump:gate'",
  ...wrap([
    'Words behind a name, in quotes, say how it is reached; --via and --jump say it for targets that have none.',
    'via: is a context from which the next is opened: it needs a Node, and it can see what passes.',
    'jump: is an SSH server that only carries TCP to the first machine of the way.',
    'A hop that is a target itself is reached the way that target is. none stands for no hop.',
    'Account, port, password and --node are for a target and the machine it is on, keys and host keys for every connection of the way.',
  ].join(' '), WIDTH - 2).map((line) => `  ${line}`),
  '',
]

export function generalHelp(): string {
  const commands = COMMANDS.map(({ name, summary }) => [name, summary] as const)
  return [
    'ramet: one SSH connection per machine; commands and typed calls over it',
    '',
    'Usage:',
    ...COMMANDS.map(({ usage }) => `  ramet ${usage}`),
    '',
    'Commands:',
    ...table(commands),
    '',
    'Options:',
    ...table(COMMON_OPTIONS.map((name) => optionRow(name))),
    '',
    "'ramet help COMMAND' tells all about one command.",
    'Exit code: 0 all is well; 1 a target failed, or the usage was wrong; 130 interrupted.',
    '',
  ].join('\n')
}

export function commandHelp(command: Command): string {
  return [
    `Usage: ramet ${command.usage}`,
    '',
    `${command.name} ${command.summary}.`,
    ...command.details.flatMap((line) => wrap(line, WIDTH)),
    '',
    'Examples:',
    ...command.examples.map((example) => `  ${example}`),
    '',
    ...(command.options.includes('via') ? WAYS : []),
    'Options:',
    ...table([...command.options, ...COMMON_OPTIONS].map((name) => optionRow(name, command.says?.[name]))),
    '',
  ].join('\n')
}

function optionRow(name: OptionName, own: Partial<OptionSpec> = {}): readonly [string, string] {
  const { short, value, choices, fallback, many, help } = { ...optionSpec(name), ...own }
  const left = `${short === undefined ? '    ' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`
  const notes = [
    ...(choices === undefined || choices.every((choice) => help.includes(`${choice}: `)) ? [] : [choices.join(', ')]),
    ...(many === true ? ['may be repeated'] : []),
    ...(fallback === undefined ? [] : [`default: ${fallback}`]),
  ]
  return [left, notes.length === 0 ? help : `${help} (${notes.join('; ')})`]
}

function table(rows: readonly (readonly [string, string])[]): string[] {
  const left = Math.max(...rows.map(([name]) => name.length))
  return rows.flatMap(([name, text]) => wrap(text, WIDTH - left - 4).map((line, index) => `  ${(index === 0 ? name : '').padEnd(left)}  ${line}`))
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else {
      line = line === '' ? word : `${line} ${word}`
    }
  }
  return [...lines, line]
}
