import type { Clock } from '../base/clock.ts'
import { deferred } from '../base/deferred.ts'
import { RametError } from '../router/errors.ts'
import { failedProcess } from './failed-process.ts'
import { ProcessSet } from './process-set.ts'
import { SpawnedProcess } from './spawn.ts'
import type { Connection, RemoteProcess } from './transport.ts'

export interface LocalOptions {
  /** Default 'local'. */
  name?: string
  /** Default: this process's environment. */
  env?: NodeJS.ProcessEnv
  /** Default: the system's. */
  clock?: Clock | undefined
}

/** This account on this machine: each process is /bin/sh -c in a process group of its own. */
export function connectLocal(options: LocalOptions = {}): Connection {
  return new LocalConnection(options)
}

class LocalConnection implements Connection {
  state: 'open' | 'closed' = 'open'
  readonly name: string
  readonly transport = 'local'
  readonly stage = 'launch'
  readonly ready = Promise.resolve()
  private readonly options: LocalOptions
  private readonly processes = new ProcessSet<SpawnedProcess>()
  private readonly gone = deferred<void>()

  constructor(options: LocalOptions) {
    this.options = options
    this.name = options.name ?? 'local'
  }

  open(command: string): RemoteProcess {
    if (this.state === 'closed') {
      return failedProcess(new RametError('closed', `${this.name}: the connection was closed here`, {
        path: [this.name], outcome: 'not-sent', hint: 'Open it again.' }))
    }
    const started = new SpawnedProcess(['/bin/sh', '-c', command], { name: this.name, env: this.options.env, group: true, leaves: true, clock: this.options.clock })
    this.processes.add(started, started.over)
    return started
  }

  close(): Promise<void> {
    if (this.state === 'open') {
      this.state = 'closed'
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
}
