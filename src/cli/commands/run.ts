import type { ExecOptions, SpawnOptions } from '../../controller/api.ts'
import { milliseconds } from '../connect-flags.ts'
import type { Desk } from '../desk.ts'
import { onTargets } from '../on-targets.ts'
import { TARGET_OPTIONS } from '../options.ts'
import type { Flags } from '../options.ts'
import { fileBytes, fileText, stdinText } from '../read-input.ts'
import { runStreamed } from '../streamed.ts'
import { usageError } from '../usage-error.ts'
import type { Command } from './command.ts'

export const runCommand: Command = {
  name: 'run',
  words: [['command', 'run'], ['run']],
  usage: "run '<command>' -t LIST [options]",
  summary: 'runs a command on every target',
  details: [
    'One word is a line for /bin/sh there; @FILE takes it from a file here, - from stdin.',
    'Several words are a program and its arguments, which no shell sees: ramet run -t web1 -- ls -l "my file"',
  ],
  examples: ["ramet run 'uptime' -t web1,web2", "ramet run 'uname -r' -t web[01-20] --via bastion -b", "ramet run 'df -h /' -t web[01-20] -c 10", "ramet run 'tail -F /var/log/syslog' -t web1,web2 --stream", 'ramet run @install.sh -t @hosts.txt --timeout 300 --format json'],
  options: [...TARGET_OPTIONS, 'fold', 'stream', 'cwd', 'env', 'stdin'],

  async run(desk, words, flags) {
    if (flags.stream === true) checkStream(flags)
    const command = await readCommand(desk, words, flags)
    const place: SpawnOptions = {}
    if (flags.cwd !== undefined) place.cwd = flags.cwd
    if (flags.env !== undefined) place.env = environment(flags.env)
    const timeout = flags.timeout === undefined ? undefined : milliseconds(flags.timeout)
    const stdin = flags.stdin === undefined ? undefined : flags.stdin === '-' ? await desk.readStdin() : await fileBytes(desk, flags.stdin)
    const options: ExecOptions & { encoding: 'buffer' } = { ...place, encoding: 'buffer' }
    if (timeout !== undefined) options.timeout = timeout
    if (stdin !== undefined) options.stdin = stdin
    return onTargets(desk, flags, {
      command: 'run',
      object: typeof command === 'string' ? command : command.join(' '),
      // One command on a cold target needs no interpreter there, and starts sooner without one.
      runtime: 'raw',
      logLevel: 'warn',
      work: async (context, reach) => flags.stream === true
        ? runStreamed(context, command, { options: place, stdin, timeout }, reach, desk.stdout)
        : { kind: 'command', result: await context.exec(command, { ...options, signal: reach.signal }) },
    })
  },
}

function checkStream(flags: Flags): void {
  if (flags.fold === true) throw usageError('--stream and --fold exclude each other', 'equal results are known at the end')
  if (flags.format === 'json') throw usageError('--stream is for --format human and jsonl', 'json is one document')
}

async function readCommand(desk: Desk, words: readonly string[], flags: Flags): Promise<string | string[]> {
  const [first, ...others] = words
  if (first === undefined) throw usageError('no command was given', "write for example ramet run 'uptime' -t web1")
  if (others.length > 0) return [...words]
  const text = await commandText(desk, first)
  if (text.trim() === '') throw usageError('the command is empty')
  const readers = [first === '-', flags.stdin === '-', flags.targets?.some((list) => list.split(/[,\s]/).includes('-')) === true]
  if (readers.filter(Boolean).length > 1) throw usageError('stdin can be read for one purpose only: the command, --stdin or the targets')
  return text
}

async function commandText(desk: Desk, word: string): Promise<string> {
  if (word === '-') return stdinText(desk)
  return word.startsWith('@') && word.length > 1 ? fileText(desk, word.slice(1)) : word
}

function environment(pairs: readonly string[]): Record<string, string | undefined> {
  return Object.fromEntries(pairs.map((pair) => {
    const cut = pair.indexOf('=')
    const name = cut < 0 ? pair : pair.slice(0, cut)
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw usageError(`'${name}' is no name of an environment variable`, 'write --env NAME=VALUE')
    return [name, cut < 0 ? undefined : pair.slice(cut + 1)]
  }))
}
