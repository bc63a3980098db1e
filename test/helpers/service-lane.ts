import type { CommandEnd, CommandLane, CommandRequest, RunningCommand } from '../../src/connect/command.ts'
import { EXEC_TAG } from '../../src/connect/command.ts'
import { systemClock } from '../../src/base/clock.ts'
import { deferred } from '../../src/base/deferred.ts'
import { run } from '../../src/modules/exec.ts'
import type { ServiceChannel, ServiceHost } from '../../src/modules/service.ts'
import { RametError } from '../../src/router/errors.ts'

/** Bytes under way in each direction of a channel before a sender has to wait: small, so that flow control is what is tested. */
const WINDOW = 256 * 1024

/** A host whose process table remembers what is in it. */
export function testHost(environment: Record<string, string | undefined> = process.env): ServiceHost & { groups: Set<number> } {
  const groups = new Set<number>()
  return { groups, environment, clock: systemClock, processes: { state: 'open', add: (pid) => void groups.add(pid), delete: (pid) => void groups.delete(pid) } }
}

/** The exec module at the other end of a channel in RAM, one event-loop turn away. */
export class ServiceLane implements CommandLane {
  readonly host: ServiceHost & { groups: Set<number> }
  /** Bytes sent by the module and not consumed: at the moment, and at most. */
  unconsumed = 0
  most = 0
  /** Gives up every command, as a lost link does. */
  readonly resets: (() => void)[] = []

  constructor(host = testHost()) {
    this.host = host
  }

  start(request: CommandRequest): RunningCommand {
    const pid = deferred<number>()
    const ended = deferred<CommandEnd>()
    pid.promise.catch(() => {})
    ended.promise.catch(() => {})
    let over = false
    let outFlight = 0
    let outFull = false
    let inFlight = 0
    let inFull = false
    const count = (bytes: number): void => {
      outFlight += bytes
      this.unconsumed += bytes
    }
    const later = (action: () => void) => setImmediate(() => { if (!over) action() })
    const finish = (action: () => void) => setImmediate(() => {
      if (over) return
      over = true
      action()
    })
    const channel: ServiceChannel = {
      onMessage: undefined, onEnd: undefined, onReset: undefined, onWritable: undefined,
      send: (message) => {
        if (message.length > 32 * 1024) throw new Error(`a message of ${message.length} bytes`)
        count(message.length - 1)
        this.most = Math.max(this.most, this.unconsumed)
        later(() => {
          const bytes = message.subarray(1)
          if (message[0] === EXEC_TAG.started) {
            count(-bytes.length)
            pid.resolve(Buffer.from(bytes).readUInt32LE(0))
          } else running.onOutput?.(message[0] === EXEC_TAG.stdout ? 'stdout' : 'stderr', bytes)
        })
        outFull = outFlight > WINDOW
        return !outFull
      },
      end: (value) => finish(() => ended.resolve(value as CommandEnd)),
      fail: (error) => finish(() => {
        const failure = new RametError((error as Error & { code: 'spawn-failed' }).code, error.message)
        pid.reject(failure)
        ended.reject(failure)
      }),
      consumed: (bytes) => {
        inFlight -= bytes
        if (inFull && inFlight < WINDOW) {
          inFull = false
          later(() => running.onWritable?.())
        }
      },
    }
    const send = (tag: number, bytes: Uint8Array): boolean => {
      const message = Buffer.concat([Buffer.from([tag]), bytes])
      inFlight += message.length
      inFull = inFlight > WINDOW
      later(() => channel.onMessage?.(message))
      return !inFull
    }
    const running: RunningCommand = {
      onOutput: undefined, onWritable: undefined, pid: pid.promise, ended: ended.promise,
      consumed: (bytes) => {
        count(-bytes)
        if (outFull && outFlight < WINDOW) {
          outFull = false
          later(() => channel.onWritable?.())
        }
      },
      write: (bytes) => send(EXEC_TAG.stdin, bytes),
      endStdin: () => later(() => channel.onEnd?.()),
      signal: (name) => void send(EXEC_TAG.signal, Buffer.from(name)),
      closeOutput: (stream) => void send(EXEC_TAG.close, Buffer.from([EXEC_TAG[stream]])),
      terminate: (grace) => {
        const bytes = Buffer.alloc(4)
        bytes.writeUInt32LE(grace)
        send(EXEC_TAG.terminate, bytes)
      },
    }
    this.resets.push(() => {
      over = true
      channel.onReset?.()
      const lost = new RametError('link-lost', 'the link was lost', { outcome: 'unknown' })
      pid.reject(lost)
      ended.reject(lost)
    })
    setImmediate(() => (run as (...args: unknown[]) => void)(channel, this.host, request))
    return running
  }
}
