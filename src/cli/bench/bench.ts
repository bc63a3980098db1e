import { setMaxListeners } from 'node:events'
import { constants, existsSync, statSync } from 'node:fs'
import { access, rm, writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { isLive } from '../desk.ts'
import type { Desk, StopSignal } from '../desk.ts'
import { visible, visibleJson } from '../format/escape.ts'
import { StatusLine } from '../format/status-line.ts'
import { recordLogger } from '../logger.ts'
import type { Flags } from '../options.ts'
import { Prompter } from '../prompter.ts'
import { fileText, stdinText } from '../read-input.ts'
import { readTargets } from '../targets.ts'
import { usageError } from '../usage-error.ts'
import { readWays } from '../ways.ts'
import type { Place } from '../ways.ts'
import { BenchRun } from './bench-run.ts'
import { bars, blockFor } from './bars.ts'
import { KINDS } from './contender.ts'
import type { Report } from './contender.ts'
import { document } from './document.ts'
import { startEmbedded } from './embedded.ts'
import type { EmbeddedServer } from './embedded.ts'
import { figuresOf, plural } from './figures.ts'
import { svg } from './svg.ts'
import { remarks, table } from './table.ts'

const SIGNAL_NUMBERS: Record<StopSignal, number> = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 }

const TITLES = { command: 'A shell command', function: 'A function' }

/** Measures and reports. Resolves to the exit code. */
export async function bench(desk: Desk, given: Flags): Promise<number> {
  if (given.format === 'jsonl') throw usageError("'ramet bench' has no --format jsonl", 'take json: one document at the end')
  const picture = given.svg === undefined ? undefined : await writable(resolve(desk.cwd, given.svg), given.svg)
  const stop = new AbortController()
  // Every call that is under way listens: many of them are no leak that Node would have to warn of.
  setMaxListeners(0, stop.signal)
  const live = isLive(desk.stderr, desk.env)
  let doing = ''
  const line = live ? new StatusLine(desk.stderr, desk.clock, () => doing) : undefined
  const say = (text: string): void => (line === undefined ? desk.stderr.write(text) : line.aside(() => desk.stderr.write(text)))
  let embedded: EmbeddedServer | undefined
  let run: BenchRun | undefined
  let signal: StopSignal | undefined
  let leaveNow = (): void => {}
  const leave = new Promise<void>((done) => {
    leaveNow = done
  })
  const interrupt = (name?: StopSignal): void => {
    if (stop.signal.aborted && signal !== undefined) return leaveNow()
    signal ??= name
    stop.abort(new Error('interrupted'))
  }
  const unwatch = desk.onSignal(interrupt)
  desk.stdout.onBroken(() => interrupt())
  try {
    if (given.targets === undefined) embedded = await startEmbedded(1, new URL('./embedded-server.js', import.meta.url))
    const flags = embedded === undefined ? given : embeddedFlags(given, embedded)
    const place = await onePlace(desk, flags)
    const prompter = prompterOf(desk, line, stop.signal)
    const password = flags['ask-password'] === true ? await askPassword(desk, stop.signal) : undefined
    run = new BenchRun({
      place, flags, password, prompts: prompter === undefined ? undefined : () => prompter.anew(), clock: desk.clock, stop, say,
      target: embedded === undefined ? place.label : 'a server of its own on this machine',
      logger: recordLogger(flags['log-level'] ?? 'error', ({ message }) => say(`${visible(message)}\n`)),
      notLocal: new Set(embedded === undefined ? [] : [embedded.pid]),
      progress: (text) => {
        doing = text
      },
    })
    const report = await Promise.race([run.run(), leave])
    line?.close()
    if (embedded !== undefined) report?.notes.push('This server is a Node program: it starts no process for a login, and sshd, which does, makes each connection dearer.')
    if (report === undefined) return 128 + SIGNAL_NUMBERS[signal ?? 'SIGINT']
    show(desk, given, report)
    if (picture !== undefined && report.rows.some(({ times }) => times.length > 0)) {
      const isNew = !existsSync(picture)
      await writeFile(picture, svg(report, figuresOf(report))).catch(async (error: unknown) => {
        // Half a picture is none.
        if (isNew) await rm(picture, { force: true }).catch(() => {})
        throw cannotWrite(given.svg!, error)
      })
      desk.stderr.write(`wrote ${given.svg}\n`)
    }
    if (signal !== undefined) return 128 + SIGNAL_NUMBERS[signal]
    return report.rows.some(({ times }) => times.length > 0) ? 0 : 1
  } catch (error) {
    if (signal === undefined) throw error
    return 128 + SIGNAL_NUMBERS[signal]
  } finally {
    line?.close()
    run?.leaveNothing()
    await Promise.race([embedded?.close(), leave])
    unwatch()
  }
}

function show(desk: Desk, { format }: Flags, report: Report): void {
  const figures = figuresOf(report)
  if (format === 'json') return desk.stdout.write(visibleJson(document(report, figures)))
  const width = desk.stdout.isTTY ? desk.stdout.columns : Infinity
  const block = blockFor(desk.env)
  const lines: string[] = []
  for (const kind of KINDS) {
    const rows = figures.filter((one) => one.kind === kind)
    if (rows.length === 0) continue
    lines.push(`${TITLES[kind]} on ${report.target}, ${plural(report.calls, 'call')} in ${plural(report.rounds, 'round')}, ${report.concurrency} at once:`, '', ...table(rows, width), '', ...bars(rows, desk.stdout.isTTY ? width : 80, block), '')
  }
  if (figures.length === 0) lines.push('Nothing was measured.', '')
  desk.stdout.write(visible(`${[...lines, ...remarks(report, figures)].join('\n')}\n`))
}

async function onePlace(desk: Desk, flags: Flags): Promise<Place> {
  const targets = await readTargets(flags.targets, { readFile: (path) => fileText(desk, path), readStdin: () => stdinText(desk) })
  if (targets.length > 1) throw usageError(`'ramet bench' measures one target, and here are ${targets.length}`)
  return readWays(targets, flags)[0]!
}

/** The target and how to log in to it, in place of those that were not given. */
function embeddedFlags(given: Flags, { targets, identityFile, knownHosts }: EmbeddedServer): Flags {
  return { ...given, 'targets': [`ssh://ramet@127.0.0.1:${targets[0]!.port}`], 'private-key': [identityFile], 'known-hosts': [knownHosts], 'ssh-config': 'none', 'host-keys': 'enforce' }
}

function prompterOf(desk: Desk, line: StatusLine | undefined, signal: AbortSignal): Prompter | undefined {
  const { askHidden } = desk
  return askHidden === undefined ? undefined : new Prompter(async (text) => {
    line?.hold()
    try {
      return await askHidden(text, signal)
    } finally {
      line?.release()
    }
  })
}

async function askPassword({ askHidden }: Desk, signal: AbortSignal): Promise<string> {
  if (askHidden === undefined) throw usageError('--ask-password needs a terminal', 'keys (--private-key, an agent) work without one')
  return askHidden('Password: ', signal)
}

/** Said before minutes are spent on what can't be kept. */
async function writable(path: string, shown: string): Promise<string> {
  try {
    const there = existsSync(path)
    await access(there ? path : dirname(path), constants.W_OK)
    if (!statSync(there ? path : dirname(path)).isDirectory() === there) return path
    throw new Error(there ? 'it is a directory' : `${dirname(path)} is no directory`)
  } catch (error) {
    throw cannotWrite(shown, error)
  }
}

function cannotWrite(shown: string, error: unknown): Error {
  return usageError(`can't write ${shown}: ${(error as Error).message}`, '', error)
}
