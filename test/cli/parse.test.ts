import { describe, expect, it } from 'vitest'
import { COMMANDS } from '../../src/cli/commands/index.ts'
import { commandHelp, generalHelp } from '../../src/cli/help.ts'
import { editDistance, nearest } from '../../src/cli/nearest.ts'
import { COMMON_OPTIONS, OPTIONS, optionSpec } from '../../src/cli/options.ts'
import type { OptionName } from '../../src/cli/options.ts'
import { parseCommandLine } from '../../src/cli/parse.ts'
import { FakeDesk } from './fake-desk.ts'

describe('the command line', () => {
  it('takes options before, between and after the words', () => {
    expect(parseCommandLine(['--format', 'json', 'run', '-t', 'a', 'uptime', '-t=b', '-c5'])).toEqual({
      words: ['run', 'uptime'], flags: { format: 'json', targets: ['a', '=b'], concurrency: 5 },
    })
  })

  it('takes what follows -- and negative numbers as words', () => {
    expect(parseCommandLine(['call', 'f.ts', 'add', '-5', '-1.5e3', '-t', 'a', '--', '-x', '--list'])).toEqual({
      words: ['call', 'f.ts', 'add', '-5', '-1.5e3', '-x', '--list'], flags: { targets: ['a'] },
    })
  })

  it('takes a lone dash as the value of -t and as a word', () => {
    expect(parseCommandLine(['run', '-', '-t', '-'])).toEqual({ words: ['run', '-'], flags: { targets: ['-'] } })
  })

  it.each([
    [['run', 'x', '--taregts', 'a'], "unknown option '--taregts'", 'did you mean --targets?'],
    [['run', 'x', '--conc', '3'], "unknown option '--conc'", 'did you mean --concurrency?'],
    [['run', 'ls', '-la'], "unknown option '-l'", "put a command for the targets in quotes, or write '--' before words that begin with '-'"],
    [['run', 'x', '--\u001b[31m'], "unknown option '--\\x1b[31m'", ''],
    [['run', 'x', '--format', 'jsno'], "--format is one of human, json, jsonl, not 'jsno'", 'did you mean json?'],
    [['run', 'x', '-c', '0'], "--concurrency is a whole number from 1 to 10000, not '0'", ''],
    [['run', 'x', '-c', '1.5'], "--concurrency is a whole number from 1 to 10000, not '1.5'", ''],
    [['run', 'x', '--timeout', 'soon'], "--timeout is a number of seconds from 0.001 to 2147483, not 'soon'", ''],
    [['run', 'x', '--port', '0x16'], "--port is a whole number from 1 to 65535, not '0x16'", ''],
    [['run', 'x', '--user'], '--user needs a value: --user NAME', ''],
    [['run', 'x', '--list=yes'], '--list takes no value', ''],
    [['run', 'x', '--user', 'a', '--user', 'b'], '--user was given 2 times', ''],
  ])('refuses %j', (argv, message, hint) => {
    expect(() => parseCommandLine(argv)).toThrow(expect.objectContaining({ code: 'usage', outcome: 'not-sent', message, hint }))
  })

  it('takes no password, and says what to use instead', () => {
    expect(() => parseCommandLine(['run', 'x', '--password', 'hunter2'])).toThrow(expect.objectContaining({ message: expect.stringContaining('--ask-password') }))
    expect(() => parseCommandLine(['run', 'x', '--password', 'hunter2'])).not.toThrow(/hunter2/)
  })

  it('takes fractions of seconds', () => {
    expect(parseCommandLine(['run', '--timeout', '0.5', '--connect-timeout', '.25']).flags).toEqual({ 'timeout': 0.5, 'connect-timeout': 0.25 })
  })
})

describe('nearest', () => {
  it('counts a swap of neighbours as one step', () => {
    expect(editDistance('taregts', 'targets')).toBe(1)
    expect(editDistance('', 'abc')).toBe(3)
    expect(editDistance('kitten', 'sitting')).toBe(3)
  })

  it('guesses nothing when nothing is near', () => {
    expect(nearest('frobnicate', ['run', 'call', 'ping'])).toBeUndefined()
    expect(nearest('pign', ['run', 'call', 'ping'])).toBe('ping')
  })
})

describe('help', () => {
  it.each(COMMANDS.map((command) => [command.name, command] as const))('of %s names every option that the command takes, and no other', (_, command) => {
    const text = commandHelp(command)
    const shown = [...text.matchAll(/^ {2}(?:-\w, | {4})--([a-z-]+)/gm)].map((match) => match[1])
    expect(shown).toEqual([...command.options, ...COMMON_OPTIONS])
  })

  it('has a place for every option of the table', () => {
    const used = new Set<string>([...COMMON_OPTIONS, ...COMMANDS.flatMap((command) => command.options)])
    expect([...used].toSorted()).toEqual(Object.keys(OPTIONS).toSorted())
  })

  it('explains every choice of an option', () => {
    const text = COMMANDS.map(commandHelp).join('\n')
    for (const name of Object.keys(OPTIONS) as OptionName[]) {
      for (const choice of optionSpec(name).choices ?? []) expect(text).toContain(choice)
    }
  })

  it('fits into 100 columns', () => {
    const lines = [generalHelp(), ...COMMANDS.map(commandHelp)].join('\n').split('\n')
    expect(lines.filter((line) => line.length > 100)).toEqual([])
  })

  it.each([[['--help']], [['help']], [['-h']]])('goes to stdout for %j', async (argv) => {
    const desk = new FakeDesk()
    expect(await desk.run(...argv)).toBe(0)
    expect(desk.stdout.text).toBe(generalHelp())
    expect(desk.stderr.text).toBe('')
  })

  it.each([[['run', '--help']], [['help', 'run']], [['help', 'command', 'run']], [['command', 'run', 'uptime', '-t', 'a', '-h']]])('of one command answers %j', async (argv) => {
    const desk = new FakeDesk()
    expect(await desk.run(...argv)).toBe(0)
    expect(desk.stdout.text).toBe(commandHelp(COMMANDS[0]!))
    expect(desk.opened).toEqual([])
  })

  it('without any word goes to stderr and fails', async () => {
    const desk = new FakeDesk()
    expect(await desk.run()).toBe(1)
    expect(desk.stderr.text).toBe(generalHelp())
    expect(desk.stdout.text).toBe('')
  })
})

describe('words that are no command', () => {
  it.each([
    [['rnu', 'x'], "ramet: unknown command 'rnu'; did you mean 'run'?\n'ramet --help' tells more\n"],
    [['frobnicate'], "ramet: unknown command 'frobnicate'\n'ramet --help' tells more\n"],
    [['command', 'rnu'], "ramet: 'ramet command rnu' is no command; did you mean 'ramet command run'?\n'ramet --help' tells more\n"],
    [['command'], "ramet: 'ramet command' is no command; did you mean 'ramet command run'?\n'ramet --help' tells more\n"],
    [['help', 'rnu'], "ramet: unknown command 'rnu'; did you mean 'run'?\n'ramet --help' tells more\n"],
    [['ping', 'web1', '-t', 'a'], "ramet: 'ramet ping' takes no word: web1; name the targets with -t\n'ramet ping --help' tells more\n"],
    [['ping', '--cwd', '/', '-t', 'a'], "ramet: 'ramet ping' has no option --cwd\n'ramet ping --help' tells more\n"],
    [['run', '-t', 'a'], "ramet: no command was given; write for example ramet run 'uptime' -t web1\n'ramet run --help' tells more\n"],
    [['run', 'x'], "ramet: no targets were named; write for example -t web1,deploy@web2\n'ramet run --help' tells more\n"],
  ])('%j', async (argv, text) => {
    const desk = new FakeDesk()
    expect(await desk.run(...argv)).toBe(1)
    expect(desk.stderr.text).toBe(text)
    expect(desk.stdout.text).toBe('')
    expect(desk.opened).toEqual([])
  })

  it('--version prints the version alone', async () => {
    const desk = new FakeDesk()
    expect(await desk.run('--version')).toBe(0)
    expect(desk.stdout.text).toBe('1.2.3\n')
  })
})
