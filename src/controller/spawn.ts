import { Readable, Writable } from 'node:stream'
import { EXEC_CHUNK } from '../connect/command.ts'
import type { CommandLane, RunningCommand } from '../connect/command.ts'
import { isRametError, withOutcome } from '../router/errors.ts'
import type { RametError } from '../router/errors.ts'
import type { RemoteChild, SpawnOptions } from './api.ts'
import { GRACE, TURN, commandError, namedError, quoted, requestOf } from './exec.ts'
import type { CommandContext } from './exec.ts'

/**
 * Starts a command and returns at once, with live streams: the target sends on only what was read here. When the command
 * cannot be started, or the target is lost, `pid` and `exited` reject and the streams end with the same error.
 */
export function spawnCommand(lane: CommandLane, command: string | string[], options: SpawnOptions, context: CommandContext): RemoteChild {
  const running = lane.start({ ...requestOf(command, options), live: true })
  const stdout = outputStream(running, 'stdout')
  const stderr = outputStream(running, 'stderr')
  running.onOutput = (stream, bytes) => (stream === 'stdout' ? stdout : stderr).take(bytes)
  const stdin = inputStream(running)
  let cancelled: RametError | undefined
  const cancel = () => {
    cancelled = commandError('cancelled', `${quoted(command)} was cancelled`, context, { cause: options.signal?.reason })
    running.terminate(GRACE)
    for (const output of [stdout, stderr]) output.cancelled()
  }
  if (options.signal?.aborted === true) cancel()
  else options.signal?.addEventListener('abort', cancel, { once: true })

  // What was cancelled may never have been sent, or may still run: the lane knows.
  const reasonOf = (error: unknown): RametError =>
    cancelled === undefined ? namedError(error, command, context) : isRametError(error) ? withOutcome(cancelled, error.outcome) : cancelled

  const finish = (error: RametError | undefined) => {
    options.signal?.removeEventListener('abort', cancel)
    running.onWritable = undefined
    stdin.destroy(error)
    for (const output of [stdout, stderr]) output.finish(error)
    if (error !== undefined) throw error
  }
  const exited = running.ended.then(({ exitCode, signal }) => {
    finish(cancelled)
    return { exitCode, signal }
  }, (error: unknown) => {
    finish(reasonOf(error))
    throw error
  })
  const pid = running.pid.catch((error: unknown) => { throw reasonOf(error) })
  // A program that looks at none of them shall not die of an unhandled rejection: the streams tell too.
  exited.catch(() => {})
  pid.catch(() => {})
  return { stdin, stdout: stdout.readable, stderr: stderr.readable, pid, exited, kill: (signal = 'SIGTERM') => running.signal(signal) }
}

interface OutputStream {
  readable: Readable
  take(bytes: Uint8Array): void
  /** The news of the end stands behind what nobody reads: that is dropped from here on, and what follows it too. */
  cancelled(): void
  finish(error: RametError | undefined): void
}

function outputStream(running: RunningCommand, name: 'stdout' | 'stderr'): OutputStream {
  let owed = 0
  let over = false
  let ending = false
  let dropping = false
  const settle = () => {
    const bytes = owed
    owed = 0
    if (bytes > 0) running.consumed(bytes)
  }
  // `destroy` gives the credit back, and so does everything that comes afterwards: one unread stream must not stop the other.
  const readable = new Readable({
    read: settle,
    destroy(error, callback) {
      settle()
      if (!over) running.closeOutput(name)
      callback(error)
    },
  })
  readable.on('error', () => {})
  return {
    readable,
    take(bytes) {
      dropping ||= ending && readable.readableLength >= readable.readableHighWaterMark
      if (over || dropping || readable.destroyed) return running.consumed(bytes.length)
      let more = true
      try {
        more = readable.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
      } catch (error) {
        // A listener of the program's threw. That is its own uncaught error, and no fault of the target's.
        process.nextTick(() => {
          throw error
        })
      }
      if (more || ending) running.consumed(bytes.length)
      else owed += bytes.length
    },
    cancelled() {
      ending = true
      settle()
    },
    finish(error) {
      if (over) return
      over = true
      if (error === undefined) readable.push(null)
      else readable.destroy(error)
    },
  }
}

function inputStream(running: RunningCommand): Writable {
  let waiting: ((error?: Error | null) => void) | undefined
  let inTurn = 0
  running.onWritable = () => {
    const go = waiting
    waiting = undefined
    go?.()
  }
  const stream = new Writable({
    write(chunk: Buffer, _encoding, callback) {
      // After the callback the buffer is the program's again, which may fill it anew while this still waits for its turn.
      const bytes = Buffer.from(chunk)
      let more = true
      for (let at = 0; at < bytes.length; at += EXEC_CHUNK) more = running.write(bytes.subarray(at, at + EXEC_CHUNK))
      if (!more) {
        waiting = callback
      } else if ((inTurn += chunk.length) < TURN) {
        callback()
      } else {
        // A source that never has to wait would keep us from hearing that the command has ended.
        setImmediate(() => {
          inTurn = 0
          callback()
        })
      }
    },
    final(callback) {
      running.endStdin()
      callback()
    },
    destroy(error, callback) {
      // A write that has not been taken will not be.
      waiting?.(error ?? new Error('the command has ended'))
      waiting = undefined
      if (!stream.writableFinished) running.endStdin()
      callback(error)
    },
  })
  stream.on('error', () => {})
  return stream
}
