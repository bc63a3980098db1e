import { isMainThread } from 'node:worker_threads'
import { systemClock } from '../base/clock.ts'
import { captureConsole } from './console.ts'
import { FdPipe } from './fd-pipe.ts'
import { Stub } from './stub.ts'
import { runWorker } from './worker.ts'

/** The CommonJS module that the first stage compiled us into; it left our compressed text on it. */
declare const module: { stub: Uint8Array }

/** Frames come in on this descriptor and leave on the next: nothing that anybody prints can corrupt them. */
const FRAMES_IN = 3
const FRAMES_OUT = 4

if (isMainThread) runMain()
else runWorker()

function runMain(): void {
  // The launch line keeps these from our own start; children and user code get them back.
  restore('NODE_OPTIONS')
  restore('NODE_V8_COVERAGE')
  const [, title = 'ramet', half = '', otherHalf = ''] = process.argv
  process.title = title
  const pipe = new FdPipe(FRAMES_IN, FRAMES_OUT)
  // Only we know how to join the halves: a shell that prints its command line prints no nonce.
  pipe.write(Buffer.from(half + otherHalf, 'hex'))
  // A turn later: what was just sent to those below has left by then.
  const stub = new Stub(pipe, { clock: systemClock, image: module.stub, environment: { ...process.env }, exit: () => setImmediate(die) })
  captureConsole(systemClock, stub.log.limit, (...record) => stub.log.send(...record))
  const uncaught = (error: unknown, promise: unknown): void => stub.uncaught(error, promise)
  process.on('uncaughtException', uncaught)
  process.on('unhandledRejection', uncaught)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stub.end(143))
  // The process ends by die() alone: while commands are given time to end, nothing else may keep it.
  setInterval(() => {}, 0x7fffffff)
  // A connection that ends sends HUP to whoever is left; we notice the end of file and clean up first.
  process.on('SIGHUP', () => {})
  // sudo and su stop themselves when what they run is stopped, and nobody continues them when only that goes on: they would never end.
  process.on('SIGCONT', (signal) => {
    try {
      // 0: one outside our PID namespace, and to kill() our own group.
      if (process.ppid > 0) process.kill(process.ppid, signal)
    } catch {
      // It is another account's.
    }
  })
}

/**
 * Ends this process and what user code has started in its process group (children of their own group, `detached`, are meant to
 * stay). Not process.exit(): that waits for a Worker, which may sit in a system call for good.
 */
function die(): void {
  try {
    process.kill(-process.pid, 'SIGKILL')
  } catch {
    process.kill(process.pid, 'SIGKILL')
  }
}

function restore(name: string): void {
  const kept = `R_${name}`
  if (process.env[kept] !== undefined && process.env[kept] !== '') process.env[name] = process.env[kept]
  delete process.env[kept]
}
