import { createHash } from 'node:crypto'
import { foldNames } from '../fold.ts'
import type { Failure, TargetResult } from '../outcome.ts'
import type { TreeNode } from '../tree-node.ts'
import type { HumanReporter } from './human.ts'
import { plain } from './plain.ts'
import type { LogRecord, Reporter } from './reporter.ts'

/** Stands for the name of each target in what is said of all. */
const EACH = '<target>'

/** Text for people in which results that are equal stand once, under the names of all their targets. Shown at the end, the largest group first. */
export class FoldedReporter implements Reporter {
  readonly #inner: HumanReporter
  readonly #groups = new Map<string, { result: TargetResult; names: string[] }>()

  constructor(inner: HumanReporter) {
    this.#inner = inner
  }

  begin(): void {}

  started(): void {}

  item(target: string, value: unknown): void {
    this.#inner.item(target, value)
  }

  /** Which lines are equal is known at the end. */
  lines(): void {}

  result(result: TargetResult): void {
    const key = likeness(result)
    const group = this.#groups.get(key)
    // One of them stands for all: the others' output is let go.
    if (group === undefined) this.#groups.set(key, { result, names: [result.target] })
    else {
      group.names.push(result.target)
      group.result = { ...group.result, took: Math.max(group.result.took, result.took) }
    }
  }

  log(record: LogRecord): void {
    this.#inner.log(record)
  }

  nodes(nodes: readonly TreeNode[]): void {
    this.#inner.nodes(nodes)
  }

  end(): void {
    const groups = [...this.#groups.values()].toSorted((a, b) => b.names.length - a.names.length)
    for (const { result, names } of groups) this.#inner.result(names.length === 1 ? result : forAll(result, names))
  }
}

function forAll(result: TargetResult, names: readonly string[]): TargetResult {
  const target = `${foldNames(names)} (${names.length})`
  return { ...result, target, failure: result.failure === undefined ? undefined : nameless(result.target, result.failure) }
}

/** A failure that does not say whose it is, so that it can be everyone's. What it says of hops stays. */
function nameless(target: string, failure: Failure): Failure {
  const [name = ''] = target.split(' ')
  const last = failure.path.at(-1)
  const isOwn = last?.includes(name) === true
  const message = (isOwn ? [last, name] : [name]).reduce((text, own) => text.replace(new RegExp(`(?<![\\w.@-])${own.replace(/[^\w]/g, '\\$&')}(?![\\w-])`, 'g'), EACH), failure.message)
  return { ...failure, message, path: isOwn ? [...failure.path.slice(0, -1), EACH] : failure.path }
}

/** Equal for results that say the same of their targets, whose names and times are left aside. */
function likeness({ target, verdict, body, failure }: TargetResult): string {
  const hash = createHash('sha256')
  const add = (...parts: (string | Uint8Array)[]): void => {
    // With lengths, so that no two lists of parts read alike.
    for (const part of parts) hash.update(`${part.length}:`).update(part)
  }
  add(verdict)
  if (failure !== undefined) {
    const { code, message, stage, path, outcome, hint, cause } = nameless(target, failure)
    add(code, message, stage ?? '', outcome, hint, JSON.stringify(path), JSON.stringify(cause ?? null))
  }
  if (body?.kind === 'command') {
    // How the two streams are interleaved is chance.
    const { exitCode, signal, truncated, stdout, stderr } = body.result
    add(`${exitCode} ${signal} ${truncated}`, stdout, stderr)
  } else if (body?.kind === 'call') {
    add(JSON.stringify(plain(body.value)))
  } else if (body !== undefined) {
    add(JSON.stringify(body.kind === 'stream' ? body.count : body.ping))
  }
  return hash.digest('base64')
}
