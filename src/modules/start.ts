import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { access, constants } from 'node:fs'
import { resolve } from 'node:path'
import { SPAWN_FAILURE, shellText } from '../connect/command.ts'
import type { CommandRequest } from '../connect/command.ts'
import type { Place } from './place.ts'
import type { ServiceHost } from './service.ts'
import { Streams } from './streams.ts'
import type { Child } from './streams.ts'
import { warmLine } from './warm-shells.ts'

/** Whoever wants a command started. One of `started` and `failed` is called, at once or later, unless it is wanted no more. */
export interface Starter {
  wanted(): boolean
  /** `at` is process.hrtime() of the start. */
  started(child: Child, at: [number, number]): void
  failed(message: string): void
}

/** Finds a process for a command: a waiting shell, the program itself, or a new shell. */
export function startCommand(request: CommandRequest, host: ServiceHost, place: Place, starter: Starter): void {
  const reads = request.stdin !== false
  const line = reads ? undefined : lineOf(request)
  const at = process.hrtime()
  const shell = line === undefined ? undefined : place.shells.become(line)
  if (shell !== undefined) return starter.started(shell, at)
  place.pipes.take(reads ? 3 : 2, (ends) => {
    if (!starter.wanted()) {
      if (ends !== undefined) place.pipes.giveBack(ends)
      return
    }
    try {
      const streams = new Streams(place.pipes, ends, reads ? 'pipe' : 'ignore')
      new Start(request, host, place, starter, streams).spawn(programs(request))
    } catch (error) {
      starter.failed((error as Error).message)
    }
  })
}

/** For a waiting shell, which has the account's directory and environment. */
function lineOf({ command, cwd, env }: CommandRequest): string | undefined {
  const plain = cwd === undefined && (env === undefined || Object.keys(env).length === 0)
  return typeof command === 'string' && plain ? warmLine(command) : undefined
}

/** The argvs to try, in order. */
function programs({ command, cwd }: CommandRequest): string[][] {
  if (typeof command !== 'string') return [command]
  const { argv, text } = shellText(command)
  if (argv === undefined) return [['/bin/sh', '-c', command]]
  // A plain program without a shell, where one would tell it nothing; if there is none, the shell finds the words.
  const shell = ['/bin/sh', '-c', text]
  return cwd === undefined ? [argv, shell] : [shell]
}

class Start {
  private state: 'starting' | 'done' = 'starting'
  private readonly request: CommandRequest
  private readonly host: ServiceHost
  private readonly place: Place
  private readonly starter: Starter
  private readonly streams: Streams

  constructor(request: CommandRequest, host: ServiceHost, place: Place, starter: Starter, streams: Streams) {
    this.request = request
    this.host = host
    this.place = place
    this.starter = starter
    this.streams = streams
  }

  spawn([argv = [], ...others]: string[][]): void {
    const [file = '', ...args] = argv
    const failed = (error: NodeJS.ErrnoException) => {
      if (this.state === 'done') return
      if (others.length > 0) return this.spawn(others)
      this.state = 'done'
      this.streams.close()
      this.explain(error)
    }
    const at = process.hrtime()
    let child: ChildProcess
    try {
      child = spawn(file, args, { cwd: this.cwd(), env: this.environment(), detached: true, stdio: this.streams.stdio })
    } catch (error) {
      return failed(error as NodeJS.ErrnoException)
    }
    child.on('error', failed)
    if (child.pid === undefined) return
    this.state = 'done'
    this.starter.started(this.streams.handOn(child), at)
  }

  private cwd(): string {
    return this.request.cwd === undefined ? this.place.home : resolve(this.place.home, this.request.cwd)
  }

  private environment(): Record<string, string | undefined> {
    const env = { ...this.host.environment, ...this.request.env }
    for (const name of Object.keys(env)) if (env[name] === undefined) delete env[name]
    return env
  }

  /** execve's ENOENT and EACCES are about the program or about the directory: look which. */
  private explain(error: NodeJS.ErrnoException): void {
    const { command, cwd } = this.request
    const program = typeof command === 'string' ? '/bin/sh' : command[0] ?? ''
    if (error.code === 'E2BIG') return this.starter.failed(SPAWN_FAILURE.large())
    if (error.code !== 'ENOTDIR' && error.code !== 'ENOENT' && error.code !== 'EACCES') return this.starter.failed(error.message)
    access(this.cwd() + '/.', constants.X_OK, (missing) => {
      if (missing) this.starter.failed(SPAWN_FAILURE.cwd(cwd ?? this.place.home))
      else this.starter.failed(error.code === 'EACCES' ? SPAWN_FAILURE.denied(program) : SPAWN_FAILURE.program(program))
    })
  }
}
