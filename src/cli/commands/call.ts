import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { CallOptions, SentFile } from '../../controller/api.ts'
import { milliseconds } from '../connect-flags.ts'
import type { Desk } from '../desk.ts'
import { visibleJson, visibleLine } from '../format/escape.ts'
import { onTargets } from '../on-targets.ts'
import { TARGET_OPTIONS } from '../options.ts'
import type { Flags } from '../options.ts'
import type { Body } from '../outcome.ts'
import { fileBytes } from '../read-input.ts'
import { usageError } from '../usage-error.ts'
import type { Command } from './command.ts'

type AnyModule = Record<string, (...args: unknown[]) => unknown>

export const callCommand: Command = {
  name: 'call',
  words: [['call']],
  usage: 'call FILE EXPORT [JSON ...] -t LIST [options]',
  summary: 'calls a function of a file here on every target',
  details: [
    'FILE (.ts, .js, .mts, ...) and what it imports go along, into the memory of a Node on the target.',
    "Each word after EXPORT is one argument, written as JSON: 5, true, '\"text\"', '{\"a\":[1,2]}'.",
    'ramet call FILE --list shows what would leave this machine and contacts nobody.',
  ],
  examples: ['ramet call tasks.ts diskUsage \'"/var"\' -t web1,web2', 'ramet call tasks.ts --list'],
  options: [...TARGET_OPTIONS, 'fold', 'list'],

  async run(desk, words, flags) {
    const [name, exported, ...jsonWords] = words
    if (name === undefined) throw usageError('no file was given', 'ramet call FILE EXPORT [JSON ...] -t LIST')
    const file = resolve(desk.cwd, name)
    // Says now, and not once per target, that the file can't be read.
    await fileBytes(desk, file)
    if (flags.list === true) return listFiles(desk, file, flags)
    if (exported === undefined) throw usageError(`no function of ${name} was named`, 'ramet call FILE EXPORT [JSON ...] -t LIST')
    if (exported === 'files') throw usageError("an export named 'files' can't be called from the command line", 'give the function a second name')
    const args = jsonWords.map(readJson)
    const options: CallOptions = flags.timeout === undefined ? {} : { timeout: milliseconds(flags.timeout) }
    const keepItems = flags.format === 'json'
    return onTargets(desk, flags, {
      command: 'call',
      object: `${name} ${exported}`,
      runtime: 'node',
      // What the function prints is part of what the person wants to see.
      logLevel: 'info',
      async work(context, { signal, item }) {
        const module = context.with({ ...options, signal }).use<AnyModule>(pathToFileURL(file))
        const call = module[exported] as (...args: unknown[]) => Promise<unknown>
        const value = await call(...args)
        return isStream(value) ? collect(value, item, keepItems) : { kind: 'call', value }
      },
    })
  },
}

function readJson(word: string, index: number): unknown {
  try {
    return JSON.parse(word) as unknown
  } catch (cause) {
    const quoted = /^[\w./:-]+$/.test(word) ? `a text is written '"${word}"'` : "texts need double quotes inside the shell's: '\"text\"'"
    throw usageError(`argument ${index + 1} of the function is no JSON: ${visibleLine(word)}`, quoted, cause)
  }
}

function isStream(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

async function collect(stream: AsyncIterable<unknown>, item: (value: unknown) => void, keep: boolean): Promise<Body> {
  const items: unknown[] = []
  let count = 0
  for await (const value of stream) {
    count++
    item(value)
    if (keep) items.push(value)
  }
  return { kind: 'stream', count, items: keep ? items : undefined }
}

async function listFiles(desk: Desk, file: string, flags: Flags): Promise<number> {
  const files = await desk.listFiles(file)
  if (flags.format === 'json') desk.stdout.write(visibleJson(`${JSON.stringify({ files, bytes: total(files) })}\n`))
  else if (flags.format === 'jsonl') desk.stdout.write(files.map((sent) => visibleJson(`${JSON.stringify({ v: 1, type: 'file', ...sent })}\n`)).join(''))
  else desk.stdout.write(fileTable(files))
  return 0
}

function fileTable(files: readonly SentFile[]): string {
  const width = String(total(files)).length
  const rows = files.map(({ file, bytes, hash }) => `${hash}  ${String(bytes).padStart(width)}  ${visibleLine(file)}\n`)
  return `${rows.join('')}${files.length} file${files.length === 1 ? '' : 's'}, ${total(files)} bytes before compression\n`
}

function total(files: readonly SentFile[]): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0)
}
