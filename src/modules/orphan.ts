import { Worker } from 'node:worker_threads'

/** ms between looks. */
const LOOK = 500

/**
 * Kills this process and its group when the one that started it is gone. For code on the main thread, which may compute without
 * end and then hears of nothing: another thread looks.
 */
export function endWithParent(): void {
  const look = `const parent = process.ppid
    setInterval(() => { if (process.ppid !== parent) process.kill(-process.pid, 'SIGKILL') }, ${LOOK})`
  new Worker(look, { eval: true }).unref()
}
