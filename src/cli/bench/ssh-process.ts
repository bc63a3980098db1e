import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { failureOf } from '../../connect/openssh-failure.ts'
import type { ProcessEnd } from '../../connect/transport.ts'

/** Of what a process says, for messages. */
const TAIL = 4096
/** Bytes of output that are kept; no call has more. */
const MOST = 4 * 1024 * 1024

/** The processes of a run, so that none outlives it. */
export class Children {
  readonly #alive = new Set<ChildProcess>()

  start(argv: readonly string[], stdin: boolean): SshProcess {
    const [program = '', ...args] = argv
    // A group of its own: what ssh has started to get to a target behind a hop ends with it, also by SIGKILL.
    const child = spawn(program, args, { stdio: [stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'], detached: true })
    this.#alive.add(child)
    child.once('close', () => this.#alive.delete(child))
    return new SshProcess(child)
  }

  /** At once, and without waiting. */
  kill(): void {
    for (const child of this.#alive) killGroup(child, 'SIGKILL')
  }
}

function killGroup({ pid }: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal)
  } catch {
    // It has ended in the meantime.
  }
}

/** One `ssh`, to its end. */
export class SshProcess {
  state: 'running' | 'ended' = 'running'
  stdout = ''
  stderr = ''
  readonly ended: Promise<ProcessEnd>
  readonly #child: ChildProcess
  #failed: NodeJS.ErrnoException | undefined
  #heard = (): void => {}

  constructor(child: ChildProcess) {
    this.#child = child
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      if (this.stdout.length < MOST) this.stdout += text
      this.#heard()
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-TAIL)
    })
    child.stdin?.on('error', () => {})
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => {
        this.#failed = error
        if (child.pid === undefined) this.#over(resolve, { exitCode: null, signal: null })
      })
      child.once('close', (exitCode, signal) => this.#over(resolve, { exitCode, signal }))
    })
  }

  /** Its only input; without text, the input ends. */
  write(text: string | undefined, end: boolean): void {
    if (end) this.#child.stdin?.end(text)
    else this.#child.stdin?.write(text ?? '')
  }

  /** Resolves when stdout holds the text; rejects when the process ends before. */
  says(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#heard = () => {
        if (this.stdout.includes(text)) resolve()
      }
      void this.ended.then((end) => reject(this.failure(end)))
    })
  }

  /** The output of a process that ended well. */
  async output(signal: AbortSignal): Promise<string> {
    const abort = (): void => this.kill('SIGTERM')
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    const end = await this.ended
    signal.removeEventListener('abort', abort)
    if (end.exitCode !== 0) throw this.failure(end)
    return this.stdout
  }

  kill(signal: 'SIGTERM' | 'SIGKILL'): void {
    if (this.state === 'running') killGroup(this.#child, signal)
  }

  failure(end: ProcessEnd): Error {
    if (this.#failed !== undefined) return this.#failed
    const said = this.stderr.trim().split('\n').at(-1)?.slice(0, 300) ?? ''
    const known = failureOf('ssh', end, this.stderr)
    // Everything that is said of it stands behind its name.
    if (known !== undefined) return new Error(known.message.replace(/^ssh: ssh failed: /, ''), { cause: known })
    return new Error(`exit code ${end.exitCode}${said === '' ? '' : `: ${said}`}`)
  }

  #over(resolve: (end: ProcessEnd) => void, end: ProcessEnd): void {
    this.state = 'ended'
    resolve(end)
  }
}
