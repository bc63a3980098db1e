import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { buildCli } from './built-cli.ts'
import { childrenOf } from './e2e-lab.ts'
import { startSshd, type TestServer } from './sshd.ts'

/** Every way in which a target is measured, by the names that programs get. */
export const CONTENDERS = ['ssh', 'ssh-pinned', 'ssh-master', 'ssh2', 'ramet-raw', 'ramet-cold', 'ramet-warm']

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
  cpu_ms: { own: number; children: number | null; at_least?: boolean }
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
  private readonly cli: string

  private constructor(place: string, temporary: string, cli: string, server: TestServer) {
    this.place = place
    this.temporary = temporary
    this.cli = cli
    this.server = server
  }

  static async start(): Promise<BenchLab> {
    const place = mkdtempSync(join(tmpdir(), 'ramet-test-'))
    const temporary = join(place, 't')
    mkdirSync(temporary)
    const cli = await buildCli(place)
    // A login shell that prints on each login, on both streams.
    return new BenchLab(place, temporary, cli, await startSshd({ bashrc: 'echo "Welcome to noise"; echo "and more" >&2\n' }))
  }

  /** Fails unless no session of the server's and no temporary file is left. */
  async expectNothingLeft(): Promise<void> {
    await expect.poll(() => childrenOf(this.server.pid), { timeout: 10_000 }).toEqual([])
    expect(readdirSync(this.temporary)).toEqual([])
  }

  async stop(): Promise<void> {
    await this.server.stop()
    rmSync(this.place, { recursive: true, force: true })
  }

  readonly run = (argv: string[], env: Record<string, string> = {}): BenchRun => {
    const child = spawn(process.execPath, [this.cli, 'bench', ...argv], {
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
