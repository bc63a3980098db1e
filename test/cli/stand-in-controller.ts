import type { Connecting, ConnectOptions } from '../../src/controller/api.ts'
import { RametError } from '../../src/router/errors.ts'
import { FakeTree, ended } from './fake-tree.ts'

/** Stands in for the engine in the processes of process.test.ts, and says when it is loaded. */
process.stderr.write('[engine]\n')

export class Controller {
  readonly #tree: FakeTree
  readonly #hold = setInterval(() => {}, 1000)

  constructor({ prompt }: { prompt?: unknown }) {
    this.#tree = new FakeTree({
      big: { exec: async () => ended({ stdout: `${'x'.repeat(1023)}\n`.repeat(4096) }) },
      hang: {
        exec: (_, { signal }) => new Promise((_resolve, reject) => {
          process.stderr.write('[hangs]\n')
          signal?.addEventListener('abort', () => reject(new RametError('cancelled', 'hang: cancelled', { outcome: 'unknown' })))
        }),
      },
      forgets: { exec: () => new Promise(() => clearInterval(this.#hold)) },
      deaf: { exec: () => new Promise(() => void process.stderr.write('[hangs]\n')) },
      asks: { exec: async () => ended({ stdout: prompt === undefined ? 'no prompt\n' : 'prompt\n' }) },
    })
  }

  connect(target: string, options: ConnectOptions): Connecting {
    return this.#tree.connect(target, options)
  }

  async close(): Promise<void> {
    clearInterval(this.#hold)
  }
}
