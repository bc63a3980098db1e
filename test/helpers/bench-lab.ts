import { execFile, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from './source-tree.ts'
import { startSshd, type TestServer } from './sshd.ts'

export interface Wire {
  connections: number
  bytes_out: number
  bytes_in: number
  round_trips: number
}

export interface Result {
  contender: string
  kind: string
  calls: number
  p50_ms: number
  cpu_ms: { own: number; children: number | null }
  per_call?: Wire
  opening?: Wire
  samples_ms: number[]
}

export interface Value {
  ending: string
  results: Result[]
  left_out: { contender: string; kinds: string[]; reason: string }[]
  rtt_ms: { tcp?: number; ping?: number }
  not_counted?: string
  counted_to?: string
  notes: string[]
}

export interface BenchRun {
  child: ChildProcess
  ended: Promise<{ code: number | null; stdout: string; stderr: string }>
  /** Resolves when stderr holds the text. */
  says(text: string): Promise<void>
  /** What ^C does: every process of the group gets the signal. */
  interrupt(): void
}

/** The built command line in a folder of its own, and a real sshd whose login shell prints. */
export class BenchLab {
  readonly place: string
  /** TMPDIR of what is started. */
  readonly temporary: string
  readonly server: TestServer

  private constructor(place: string, temporary: string, server: TestServer) {
    this.place = place
    this.temporary = temporary
    this.server = server
  }

  static async start(): Promise<BenchLab> {
    const place = mkdtempSync(join(tmpdir(), 'ramet-test-'))
    const dist = `${place}/dist/`
    const temporary = join(place, 't')
    for (const dir of [dist, temporary]) mkdirSync(dir)
    const build = `import { buildLibrary } from './build/library.mjs'; await buildLibrary(process.argv[1])`
    await promisify(execFile)(process.execPath, ['--input-type=module', '-e', build, dist], { cwd: root })
    for (const name of ['stub.br', 'modules']) cpSync(join(root, 'dist', name), join(dist, name), { recursive: true })
    cpSync(join(root, 'package.json'), join(place, 'package.json'))
    symlinkSync(join(root, 'node_modules'), join(place, 'node_modules'))
    // A login shell that prints on each login, on both streams.
    return new BenchLab(place, temporary, await startSshd({ bashrc: 'echo "Welcome to noise"; echo "and more" >&2\n' }))
  }

  async stop(): Promise<void> {
    await this.server.stop()
    rmSync(this.place, { recursive: true, force: true })
  }

  readonly run = (argv: string[], env: Record<string, string> = {}): BenchRun => {
    const child = spawn(process.execPath, [`${this.place}/dist/cli.js`, 'bench', ...argv], {
      stdio: ['ignore', 'pipe', 'pipe'], detached: true, env: { PATH: process.env['PATH'], HOME: this.place, TMPDIR: this.temporary, LANG: 'C.UTF-8', ...env },
    })
    const texts = { stdout: '', stderr: '' }
    let look = (): void => {}
    child.stdout.setEncoding('utf8').on('data', (text: string) => (texts.stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      texts.stderr += text
      look()
    })
    const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
      child.on('close', (code) => {
        look()
        resolve({ code, ...texts })
      })
    })
    const says = (text: string): Promise<void> => new Promise((resolve, reject) => {
      look = () => {
        if (texts.stderr.includes(text)) resolve()
        else if (child.exitCode !== null) reject(new Error(`it ended: ${texts.stderr}`))
      }
      look()
    })
    return { child, ended, says, interrupt: () => void process.kill(-child.pid!, 'SIGINT') }
  }

  /** The flags for this server or another one. */
  readonly to = (other: Pick<TestServer, 'user' | 'host' | 'port' | 'keyFile' | 'knownHosts'> = this.server): string[] =>
    ['-t', `${other.user}@${other.host}:${other.port}`, '--ssh-config', 'none', '--known-hosts', other.knownHosts, '--private-key', other.keyFile]
}

export function valueOf(stdout: string): Value {
  return (JSON.parse(stdout) as { items: { value: Value }[] }).items[0]!.value
}
