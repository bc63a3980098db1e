import { RametError } from '../router/errors.ts'
import { failedProcess } from './failed-process.ts'
import { SpawnedProcess } from './spawn.ts'
import type { Connection, RemoteProcess } from './transport.ts'

export interface LocalOptions {
  /** Default 'local'. */
  name?: string
  /** Default: this process's environment. */
  env?: NodeJS.ProcessEnv
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
  private readonly processes = new Set<SpawnedProcess>()
  private readonly before = { bytesIn: 0, bytesOut: 0 }
  private readonly listeners: ((cause?: Error) => void)[] = []
  private closing: Promise<void> | undefined

  constructor(options: LocalOptions) {
    this.options = options
    this.name = options.name ?? 'local'
  }

  open(command: string): RemoteProcess {
    if (this.state === 'closed') {
      return failedProcess(new RametError('closed', `${this.name}: the connection was closed here`, {
        path: [this.name], outcome: 'not-sent', hint: 'Open it again.' }))
    }
    const started = new SpawnedProcess(['/bin/sh', '-c', command], { name: this.name, env: this.options.env, group: true })
    this.processes.add(started)
    void started.over.then(() => {
      this.processes.delete(started)
      this.before.bytesIn += started.bytesIn
      this.before.bytesOut += started.bytesOut
    })
    return started
  }

  close(): Promise<void> {
    if (this.closing) return this.closing
    this.state = 'closed'
    this.closing = Promise.all([...this.processes].map((item) => item.destroy())).then(() => {
      for (const listener of this.listeners) listener()
    })
    return this.closing
  }

  onClose(listener: (cause?: Error) => void): void {
    if (this.closing) void this.closing.then(() => listener())
    else this.listeners.push(listener)
  }

  stats(): { bytesIn: number; bytesOut: number } {
    let { bytesIn, bytesOut } = this.before
    for (const item of this.processes) {
      bytesIn += item.bytesIn
      bytesOut += item.bytesOut
    }
    return { bytesIn, bytesOut }
  }
}
