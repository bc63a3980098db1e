import { spawn, spawnSync, type ChildProcess, type SpawnOptions } from 'node:child_process'
import { createServer, connect } from 'node:net'

/**
 * The environment of every child: nothing that a caller tells one interpreter or peer alone. NODE_EXTRA_CA_CERTS costs Node 18 and 20
 * about 28 ms per start, PYTHONUNBUFFERED costs Python a write per line; DISPLAY and SSH_AUTH_SOCK would make OpenSSH ask others than
 * the key it was given.
 */
export function cleanEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(NODE_|PYTHON|ANSIBLE_|MITOGEN_|CLUSTERSHELL_|PSSH_|SSH_AUTH_SOCK$|DISPLAY$)/.test(name)))
}

/** The absolute path of a program, or undefined where it is not installed. */
export function findProgram(name: string): string | undefined {
  const found = spawnSync('sh', ['-c', 'PATH="$PATH:/usr/sbin:/sbin" command -v "$1"', 'sh', name], { encoding: 'utf8' })
  return found.status === 0 ? found.stdout.trim() : undefined
}

/** Debian's packages are for Debian's Python: another `python3` on PATH does not have them. */
export const python = '/usr/bin/python3'

/** An argv that keeps a program and all its children on the first core. */
export function onOneCore(argv: readonly string[], pinned: boolean): string[] {
  return pinned ? ['taskset', '-c', '0', ...argv] : [...argv]
}

/** An argv under which a server ends when the bench is killed and cannot end it itself. */
export function endsWithParent(argv: readonly string[]): string[] {
  return findProgram('setpriv') ? ['setpriv', '--pdeathsig', 'TERM', ...argv] : [...argv]
}

export interface Finished {
  /** Milliseconds from before the start until the end of its output. */
  duration: number
  code: number | null
  stdout: string
  stderr: string
}

/** Runs a program to its end. Whole-process rows are what this took. */
export function run(argv: readonly string[], options: SpawnOptions = {}): Promise<Finished> {
  const [file = '', ...args] = argv
  const begun = performance.now()
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { env: cleanEnv(), ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    let stdout = ''
    let stderr = ''
    child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    child.on('error', reject)
    child.on('close', (code) => resolve({ duration: performance.now() - begun, code, stdout, stderr }))
  })
}

/** How many lines there are in what a program printed. */
export const linesOf = (output: string): number => output.split('\n').filter((line) => line !== '').length

/** A port of 127.0.0.1 that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => (address !== null && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port'))))
    })
  })
}

/** A server started for the bench and ended by its pid. */
export class ServerProcess {
  readonly #child: ChildProcess
  readonly #gone: Promise<void>
  #stderr = ''
  #state: 'running' | 'closed' = 'running'

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#gone = new Promise((resolve) => child.on('close', () => resolve()))
    // Without a program there is no output that could say so.
    child.on('error', (error) => (this.#stderr += error.message))
    child.stderr?.on('data', (chunk: Buffer) => {
      if (this.#stderr.length < 16384) this.#stderr += chunk.toString()
    })
  }

  /** Resolves when the port answers; rejects with what the server printed when it does not within 5 s. */
  static async start(argv: readonly string[], port: number, host = '127.0.0.1'): Promise<ServerProcess> {
    const [file = '', ...args] = endsWithParent(argv)
    const server = new ServerProcess(spawn(file, args, { env: cleanEnv(), stdio: ['ignore', 'ignore', 'pipe'] }))
    for (let tries = 0; ; tries++) {
      if (await answers(port, host)) return server
      if (server.#child.exitCode !== null || tries === 250) {
        await server.close()
        throw new Error(`${argv[0]} did not start listening on port ${port}: ${server.#stderr.trim()}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  async close(): Promise<void> {
    if (this.#state === 'running') this.#child.kill('SIGTERM')
    this.#state = 'closed'
    await this.#gone
  }
}

function answers(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host)
    socket.on('error', () => resolve(false))
    // The greeting is awaited: OpenSSH 9.8 and later hold it against an address that hangs up before one.
    socket.once('data', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('close', () => resolve(false))
  })
}
