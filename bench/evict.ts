import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { Worker } from 'node:worker_threads'

/** Bytes of the last cache that cores share, 0 where the system does not say. */
function sharedCache(): number {
  try {
    const text = readFileSync('/sys/devices/system/cpu/cpu0/cache/index3/size', 'utf8')
    return Number(/^(\d+)K/.exec(text)?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

/** Page by page and not line by line: the tables by which pages are found are pushed out, too, and nothing is fetched ahead. */
const sweep = `
const { parentPort, workerData: { size, state } } = require('node:worker_threads')
const bytes = Buffer.alloc(size, 1)
parentPort.on('message', () => {
  do for (let line = 0; line < 4096; line += 64) for (let at = line; at < size; at += 4096) bytes[at]++
  while (Atomics.load(state, 0) === 1)
  parentPort.postMessage(0)
})`

/** Keeps pushing what others need out of the caches of every core: what something costs can be measured that a crowd shares them with. */
export class Evictor {
  readonly #state = new Int32Array(new SharedArrayBuffer(4))
  readonly #workers: Worker[]

  constructor() {
    this.#workers = cpus().map(() => new Worker(sweep, { eval: true, workerData: { size: 2 * (sharedCache() || 32 * 2 ** 20), state: this.#state } }))
  }

  /** All the time while something is done; every core is busy with it. */
  async during(work: () => Promise<void>): Promise<void> {
    Atomics.store(this.#state, 0, 1)
    const swept = Promise.all(this.#workers.map((worker) => new Promise((resolve) => {
      worker.once('message', resolve)
      worker.postMessage(0, [])
    })))
    try {
      await work()
    } finally {
      Atomics.store(this.#state, 0, 0)
      await swept
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()))
  }
}
