import { connect, isIP } from 'node:net'
import { RametError, type ErrorCode, type Stage } from '../router/errors.ts'
import type { Pipe } from '../router/pipe.ts'
import { StreamPipe } from './stream-pipe.ts'

export interface TcpTarget {
  host: string
  port: number
  /** How messages name the target. */
  name: string
  /** Addresses of one kind only. Default: any. */
  family?: 4 | 6 | undefined
  /** Address of this machine from which it goes out. Default: the system's choice. */
  from?: string | undefined
  /** Hears when the stage changes from 'resolve' to 'tcp'. */
  onStage?: (stage: Stage) => void
}

/**
 * Where every connection reads to; the bytes are copied at once. Node's own way, 64 KiB anew for each read, leaves a heap full
 * of holes when many connections read at once: 20 KB for each idle target.
 */
const room = Buffer.allocUnsafeSlow(64 * 1024)

/**
 * Opens a TCP connection without Nagle's delay. Addresses are tried as Node does it (several at once where a name has
 * several). Rejects with resolve-failed, connect-refused, connect-timeout or connect-failed; with the signal's reason
 * when aborted. No time limit of its own beyond the operating system's.
 */
export function dialTcp(target: TcpTarget, signal?: AbortSignal): Promise<StreamPipe> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error)
    let stage: Stage = isIP(target.host) === 0 ? 'resolve' : 'tcp'
    target.onStage?.(stage)
    let pipe: StreamPipe | undefined
    const take = (size: number): boolean => {
      pipe?.take(Buffer.from(room.subarray(0, size)))
      return true
    }
    const { host, port, family, from } = target
    const socket = connect({ host, port, ...(family && { family }), ...(from && { localAddress: from }), onread: { buffer: room, callback: take } })
    // Not by the option: Node before 16.17 does not know it.
    socket.setNoDelay(true)
    const abort = (): void => {
      socket.destroy()
      reject(signal?.reason as Error)
    }
    const failed = (error: NodeJS.ErrnoException): void => {
      signal?.removeEventListener('abort', abort)
      socket.destroy()
      reject(tcpError(target, stage, error))
    }
    signal?.addEventListener('abort', abort, { once: true })
    socket.on('lookup', (error: Error | null) => {
      if (error || stage === 'tcp') return
      stage = 'tcp'
      target.onStage?.(stage)
    })
    socket.on('error', failed)
    socket.once('connect', () => {
      signal?.removeEventListener('abort', abort)
      socket.off('error', failed)
      pipe = new StreamPipe(socket, socket)
      resolve(pipe)
    })
  })
}

/** A connection that is being made: gives its pipe, and tells its stage now and when it changes. To be called once. */
export type EarlyPipe = (onStage: (stage: Stage) => void) => Promise<Pipe>

/** Opens a TCP connection for somebody who is not there yet. */
export function dialEarly(target: Omit<TcpTarget, 'onStage'>, turn: Promise<void>, signal: AbortSignal): { pipe: EarlyPipe; drop(): void } {
  let stage: Stage = 'resolve'
  let tell: ((stage: Stage) => void) | undefined
  const onStage = (now: Stage): void => {
    stage = now
    tell?.(now)
  }
  const dialing = turn.then(() => dialTcp({ ...target, onStage }, signal))
  dialing.catch(() => {})
  return {
    pipe: (listener) => {
      tell = listener
      listener(stage)
      return dialing
    },
    drop: () => void dialing.then((pipe) => pipe.close(), () => {}),
  }
}

/** The error for what connect() failed with, on whichever machine. */
export function tcpError(target: TcpTarget, stage: Stage, error: NodeJS.ErrnoException): RametError {
  const where = `${target.host} port ${target.port}`
  const details = { stage, path: [target.name], outcome: 'not-sent' as const, cause: error }
  const fail = (code: ErrorCode, text: string, hint: string, at: Stage = 'tcp'): RametError =>
    new RametError(code, `${target.name}: ${text}`, { ...details, stage: at, hint })
  switch (error.code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAI_FAIL':
    case 'EAI_NODATA':
      return fail('resolve-failed', `the name ${target.host} has no address (${error.code})`,
        'Check the spelling, the DNS server, and HostName in the SSH configuration.', 'resolve')
    case 'ECONNREFUSED':
      return fail('connect-refused', `nothing listens at ${where}`, 'Check the port, and that the SSH server runs.')
    case 'ETIMEDOUT':
      return fail('connect-timeout', `no answer from ${where}`, 'Check the address, routes and firewalls on the way.')
    default:
      return fail('connect-failed', `cannot reach ${where} (${error.code ?? error.message})`, 'Check routes and firewalls on the way.')
  }
}
