import { deferred } from '../base/deferred.ts'
import { joinBytes } from '../base/bytes.ts'
import { PROCESS_DOWN, PROCESS_UP } from '../connect/hop.ts'
import type { ProcessEnd, RemoteProcess } from '../connect/transport.ts'
import type { RametError } from '../router/errors.ts'
import { ChannelPipe } from './channel-pipe.ts'

/** Bytes of stderr kept while nobody listens; the rest is dropped. */
const KEPT = 64 * 1024

/** A process that a hop started on a target without an interpreter. */
export class HopProcess extends ChannelPipe implements RemoteProcess {
  readonly pipe = this
  private readonly ended_ = deferred<ProcessEnd>()
  readonly exited: Promise<ProcessEnd> = this.ended_.promise
  private listener: ((bytes: Uint8Array) => void) | undefined
  private early: Uint8Array[] = []
  private earlyBytes = 0

  private readonly failed: (failure: unknown) => RametError

  /** `thrown` makes the error for what the hop threw, `failed` for what it says of a process that could not be started or was lost. */
  constructor(thrown: (wire: unknown) => RametError, failed: (failure: unknown) => RametError) {
    super(thrown)
    this.failed = failed
    // There is no word that it runs: whatever is written goes with the request.
    this.state = 'open'
  }

  stderr(listener: (bytes: Uint8Array) => void): void {
    this.listener = listener
    for (const bytes of this.early.splice(0)) listener(bytes)
  }

  kill(signal?: string): void {
    this.tell(PROCESS_DOWN.KILL, new TextEncoder().encode(signal ?? ''))
    if (signal === undefined) this.close()
  }

  entrust(who: number): void {
    this.tell(PROCESS_DOWN.ENTRUST, new TextEncoder().encode(String(who)))
  }

  protected override unwrap(message: Uint8Array): Uint8Array | undefined {
    const bytes = message.subarray(1)
    if (message[0] === PROCESS_UP.STDOUT) return bytes
    if (message[0] !== PROCESS_UP.STDERR) return undefined
    if (this.listener !== undefined) this.listener(bytes)
    else if ((this.earlyBytes += bytes.length) <= KEPT) this.early.push(bytes)
    return undefined
  }

  protected override wrap(bytes: Uint8Array[]): Uint8Array {
    return joinBytes([Uint8Array.of(PROCESS_DOWN.STDIN), ...bytes])
  }

  protected override endOfFile(): void {
    // Not the channel's END: a signal has to get through after it.
    this.tell(PROCESS_DOWN.EOF, new Uint8Array(0))
  }

  protected override last(value: unknown): Error | undefined {
    const [exitCode, signal, failure] = (Array.isArray(value) ? value : []) as unknown[]
    // The code of a program that let us in nowhere is no command's.
    if (failure !== undefined) return this.failed(failure)
    this.ended_.resolve({ exitCode: typeof exitCode === 'number' ? exitCode : null, signal: typeof signal === 'string' ? signal.slice(0, 20) : null })
    return undefined
  }

  protected override finished(): void {
    this.ended_.resolve({ exitCode: null, signal: null })
  }

  private tell(tag: number, bytes: Uint8Array): void {
    this.channel?.send(joinBytes([Uint8Array.of(tag), bytes]))
  }
}
