import { RametError, type Stage } from '../router/errors.ts'
import { deferred } from '../base/deferred.ts'
import { failedProcess } from './failed-process.ts'
import { ProcessSet } from './process-set.ts'
import type { ReadyProcess } from './ready-process.ts'
import type { Connection, RemoteProcess } from './transport.ts'

export interface ReadyWay {
  name: string
  transport: Connection['transport']
  path: readonly string[]
  /** Where it stands until the first process is ready. */
  stage: Stage
  /** True: no process may be wanted at once, so one that does nothing shows that others may follow. */
  commands?: boolean | undefined
  signal?: AbortSignal | undefined
  start(command: string): ReadyProcess
  /** Called once at the end. */
  closed?(): void
}

/** A connection each of whose processes is started by a local program, which lets us in anew each time. */
export class ReadyConnection implements Connection {
  state: 'new' | 'connecting' | 'open' | 'closed' = 'new'
  readonly name: string
  readonly transport: Connection['transport']
  stage: Stage
  readonly ready: Promise<void>
  private readonly way: ReadyWay
  private readonly became = deferred<void>()
  private readonly processes = new ProcessSet<ReadyProcess>()
  private readonly gone = deferred<void>()
  private failed: RametError | undefined
  private readonly onAbort = (): void => this.giveUp(this.error('cancelled', 'connecting was cancelled', 'The caller aborted it.'))

  /** `refused`: why it can never be opened. */
  constructor(way: ReadyWay, refused?: RametError) {
    this.way = way
    this.name = way.name
    this.transport = way.transport
    this.stage = way.stage
    this.ready = this.became.promise
    this.ready.catch(() => {})
    if (refused !== undefined) this.giveUp(refused)
    else if (way.signal?.aborted === true) process.nextTick(this.onAbort)
    else way.signal?.addEventListener('abort', this.onAbort, { once: true })
    if (way.commands === true) setImmediate(() => this.state === 'new' && this.open(':').pipe.end())
  }

  open(command: string): RemoteProcess {
    if (this.state === 'closed') return failedProcess(this.failed ?? this.error('closed', 'the connection was closed here', 'Open it again.'))
    const started = this.way.start(command)
    this.processes.add(started, started.exited)
    if (this.state === 'new') {
      this.state = 'connecting'
      started.ready.then(() => this.opened(), (error: RametError) => this.state === 'connecting' && this.giveUp(error))
    }
    return started
  }

  close(): Promise<void> {
    if (this.state !== 'closed') {
      this.state = 'closed'
      this.way.signal?.removeEventListener('abort', this.onAbort)
      this.way.closed?.()
      this.became.reject(this.failed ?? this.error('closed', 'the connection was closed here', 'Open it again.'))
      void this.processes.destroy().then(this.gone.resolve)
    }
    return this.gone.promise
  }

  onClose(listener: (cause?: Error) => void): void {
    void this.gone.promise.then(() => listener())
  }

  stats(): { bytesIn: number; bytesOut: number } {
    return this.processes.stats()
  }

  private opened(): void {
    if (this.state !== 'connecting') return
    this.way.signal?.removeEventListener('abort', this.onAbort)
    this.state = 'open'
    this.stage = 'launch'
    this.became.resolve()
  }

  private giveUp(error: RametError): void {
    if (this.state === 'closed') return
    this.failed = error
    this.became.reject(error)
    void this.close()
  }

  private error(code: RametError['code'], text: string, hint: string): RametError {
    return new RametError(code, `${this.way.path.join(' > ')}: ${text}`, {
      stage: this.stage, path: this.way.path, outcome: 'not-sent', cause: this.way.signal?.reason, hint })
  }
}
