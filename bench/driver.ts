import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { cleanEnv, onOneCore } from './processes.ts'

/** What a driver can be asked: one JSON object per line each way, one request at a time. */
export interface DriverRequest {
  op: string
  [argument: string]: unknown
}

export type Operations = Record<string, (request: DriverRequest) => Promise<unknown>>

/**
 * A program that is measured, in a process of its own. Drivers take the times themselves and are asked in turns, so that
 * rounds of several interleave in one run and none pays for another's garbage.
 */
export class Driver {
  readonly name: string
  readonly pid: number
  readonly #child: ChildProcess
  readonly #gone: Promise<void>
  #stderr = ''
  #waiting: { resolve: (value: unknown) => void; reject: (error: Error) => void } | undefined
  #state: 'open' | 'ended' | 'closed' = 'open'

  constructor(name: string, argv: readonly string[], options: { oneCore?: boolean; env?: Record<string, string> } = {}) {
    this.name = name
    const [file = '', ...args] = onOneCore(argv, options.oneCore ?? false)
    this.#child = spawn(file, args, { env: { ...cleanEnv(), ...options.env }, stdio: ['pipe', 'pipe', 'pipe'] })
    this.pid = this.#child.pid ?? 0
    this.#gone = new Promise((resolve) => this.#child.on('close', () => resolve()))
    this.#child.on('error', (error) => this.#fail(error))
    this.#child.on('close', () => {
      if (this.#state === 'open') this.#state = 'ended'
      this.#fail(this.#endedError())
    })
    this.#child.stdin?.on('error', () => undefined)
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.#stderr = (this.#stderr + chunk.toString()).slice(-8192)))
    if (this.#child.stdout) createInterface({ input: this.#child.stdout }).on('line', (line) => this.#answer(line))
  }

  /** Does one thing; rejects with what the driver says went wrong, or after `limit` ms (default two minutes). */
  request<T>(op: string, args: Record<string, unknown> = {}, limit = 120_000): Promise<T> {
    if (this.#waiting) return Promise.reject(new Error(`the driver of ${this.name} is busy`))
    if (this.#state !== 'open') return Promise.reject(this.#endedError())
    const timer = setTimeout(() => this.#fail(new Error(`${this.name} did not finish '${op}' in ${limit} ms: ${this.#stderr.trim()}`)), limit)
    return new Promise<T>((resolve, reject) => {
      this.#waiting = { resolve: (value) => resolve(value as T), reject }
      this.#child.stdin?.write(JSON.stringify({ op, ...args }) + '\n')
    }).finally(() => clearTimeout(timer))
  }

  /** Its stdin ends; it has 5 s to close what it opened. */
  async close(): Promise<void> {
    if (this.#state === 'open') {
      this.#child.stdin?.end()
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5000)
      void this.#gone.then(() => clearTimeout(timer))
    }
    this.#state = 'closed'
    await this.#gone
  }

  #answer(line: string): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    const answer = parse(line)
    if (answer === undefined) waiting?.reject(new Error(`${this.name} printed what is no answer: ${line.slice(0, 200)}`))
    else if (answer.error !== undefined) waiting?.reject(new Error(`${this.name}: ${answer.error}`))
    else waiting?.resolve(answer.value)
  }

  #endedError(): Error {
    return new Error(`the driver of ${this.name} ended: ${this.#stderr.trim().slice(-2000)}`)
  }

  #fail(error: Error): void {
    this.#waiting?.reject(error)
    this.#waiting = undefined
  }
}

function parse(line: string): { value?: unknown; error?: string } | undefined {
  try {
    return JSON.parse(line) as { value?: unknown; error?: string }
  } catch {
    return undefined
  }
}

/** The other side of a Driver that is written in TypeScript. Resolves when its stdin has ended. */
export async function serve(operations: Operations): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line) as DriverRequest
    let answer: string
    try {
      const operation = operations[request.op]
      if (operation === undefined) throw new Error(`no operation '${request.op}'`)
      answer = JSON.stringify({ value: (await operation(request)) ?? null })
    } catch (error) {
      answer = JSON.stringify({ error: describe(error) })
    }
    process.stdout.write(answer + '\n')
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code, hint } = error as { code?: unknown; hint?: unknown }
  return [error.message, code, hint].filter((part) => typeof part === 'string' && part !== '').join(' | ') + `\n${error.stack ?? ''}`
}
