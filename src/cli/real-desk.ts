import { fstatSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { systemClock } from '../base/clock.ts'
import { sentFiles } from '../controller/code-graph.ts'
import { FILE_LIMIT } from './desk.ts'
import type { Desk, StopSignal } from './desk.ts'
import { controllingTerminal, readHidden } from './hidden-input.ts'
import { StreamSink } from './sink.ts'
import { usageError } from './usage-error.ts'

const SIGNALS: readonly StopSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

/** The desk of this process. What is heavy is loaded by the command that needs it. */
export function realDesk(): Desk {
  const stdout = new StreamSink(process.stdout)
  // Two ways into one terminal would mix what each has not got rid of yet.
  const stderr = oneTerminal() ? stdout : new StreamSink(process.stderr)
  return {
    stdout,
    stderr,
    clock: systemClock,
    env: process.env,
    cwd: process.cwd(),
    self: { pid: process.pid, nodeVersion: process.version, platform: process.platform, arch: process.arch, hostname: hostname() },
    async readFile(path) {
      const file = resolve(path)
      const { size } = await stat(file)
      if (size > FILE_LIMIT) throw usageError(`${path} has ${size} bytes; at most ${FILE_LIMIT} are read`)
      return readFile(file)
    },
    readStdin,
    onSignal(listener) {
      let before = 0
      const heard = (name: StopSignal): void => {
        before += 1
        // The second one leaves at once, whoever still has to read.
        if (before > 1) for (const sink of [stdout, stderr]) sink.hurry()
        listener(name)
      }
      for (const signal of SIGNALS) process.on(signal, heard)
      return () => {
        for (const signal of SIGNALS) process.off(signal, heard)
      }
    },
    askHidden: stderr.isTTY ? askHidden : undefined,
    async openTree({ prompt, logger }) {
      const { Controller } = await import('../controller/index.ts')
      return new Controller({ logger, ...(prompt === undefined ? {} : { prompt }) })
    },
    async listFiles(file) {
      const { Bundler } = await import('../controller/bundler.ts')
      const bundler = new Bundler()
      try {
        return sentFiles(await bundler.load(file))
      } finally {
        await bundler.close()
      }
    },
  }
}

/** stdout and stderr are the same terminal. */
function oneTerminal(): boolean {
  return process.stdout.isTTY && process.stderr.isTTY && fstatSync(1).rdev === fstatSync(2).rdev
}

async function readStdin(): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of process.stdin) {
    const bytes = Buffer.from(chunk as Uint8Array)
    size += bytes.length
    if (size > FILE_LIMIT) throw usageError(`stdin has more than ${FILE_LIMIT} bytes`)
    chunks.push(bytes)
  }
  return Buffer.concat(chunks)
}

async function askHidden(text: string, signal: AbortSignal): Promise<string> {
  // A terminal without echo makes no signal of ^C; this takes the way of one that does. At once: a real one may come when all has ended.
  return readHidden(controllingTerminal(), text, signal, () => process.emit('SIGINT', 'SIGINT') || process.kill(process.pid, 'SIGINT'))
}
