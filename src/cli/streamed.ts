import type { Readable } from 'node:stream'
import type { Connecting, ExecResult, SpawnOptions } from '../controller/api.ts'
import { isRametError, RametError } from '../router/errors.ts'
import type { Reach } from './fleet.ts'
import type { Body } from './outcome.ts'
import type { Sink } from './sink.ts'

/** Bytes of a line that are kept until its end comes; what is longer is shown in several. */
const LINE = 64 * 1024
const NOTHING = Buffer.alloc(0)

export interface Streamed {
  options: SpawnOptions
  stdin: Uint8Array | undefined
  /** Milliseconds. */
  timeout: number | undefined
}

/**
 * Runs a command whose lines are shown as they come. Nothing of them is kept, in the result neither: the target sends on what
 * `stdout` has taken, and no more.
 */
export async function runStreamed(context: Connecting, command: string | string[], { options, stdin, timeout }: Streamed, reach: Reach, stdout: Sink): Promise<Body> {
  let from = reach.clock.now()
  const late = new AbortController()
  const child = context.spawn(command, { ...options, signal: AbortSignal.any([reach.signal, late.signal]) })
  const stopTimer = timeout === undefined ? undefined : reach.clock.after(timeout, () => late.abort())
  child.stdin.end(stdin)
  // As without --stream: connecting is no part of the command's time.
  child.pid.then(() => (from = reach.clock.now()), () => {})
  await Promise.all((['stdout', 'stderr'] as const).map((stream) => shown(child[stream], (lines) => reach.lines(stream, lines), stdout)))
  try {
    const result: ExecResult<Buffer> = { ...await child.exited, stdout: NOTHING, stderr: NOTHING, output: [], truncated: false, duration: reach.clock.now() - from }
    return { kind: 'command', result }
  } catch (error) {
    if (!late.signal.aborted || !isRametError(error) || error.code !== 'cancelled') throw error
    const { path, outcome } = error
    throw new RametError('timeout', `${path.join(' > ')}: the command took longer than ${(timeout ?? 0) / 1000} s`, {
      path, outcome, hint: outcome === 'unknown' ? 'Look on the target whether it still runs.' : 'Give it more time with --timeout.',
    })
  } finally {
    stopTimer?.()
  }
}

/** Resolves when the stream is over, however it ended. */
function shown(output: Readable, show: (lines: Buffer) => void, stdout: Sink): Promise<void> {
  let open: Buffer[] = []
  let kept = 0
  const keep = (rest: Buffer): void => {
    open = [rest]
    kept = rest.length
  }
  output.on('data', (bytes: Buffer) => {
    open.push(bytes)
    kept += bytes.length
    if (!bytes.includes(10) && kept <= LINE) return
    const all = Buffer.concat(open)
    const end = all.lastIndexOf(10) + 1 || characters(all)
    keep(all.subarray(end))
    show(all.subarray(0, end))
    output.pause()
    void stdout.flush().then(() => output.resume())
  })
  return new Promise((resolve) => output.on('close', () => {
    if (kept > 0) show(Buffer.concat(open))
    resolve()
  }))
}

/** Bytes up to the last character, which may not be whole. */
function characters(bytes: Buffer): number {
  for (let at = bytes.length - 1; at > bytes.length - 4 && bytes[at]! >= 0x80; at--) {
    if (bytes[at]! >= 0xc0) return at
  }
  return bytes.length
}
