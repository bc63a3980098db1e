import { spawn } from 'node:child_process'
import type { Clock } from '../base/clock.ts'
import { printable } from '../base/printable.ts'
import { RametError } from '../router/errors.ts'

const MAX_OUTPUT = 1024 * 1024
const MAX_COMPLAINT = 4096

/**
 * Asks `ssh -G` and resolves with what it printed, or with undefined where there is no such program. Rejects with
 * 'config-invalid' and ssh's own words when it refuses the configuration, hangs longer than `timeout` ms, or prints without end.
 */
export function askSsh(
  program: string, args: readonly string[], about: string, timeout: number, clock: Clock,
): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    let complaint = ''
    let failure: string | undefined
    // Its own group: a command of Match exec must not outlive the question.
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, LC_ALL: 'C' }, detached: true })
    const stop = (what: string): void => {
      failure ??= what
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
      } catch {
        // It has just ended by itself.
      }
      child.stdout.destroy()
      child.stderr.destroy()
    }
    const cancel = clock.after(timeout, () => stop(`did not answer within ${timeout / 1000} s`))
    child.stdout.on('data', (chunk: Buffer) => {
      length += chunk.length
      if (length > MAX_OUTPUT) stop(`printed more than ${MAX_OUTPUT / 1024} KiB`)
      else chunks.push(chunk)
    })
    child.stderr.on('data', (chunk: Buffer) => {
      if (complaint.length < MAX_COMPLAINT) complaint += chunk.toString('utf8')
    })
    const refuse = (what: string, cause?: unknown): void => {
      const hint = `Try "ssh -G ${about}" by hand, or pass sshConfig: false to do without.`
      reject(new RametError('config-invalid', `OpenSSH configuration of ${about}: ${what}`, { outcome: 'not-sent', cause, hint }))
    }
    child.on('error', (error: NodeJS.ErrnoException) => {
      cancel()
      if (error.code === 'ENOENT') resolve(undefined)
      else refuse(`cannot run ${program}: ${error.message}`, error)
    })
    child.on('close', (code, signal) => {
      cancel()
      if (failure !== undefined) refuse(`${program} ${failure}`)
      else if (code === 0) resolve(Buffer.concat(chunks).toString('utf8'))
      else refuse(oneLine(complaint) || `${program} ended with ${code === null ? signal : `status ${code}`}`)
    })
  })
}

/** One line without control characters: configuration files are not always written by who reads the error. */
function oneLine(text: string): string {
  return printable(text.slice(0, MAX_COMPLAINT).trim().replace(/\s*\r?\n\s*/g, '; '), MAX_COMPLAINT)
}
