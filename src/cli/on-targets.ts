import { isRametError } from '../router/errors.ts'
import type { Connecting } from '../controller/api.ts'
import { connectOptions } from './connect-flags.ts'
import { isLive } from './desk.ts'
import type { Desk, StopSignal } from './desk.ts'
import { Fleet } from './fleet.ts'
import type { Job, Reach } from './fleet.ts'
import { branchesFor } from './format/draw-tree.ts'
import { FoldedReporter } from './format/folded.ts'
import { HumanReporter } from './format/human.ts'
import { JsonReporter } from './format/json.ts'
import { JsonlReporter } from './format/jsonl.ts'
import { logText } from './format/log-text.ts'
import { paintFor } from './format/paint.ts'
import type { LogRecord, Reporter } from './format/reporter.ts'
import { summaryText } from './format/summary.ts'
import { WithStatus } from './format/with-status.ts'
import { recordLogger } from './logger.ts'
import type { Flags } from './options.ts'
import type { Body } from './outcome.ts'
import { Prompter } from './prompter.ts'
import { fileText, stdinText } from './read-input.ts'
import { readTargets } from './targets.ts'
import type { TreeNode } from './tree-node.ts'
import { usageError } from './usage-error.ts'
import { readWays } from './ways.ts'

/**
 * Targets at once. What a target costs here is a socket and a few milliseconds of handshake (with the system's ssh a process and
 * four descriptors), so 100 stay far below the usual limit of 1,024 descriptors; Bolt's default is the same.
 */
const CONCURRENCY = 100

const SIGNAL_NUMBERS: Record<StopSignal, number> = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 }

export interface TargetWork {
  /** 'run', 'call', 'ping', 'tree'. */
  command: string
  /** What runs, for people and for jsonl. */
  object: string
  /** Applies without --runtime. */
  runtime: 'auto' | 'node' | 'raw'
  /** Level of the log without --log-level. */
  logLevel: 'info' | 'warn'
  work(context: Connecting, reach: Reach): Promise<Body>
  /** As in a Job. */
  seen?: Job['seen']
  ended?: Job['ended']
  /** What is shown when all have one: every context that was seen. */
  nodes?: () => TreeNode[]
}

/** Runs the work on every target that the flags name and reports it in the format they name. Resolves to the exit code. */
export async function onTargets(desk: Desk, flags: Flags, work: TargetWork): Promise<number> {
  const targets = await readTargets(flags.targets, {
    readFile: (path) => fileText(desk, path),
    readStdin: () => stdinText(desk),
  })
  if (flags.agent === true && flags.transport !== 'openssh') throw usageError('--agent is for --transport openssh', 'ssh2 has the keys of this machine on every hop, and needs none')
  const places = readWays(targets, flags)
  const interruption = new AbortController()
  const ask = asker(desk, interruption.signal)
  const password = flags['ask-password'] === true ? await askPassword(ask) : undefined
  const reporter = chooseReporter(desk, flags)
  const live = isLive(desk.stderr, desk.env) ? new WithStatus(reporter, desk.stderr, desk.clock) : undefined
  const shown: Reporter = live ?? reporter
  const prompter = ask === undefined ? undefined : new Prompter(async (text) => {
    live?.line.hold()
    try {
      return await ask(text)
    } finally {
      live?.line.release()
    }
  })
  const logger = recordLogger(flags['log-level'] ?? work.logLevel, (record) => shown.log(record))
  const tree = await desk.openTree({ prompt: prompter?.prompt, logger })
  const fleet = new Fleet({
    places,
    concurrency: flags.concurrency ?? CONCURRENCY,
    options: (step, via, isHop) => connectOptions(flags, { step, via, isHop, runtime: work.runtime, password }),
    work: work.work,
    seen: work.seen,
    ended: work.ended,
  }, tree, shown, desk.clock)

  const from = desk.clock.now()
  shown.begin({ command: work.command, object: work.object, targets: places.length })
  const stopped = watchForStop(desk, fleet, interruption, (line) => live === undefined ? desk.stderr.write(line) : live.line.aside(() => desk.stderr.write(line)))
  await Promise.race([fleet.run(), stopped.leave])
  if (fleet.state !== 'over') fleet.abandon()
  const took = desk.clock.now() - from
  const code = stopped.signal === undefined ? undefined : 128 + SIGNAL_NUMBERS[stopped.signal]
  const { counts } = fleet.summary(took, 0)
  const summary = fleet.summary(took, code ?? (counts.ok === places.length ? 0 : 1))
  if (work.nodes !== undefined) shown.nodes(work.nodes())
  shown.end(summary)
  const wanted = flags.format === undefined || flags.format === 'human' || stopped.signal !== undefined
  if (wanted && !stopped.quiet) desk.stderr.write(summaryText(summary))
  await Promise.race([tree.close(), stopped.leave])
  stopped.end()
  return summary.exitCode
}

interface Stop {
  /** The first signal that came. */
  signal: StopSignal | undefined
  /** The reader of stdout has gone: nobody wants to hear of it. */
  quiet: boolean
  /** Resolves at the second signal. */
  leave: Promise<void>
  /** Stops watching. */
  end(): void
}

/** The first signal cancels on every target; the second one leaves at once. A reader that has gone cancels too. */
function watchForStop(desk: Desk, fleet: Fleet, interruption: AbortController, say: (line: string) => void): Stop {
  let leaveNow = (): void => {}
  const leave = new Promise<void>((resolve) => {
    leaveNow = resolve
  })
  const end = desk.onSignal((signal) => {
    if (stop.signal !== undefined) return leaveNow()
    stop.signal = signal
    interruption.abort()
    fleet.cancel()
    const count = fleet.working
    if (count > 0) say(`cancelling on ${count} target${count === 1 ? '' : 's'}; once more leaves at once\n`)
  })
  const stop: Stop = { signal: undefined, quiet: false, leave, end }
  desk.stdout.onBroken(() => {
    stop.quiet = true
    fleet.cancel()
  })
  return stop
}

function asker(desk: Desk, signal: AbortSignal): ((text: string) => Promise<string>) | undefined {
  const { askHidden } = desk
  return askHidden === undefined ? undefined : (text) => askHidden(text, signal)
}

async function askPassword(ask: ((text: string) => Promise<string>) | undefined): Promise<string> {
  if (ask === undefined) throw usageError('--ask-password needs a terminal', 'keys (--private-key, an agent) work without one')
  try {
    return await ask('Password: ')
  } catch (error) {
    throw isRametError(error) && error.code === 'cancelled' ? usageError('no password was given', '', error) : error
  }
}

function chooseReporter(desk: Desk, flags: Flags): Reporter {
  if (flags.fold === true && (flags.format ?? 'human') !== 'human') throw usageError('--fold is for --format human', 'json and jsonl have one item per target')
  const paint = paintFor(desk.stderr.isTTY, desk.env)
  const log = (record: LogRecord): void => desk.stderr.write(logText(record, paint))
  if (flags.format === 'json') return new JsonReporter(desk.stdout, log)
  if (flags.format === 'jsonl') return new JsonlReporter(desk.stdout, desk.clock)
  const human = new HumanReporter(desk.stdout, paintFor(desk.stdout.isTTY, desk.env), log, branchesFor(desk.env))
  return flags.fold === true ? new FoldedReporter(human) : human
}
