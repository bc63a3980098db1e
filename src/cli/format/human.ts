import { inspect } from 'node:util'
import type { Body, Cause, Failure, Pinged, TargetResult, Verdict } from '../outcome.ts'
import type { Sink } from '../sink.ts'
import type { TreeNode } from '../tree-node.ts'
import type { Branches } from './draw-tree.ts'
import type { LogRecord, Reporter } from './reporter.ts'
import type { Paint } from './paint.ts'
import { ASCII, drawTree } from './draw-tree.ts'
import { duration } from './duration.ts'
import { decode, visible, visibleLine } from './escape.ts'
import { wholeLines } from './pieces.ts'

/** Stands before every line that a target wrote to stderr. */
const STDERR_MARK = 'err| '

/**
 * Text for people: per target a header line, then what it printed, in order of completion. What a command wrote to stdout goes
 * out byte by byte when our stdout is a file or a pipe, and with control characters escaped when it is a terminal; everything
 * else that a target can influence (names, messages, stderr, logs) is escaped always.
 */
export class HumanReporter implements Reporter {
  readonly #stdout: Sink
  readonly #paint: Paint
  readonly #log: (record: LogRecord) => void
  readonly #branches: Branches

  constructor(stdout: Sink, paint: Paint, log: (record: LogRecord) => void, branches: Branches = ASCII) {
    this.#stdout = stdout
    this.#branches = branches
    this.#paint = paint
    this.#log = log
  }

  begin(): void {}

  started(): void {}

  item(target: string, value: unknown): void {
    const text = visible(valueText(value)).replaceAll('\n', `\n${' '.repeat(target.length)} | `)
    this.#stdout.write(`${this.#paint.bold(visibleLine(target))} | ${text}\n`)
  }

  lines(target: string, stream: 'stdout' | 'stderr', bytes: Buffer): void {
    const name = `${this.#paint.bold(visibleLine(target))} | `
    const lines = visible(decode(bytes)).replace(/\n$/, '').split('\n')
    this.#stdout.write(lines.map((line) => `${name}${stream === 'stderr' ? this.#paint.odd(STDERR_MARK + line) : line}\n`).join(''))
  }

  result(result: TargetResult): void {
    // Nothing happened there; the summary names them together.
    if (result.verdict === 'cancelled' && result.failure?.outcome === 'not-sent') return
    // The drawing says it.
    if (result.body?.kind === 'tree' && result.failure === undefined) return
    this.#stdout.write(this.#header(result))
    if (result.body !== undefined) this.#body(result.body)
    if (result.failure !== undefined && result.failure.code !== 'exec-failed') this.#stdout.write(this.#failure(result.failure))
  }

  log(record: LogRecord): void {
    this.#log(record)
  }

  nodes(nodes: readonly TreeNode[]): void {
    this.#stdout.write(`${drawTree(nodes, this.#branches).join('\n')}\n`)
  }

  end(): void {}

  #header({ target, verdict, failure, body, took }: TargetResult): string {
    const why = failure?.code === 'exec-failed' ? `: ${visibleLine(exitText(failure, body))}` : ''
    const ping = body?.kind === 'ping' ? `: ${pingText(body.ping)}` : ''
    return `${this.#paint.bold(visibleLine(target))}: ${this.#verdict(verdict)}${why}${ping} ${this.#paint.dim(`(${duration(took)})`)}\n`
  }

  #verdict(verdict: Verdict): string {
    const word = verdict === 'unknown' ? 'outcome unknown' : verdict
    return verdict === 'ok' ? this.#paint.good(word) : verdict === 'cancelled' ? this.#paint.odd(word) : this.#paint.bad(word)
  }

  #body(body: Body): void {
    if (body.kind === 'stream') this.#stdout.write(`${body.count} item${body.count === 1 ? '' : 's'}\n`)
    if (body.kind === 'call' && body.value !== undefined) this.#lines(valueText(body.value), '')
    if (body.kind !== 'command') return
    for (const { stream, bytes } of wholeLines(body.result.output)) {
      if (stream === 'stderr') this.#lines(decode(bytes), STDERR_MARK)
      else if (this.#stdout.isTTY) this.#lines(decode(bytes), '')
      else this.#raw(bytes)
    }
    if (body.result.truncated) this.#stdout.write(`${this.#paint.odd('there was more output than is kept; the rest was dropped')}\n`)
  }

  #raw(bytes: Buffer): void {
    this.#stdout.write(bytes)
    if (bytes.at(-1) !== 10) this.#stdout.write('\n')
  }

  #lines(text: string, mark: string): void {
    const lines = visible(text).replace(/\n$/, '')
    this.#stdout.write(mark === '' ? `${lines}\n` : `${lines.split('\n').map((line) => this.#paint.odd(mark + line)).join('\n')}\n`)
  }

  #failure({ code, message, stage, path, outcome, hint, cause }: Failure): string {
    const where = stage === undefined ? '' : ` at stage ${stage}`
    const details = [
      ...(cause === undefined ? [] : causeLines(cause)),
      ...(path.length === 0 ? [] : [`path: ${path.join(' > ')}`]),
      `outcome: ${outcome}`,
      ...(hint === '' ? [] : [`hint: ${hint}`]),
    ]
    const text = [`${this.#paint.bad(code)}${where}: ${visible(message)}`, ...details.map(visible)].join('\n')
    return `${text.replace(/^/gm, '  ')}\n`
  }
}

function exitText({ message }: Failure, body: Body | undefined): string {
  if (body?.kind !== 'command') return message
  const { signal, exitCode } = body.result
  return signal !== null ? `ended by ${signal}` : `exit code ${exitCode ?? 'unknown'}`
}

function pingText({ rtt, runtime, info }: Pinged): string {
  const node = info === undefined ? 'no stub' : `Node ${info.nodeVersion.replace(/^v/, '')} on ${info.platform}-${info.arch}`
  return visibleLine(`${rtt.toFixed(2)} ms, ${runtime}, ${node}`)
}

function causeLines(cause: Cause): string[] {
  const title = `${cause.name}${cause.code === undefined ? '' : ` [${cause.code}]`}: ${cause.message}`
  // A stack of V8 begins with name and message.
  const frames = cause.stack?.split('\n').filter((line) => /^\s+at /.test(line)) ?? []
  const rest = cause.cause === undefined ? [] : causeLines(cause.cause)
  return [`caused by ${title}`, ...frames.map((line) => `  ${line.trim()}`), ...rest]
}

function valueText(value: unknown): string {
  return typeof value === 'string' ? value : inspect(value, { depth: 12, maxArrayLength: 1000, breakLength: 100 })
}
